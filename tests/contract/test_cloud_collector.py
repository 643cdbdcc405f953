"""The registry's disk: what no release names is freed, and what is pushed at that time is not lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from broker.appspec import AppSpec
from broker.canonical import canonical, digest
from broker.children import Child, Program
from broker.clock import SystemClock
from broker.errors import Passing
from broker.ids import new_id
from broker.oci import INDEX_TYPES, MANIFEST_TYPE, Blob, Patch, Referrer, patches_manifest, referrers_index
from broker.oci import referrers_tag as tag_of
from cloud.collector import GRACE_S, QUIET_S, Collector
from cloud.config import Folder, Ports, Settings
from cloud.registry import Registry, RegistryTokens
from cloud.scopes import Grant
from cloud.store import apps, patches, releases
from cloud.store.patches import Made
from cloud.store.releases import Release
from tests.contract.test_cloud_store import Cloud
from tests.harness.images import BuiltImage, built, layer_tar, noise, put_blob, put_manifest, upload
from tests.harness.servers import accepts, free_port, program, wait_until

pytestmark = pytest.mark.servers
PUSH = (Grant("oaaaaaaaaaaa/aaaaaaaaaaaa/web", ("pull", "push")),)
BASE = layer_tar({"base": noise(40_000, seed=1)})


class Bench:
    """A registry that is watched over as in the cloud, a database with one app, and the collector."""

    def __init__(self, folder: Path) -> None:
        cloud = Cloud(folder / "db")
        self.database = cloud.database
        self.app = apps.App(new_id("a"), cloud.found(), "web")
        with self.database.write() as tx:
            apps.add(tx, self.app, now_ms=1)
        self.folder = folder / "registry"
        self.folder.mkdir()
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        config = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.address},
        }
        (self.folder / "config.yml").write_text(json.dumps(config))
        self.tokens = RegistryTokens(ec.generate_private_key(ec.SECP256R1()))
        settings = Settings(Folder(folder), "127.0.0.1", Ports(registry=port), 300)
        self.registry = Registry(settings, self.tokens, servers_ca=folder / "none.pem")
        self.collector = Collector(self.database, self.tokens, self.folder, clock=SystemClock())
        self.child = Child(
            Program(
                name="docker-registry",
                argv=(program("docker-registry"), "serve", str(self.folder / "config.yml")),
                log_path=folder / "registry.log",
                ready=lambda: accepts(port),
                before_start=self.collector.before_start,
                on_up=self.collector.on_up,
            )
        )
        self.child.start()
        self.pushes = 0

    def restart(self) -> None:
        self.child.signal(signal.SIGTERM)

    def quiet(self) -> None:
        """Have it be long ago that anybody could push."""
        self.tokens.sign("x", PUSH, now_s=SystemClock().wall_ms() // 1000 - QUIET_S - 1, life_s=1)

    def image(self, name: str) -> BuiltImage:
        image = built([BASE, layer_tar({name: noise(30_000, seed=len(name))})], repository=f"{self.app.namespace}/web")
        upload(self.address, image)
        return image

    def release(self, image: BuiltImage) -> None:
        spec = AppSpec.model_validate({"name": "web", "services": {"web": {"image": image.image.model_dump()}}})
        self.pushes += 1
        data = canonical(spec.plain())
        with self.database.write() as tx:
            releases.push(tx, Release(self.app.app, spec.digest, "", data, self.pushes, self.pushes, "ann"))

    def patch(self, image: BuiltImage) -> tuple[str, str]:
        """List a patch beside an image as the patcher does; return the artifact and the blob."""
        data = b"a patch to " + image.digest.encode()
        listed = Patch(digest=digest(data), size=len(data), base=digest(BASE), result=digest(image.tars[1]))
        for blob in (data, b"{}"):
            put_blob(self.address, image.repository, blob)
        artifact = patches_manifest(Blob(digest=image.digest, size=len(image.manifest)), [listed])
        entry = Referrer(digest=digest(artifact), size=len(artifact), bases=frozenset({listed.base}))
        put_manifest(self.address, image.repository, digest(artifact), MANIFEST_TYPE, artifact)
        index = referrers_index(None, [entry])
        put_manifest(self.address, image.repository, tag_of(image.digest), INDEX_TYPES[0], index)
        with self.database.write() as tx:
            made = Made(image.repository, image.digest, digest(b"base"), self.app.app, digest(artifact), "", 1, 1)
            patches.put(tx, made)
        return digest(artifact), digest(data)

    def age(self) -> None:
        """Make all that is there older than the time that a push may take."""
        then = SystemClock().wall_ms() / 1000 - GRACE_S - 60
        for path in self.folder.rglob("link"):
            os.utime(path, (then, then))

    def on_disk(self, name: str) -> bool:
        return bool(list(self.folder.glob(f"data/docker/registry/v2/blobs/sha256/*/{name[7:]}/data")))

    def is_whole(self, image: BuiltImage) -> bool:
        manifest = self.registry.manifest(image.repository, image.digest, now_s=1)
        return manifest == image.manifest and all(map(self.on_disk, image.blobs))

    def manifest(self, image: BuiltImage, reference: str) -> bytes | None:
        return self.registry.manifest(image.repository, reference, now_s=1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    try:
        yield made
    finally:
        made.child.stop()
        made.database.close()


def test_what_no_release_names_is_freed_with_its_patches_and_all_else_stays(bench: Bench) -> None:
    named, old = bench.image("named"), bench.image("not named")
    bench.release(named)
    kept, gone = bench.patch(named), bench.patch(old)
    bench.age()
    young = bench.image("not named by a release yet")
    bench.quiet()
    assert bench.collector.turn(bench.restart)
    assert bench.is_whole(named)
    assert bench.is_whole(young)
    assert bench.manifest(named, kept[0]) is not None
    assert bench.manifest(named, tag_of(named.digest)) is not None
    assert bench.on_disk(kept[1])
    assert bench.manifest(old, old.digest) is None
    assert bench.manifest(old, gone[0]) is None
    assert bench.manifest(old, tag_of(old.digest)) is None
    assert not bench.on_disk(gone[1])
    assert not bench.on_disk(digest(old.layers[1]))
    assert bench.on_disk(digest(old.layers[0]))  # which the others have too
    upload(bench.address, old)
    assert bench.is_whole(old)


def test_nothing_is_done_as_long_as_somebody_may_be_pushing(bench: Bench) -> None:
    half = layer_tar({"half": noise(9_000, seed=4)})
    put_blob(bench.address, f"{bench.app.namespace}/web", half)  # its manifest is still to come
    assert not bench.collector.turn(bench.restart)  # nobody knows who pushed before this process began
    bench.quiet()
    bench.tokens.sign("ann", PUSH, now_s=SystemClock().wall_ms() // 1000, life_s=300)
    assert not bench.collector.turn(bench.restart)
    assert bench.child.starts == 1
    assert bench.on_disk(digest(half))


def test_nobody_gets_the_right_to_push_meanwhile_and_everybody_has_it_afterwards(bench: Bench) -> None:
    said = []

    def restart() -> None:
        with pytest.raises(Passing, match="push again in a minute"):
            bench.tokens.sign("ann", PUSH, now_s=1, life_s=300)
        said.append(bench.tokens.sign("d", (Grant(PUSH[0].repository, ("pull",)),), now_s=1, life_s=60))
        bench.restart()

    bench.quiet()
    assert bench.collector.turn(restart)
    assert said
    assert bench.child.starts == 2
    assert bench.tokens.sign("ann", PUSH, now_s=1, life_s=300)


def test_a_registry_that_ends_by_itself_is_not_cleared_up(bench: Bench) -> None:
    old = bench.image("old")
    bench.age()
    bench.restart()
    wait_until(lambda: bench.child.starts == 2 and bench.child.is_up, what="the registry is up again")
    assert bench.is_whole(old)
