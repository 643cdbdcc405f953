"""Frees the registry's disk of images that no release names any more, once a day, while nobody can push.

The registry's own `garbage-collect` loses blobs whose manifest is still to come. So it runs while the registry is down,
at a time when nobody has had the right to push for a while, and nobody gets it meanwhile: pushes are asked to wait.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path

from broker.appspec import AppSpec
from broker.children import run_to_end
from broker.clock import Clock
from broker.errors import Passing
from cloud.registry import RegistryTokens
from cloud.store import apps, patches, releases
from cloud.store.database import Database

log = logging.getLogger(__name__)

EVERY_S = 24 * 3600
LOOK_S = 60.0
QUIET_S = 600  # since the last right to push was given, which lasts for half of that
GRACE_S = 24 * 3600  # an image may be pushed long before its release is
STOP_LOOK_S = 1.0
MEMORY_MAX = 1024**3
DOWN_S_MAX = 900.0
REPOSITORIES = Path("data/docker/registry/v2/repositories")


class Collector:
    """One thread waits for the time; the registry's own, between two lives of it, does the work in `before_start`."""

    def __init__(self, database: Database, tokens: RegistryTokens, folder: Path, *, clock: Clock) -> None:
        self._database = database
        self._tokens = tokens
        self._folder = folder
        self._clock = clock
        self._mark = folder / "collected"
        self._may_collect = False
        self._is_up = threading.Event()
        self._stopping = threading.Event()

    def run(self, restart: Callable[[], None], stopping: threading.Event) -> None:
        """Work until `stopping`; `restart` ends the registry, which is started again by whoever watches it."""
        self._stopping = stopping
        while not stopping.wait(LOOK_S):
            if self._is_due():
                self.turn(restart)

    def turn(self, restart: Callable[[], None]) -> bool:
        """Free the disk if nobody has pushed for a while; return whether that was so."""
        if not self._tokens.hold_pushes(now_s=self._now_s, quiet_s=QUIET_S):
            return False
        try:
            self._may_collect = True
            self._is_up.clear()
            restart()
            until = self._clock.monotonic() + DOWN_S_MAX
            while not self._is_up.wait(STOP_LOOK_S) and not self._stopping.is_set():
                if self._clock.monotonic() > until:
                    log.error("the registry is not up again after %.0f s", DOWN_S_MAX)
                    break
        finally:
            self._may_collect = False
            self._tokens.let_push()
        return True

    def before_start(self) -> None:
        if self._may_collect:
            self._collect()

    def on_up(self) -> None:
        self._is_up.set()

    @property
    def _now_s(self) -> int:
        return self._clock.wall_ms() // 1000

    def _is_due(self) -> bool:
        try:
            return self._now_s - self._mark.stat().st_mtime >= EVERY_S
        except FileNotFoundError:
            return True

    def _collect(self) -> None:
        try:
            gone = list(unneeded(self._folder / REPOSITORIES, self._needed(), before_s=self._now_s - GRACE_S))
            for path in gone:
                shutil.rmtree(path)
            free = shutil.disk_usage(self._folder).free
            program = shutil.which("docker-registry") or "docker-registry"
            argv = [program, "garbage-collect", str(self._folder / "config.yml")]
            failed = run_to_end(argv, data_bytes_max=MEMORY_MAX, timeout_s=DOWN_S_MAX, stopping=self._stopping)
            freed = shutil.disk_usage(self._folder).free - free
            self._mark.touch()
        except (OSError, Passing) as error:
            log.error("the registry's disk is not freed: %s", error)
            return
        if failed is not None:
            log.error("the registry's disk is not freed: %s", failed)
        else:
            log.info("%d manifests that no release names are gone, and %d bytes of the registry", len(gone), freed)

    def _needed(self) -> Mapping[str, Set[str]]:
        """Return the manifests that are needed, by repository: images of releases, and the patches to these."""
        found: dict[str, set[str]] = {}
        with self._database.read() as tx:
            for app in apps.all_ids(tx):
                for release in releases.of_app(tx, app):
                    for service in AppSpec.model_validate_json(release.spec).services.values():
                        found.setdefault(service.image.repository, set()).add(service.image.digest)
                for made in patches.of_app(tx, app):
                    if made.artifact and made.image in found.get(made.repository, ()):
                        found[made.repository].add(made.artifact)
        return found


def unneeded(repositories: Path, needed: Mapping[str, Set[str]], *, before_s: float) -> Iterator[Path]:
    """Yield the folders of tags and manifests, in the registry's own tree, that are older and that nothing needs.

    A list of what refers to an image (the tag `sha256-<hex>`) is needed as long as the image is.
    """
    for manifests in sorted(repositories.glob("**/_manifests")):
        wanted = needed.get(str(manifests.parent.relative_to(repositories)), frozenset())
        kept = set(wanted)
        for tag in sorted((manifests / "tags").glob("*")):
            digest = _link(tag / "current" / "link")
            if tag.name.replace("-", ":", 1) in wanted or digest in wanted or _is_young(tag / "current", before_s):
                kept.add(digest)
            else:
                yield tag
        for revision in sorted((manifests / "revisions" / "sha256").glob("*")):
            if f"sha256:{revision.name}" not in kept and not _is_young(revision, before_s):
                yield revision


def _link(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _is_young(folder: Path, before_s: float) -> bool:
    try:
        return (folder / "link").stat().st_mtime > before_s
    except OSError:
        return False
