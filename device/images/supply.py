"""All of images that a worker deals with: builds the parts, and answers for them."""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import Callable, Sequence

from broker.errors import Passing, Refused
from broker.messages import AppSection, DesiredState, InstanceStatus, LinkPolicy
from broker.tls import client_context
from device.config import ImageSettings, Paths, endpoint
from device.engine.port import Engine
from device.images import keeping
from device.images.fetcher import Fetcher
from device.images.keeping import Freed, Keeper
from device.images.loopback import Loopback, PortTaken
from device.images.meter import Meter
from device.images.patching import Patching
from device.images.ports import kept_port
from device.images.source import Registry
from device.images.sources import Bundled, Sources
from device.images.store import Store
from device.images.tokens import Tokens
from device.images.transfer import Progress

log = logging.getLogger(__name__)
LOCAL = ("127.0.0.1", "localhost")  # nobody else can listen there, so there the cloud's registry speaks plain HTTP
MIB = 1024 * 1024


class Supply:
    """Images for one engine from one registry. `ask_token(repository)` asks the cloud for the right to pull."""

    def __init__(
        self,
        paths: Paths,
        settings: ImageSettings,
        *,
        registry: str,
        ask_token: Callable[[str], str],
        engine: Engine,
        boot: str,
        free_bytes: Callable[[], int | None],
        monotonic: Callable[[], float],
    ) -> None:
        def tls() -> ssl.SSLContext:
            return client_context(paths.ca)

        store = Store(paths.images, boot=boot)
        self._loopback = Loopback(settings.port or kept_port(paths.images / "port"))
        home = Registry(
            registry,
            None if endpoint(registry).host in LOCAL else tls,
            Tokens(ask_token, monotonic=monotonic).get,
        )
        self.meter = Meter(paths.images / "link.json", monotonic=monotonic)
        self.sources = Sources(home, meter=self.meter, monotonic=monotonic)
        self._fetcher = Fetcher(
            store=store,
            sources=self.sources,
            loopback=self._loopback,
            engine=engine,
            free_bytes=free_bytes,
            keep_blobs=settings.keep_blobs,
            patches=settings.patches,
        )
        self._keeper = Keeper(
            paths.images / "releases.json",
            store=store,
            fetcher=self._fetcher,
            engine=engine,
            address=self.address,
        )

    @property
    def address(self) -> str:
        """Where this device's engine pulls from."""
        return self._loopback.address

    @property
    def port_error(self) -> str:
        """Why engines cannot pull from here, or an empty string."""
        return self._fetcher.port_error

    @property
    def patched(self) -> Patching:
        """What patches have done so far."""
        return self._fetcher.patching

    def start(self) -> None:
        """Listen; a port that another program has is said by `port_error`, and tried again with every image."""
        with contextlib.suppress(PortTaken):
            self._fetcher.listen()

    def stop(self) -> None:
        """End what is under way, from another thread."""
        self.sources.interrupt()
        self._loopback.close()

    def follow(self, link: LinkPolicy | None) -> None:
        """Learn how the link may be used, and which mirrors are nearer than the registry."""
        self.sources.use_mirrors(() if link is None else link.mirrors)
        self.meter.follow(None if link is None or link == LinkPolicy(mirrors=link.mirrors) else link)

    def use_bundle(self, bundle: Bundled | None) -> None:
        """Have images come from a bundle first; None when it is gone."""
        self.sources.use_bundle(bundle)

    def bundle_trouble(self) -> str:
        """Return which blob of the bundle in use is damaged, or an empty string."""
        return self.sources.bundle_wrong

    def note(self, sections: Sequence[AppSection]) -> None:
        """Learn the images of the apps that are to run."""
        self._fetcher.note(sections)

    def fetch(self, name: str, progress: Progress) -> None:
        """Have the engine hold an image; see `Fetcher.fetch`."""
        self._fetcher.fetch(name, progress)

    def settled(self, desired: DesiredState, statuses: Sequence[InstanceStatus]) -> None:
        """Learn what runs as it is asked, and clear away what no release needs any more."""
        digests = {status.instance: status.section for status in statuses if status.state == "converged"}
        sections = [section for section in desired.apps if digests.get(section.instance) == section.digest]
        wanted = {section.instance for section in desired.apps} | {status.instance for status in statuses}
        try:
            self._keeper.settled(sections, wanted=frozenset(wanted))
        except (Passing, Refused) as error:
            log.warning("images are not cleared away: %s", error)

    def prune(self) -> str:
        """Clear away at a person's wish; return what that removed, or nothing where an image is being fetched."""
        freed: Freed | None = self._keeper.sweep()
        return "" if freed is None else f"removed {freed.images} images and {freed.bytes // MIB} MiB of blobs"


def remove_all(paths: Paths, settings: ImageSettings, engine: Engine) -> int:
    """Remove all that was ever fetched, from disk and engine; return how many images that were."""
    port = settings.port or kept_port(paths.images / "port")
    return keeping.remove_all(Store(paths.images, boot=""), engine, address=Loopback(port).address)
