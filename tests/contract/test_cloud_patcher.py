"""Patches that the cloud makes after a push, over a real registry and database: found, applied, gone with releases."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from broker.appspec import AppSpec
from broker.canonical import canonical, digest
from broker.clock import SystemClock
from broker.errors import Passing
from broker.ids import new_id
from broker.oci import Patch, parse_patches, parse_referrers, referrers_tag
from broker.patches import applied, read_head
from cloud import patcher
from cloud.config import Folder, Ports, Settings
from cloud.patcher import RELEASES_KEPT, Patcher
from cloud.registry import Registry, RegistryTokens
from cloud.store import apps, patches, releases
from cloud.store.releases import Release
from tests.contract.test_cloud_store import Cloud
from tests.harness.engine import registry
from tests.harness.images import BuiltImage, built, layer_tar, noise, upload

pytestmark = pytest.mark.servers
BASE = layer_tar({"base": noise(40_000, seed=1)})


class Bench:
    """A registry, a database with one app, and the patcher between the two."""

    def __init__(self, folder: Path, address: str) -> None:
        self.address = address
        self.folder = folder / "patching"
        cloud = Cloud(folder / "db")
        self.database = cloud.database
        org = cloud.found()
        self.app = apps.App(new_id("a"), org, "web")
        with self.database.write() as tx:
            apps.add(tx, self.app, now_ms=1)
        ports = Ports(registry=int(address.rpartition(":")[2]))
        tokens = RegistryTokens(ec.generate_private_key(ec.SECP256R1()))
        settings = Settings(Folder(folder), "127.0.0.1", ports, 300)
        self.registry = Registry(settings, tokens, servers_ca=folder / "none.pem")
        self.patcher = Patcher(self.database, self.registry, self.folder, clock=SystemClock())
        self.pushed = 0

    def image(self, *tars: bytes) -> BuiltImage:
        image = built([BASE, *tars], repository=f"{self.app.namespace}/web")
        upload(self.address, image)
        return image

    def push(self, image: BuiltImage) -> None:
        """Push a release, and let the patcher work."""
        spec = AppSpec.model_validate({"name": "web", "services": {"web": {"image": image.image.model_dump()}}})
        self.pushed += 1
        with self.database.write() as tx:
            data = canonical(spec.plain())
            releases.push(tx, Release(self.app.app, spec.digest, "", data, self.pushed, self.pushed, "ann"))
        self.work()

    def work(self) -> None:
        self.patcher.work(self.app.app, threading.Event())

    def found(self, image: BuiltImage) -> list[Patch]:
        """Return the patches that a device finds in the registry."""
        index = self.registry.manifest(image.repository, referrers_tag(image.digest), now_s=1)
        entries = () if index is None else parse_referrers(index)
        manifests = [self.registry.manifest(image.repository, entry.digest, now_s=1) for entry in entries]
        return [patch for data in manifests if data is not None for patch in parse_patches(data)]

    def blob(self, image: BuiltImage, name: str) -> bytes | None:
        with self.registry.blob(image.repository, name, now_s=1) as chunks:
            return None if chunks is None else b"".join(chunks)

    def rows(self) -> int:
        with self.database.read() as tx:
            return len(patches.of_app(tx, self.app.app))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with registry(tmp_path) as address:
        found = Bench(tmp_path, address)
        yield found
        found.database.close()


def tar(number: int) -> bytes:
    return layer_tar({"app/data": noise(300_000, seed=2), "app/main.py": b"print(%d)\n" % number * 2_000})


def test_a_device_finds_a_patch_from_the_release_before_and_it_makes_the_new_layer(bench: Bench) -> None:
    one, two = bench.image(tar(1)), bench.image(tar(2))
    bench.push(one)
    bench.push(two)
    (patch,) = bench.found(two)
    assert (patch.base, patch.result) == (digest(tar(1)), digest(tar(2)))
    data = bench.blob(two, patch.digest)
    assert data is not None
    assert patch.size == len(data) < 1_000
    file = io.BytesIO(data)
    head = read_head(file)
    assert b"".join(applied(file, lambda start, n: tar(1)[start : start + n], head=head)) == tar(2)
    assert bench.found(one) == []
    assert not bench.folder.exists()


def test_nothing_is_made_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.push(bench.image(tar(1)))
    bench.push(bench.image(tar(2)))
    monkeypatch.setattr(patcher, "run_to_end", lambda *args, **kwargs: pytest.fail("made again"))
    bench.work()


def test_patches_come_from_several_releases_before(bench: Bench) -> None:
    images = [bench.image(tar(number)) for number in range(3)]
    for image in images:
        bench.push(image)
    assert {patch.base for patch in bench.found(images[2])} == {digest(tar(0)), digest(tar(1))}


def test_patches_are_gone_with_their_release(bench: Bench) -> None:
    images = [bench.image(tar(number)) for number in range(RELEASES_KEPT + 2)]
    for image in images[:2]:
        bench.push(image)
    (patch,) = bench.found(images[1])
    for image in images[2:]:
        bench.push(image)
    assert bench.found(images[1]) == []
    assert bench.blob(images[1], patch.digest) is None
    assert bench.found(images[-1])
    with bench.database.write() as tx:
        apps.delete(tx, bench.app.app, now_ms=9)
    bench.work()
    assert bench.found(images[-1]) == []
    assert bench.rows() == 0


def test_all_patches_of_an_app_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [bench.image(tar(number)) for number in range(3)]
    bench.push(images[0])
    bench.push(images[1])
    monkeypatch.setattr(patcher, "APP_BYTES_MAX", 10)
    bench.push(images[2])
    assert bench.found(images[1]) == []


def test_a_patch_that_saves_nothing_is_not_kept(bench: Bench) -> None:
    bench.push(bench.image(layer_tar({"a": noise(50_000, seed=5)})))
    other = bench.image(layer_tar({"a": noise(50_000, seed=6)}))
    bench.push(other)
    assert bench.found(other) == []
    assert bench.rows() == 1  # so it is not tried again


def test_on_a_full_disk_nothing_is_made_and_nothing_filled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patcher, "DISK_RESERVE", 10**18)
    bench.push(bench.image(tar(1)))
    two = bench.image(tar(2))
    bench.push(two)
    assert bench.found(two) == []
    assert not bench.folder.exists()


def test_a_folder_that_cannot_be_had_is_a_passing_error(bench: Bench) -> None:
    bench.push(bench.image(tar(1)))
    bench.folder.write_text("in the way")
    with pytest.raises(Passing, match="no place to make patches"):
        bench.push(bench.image(tar(2)))


def test_a_making_that_fails_is_no_error_and_no_patch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patcher, "MAKING_BYTES_MAX", 1)
    bench.push(bench.image(tar(1)))
    two = bench.image(tar(2))
    bench.push(two)
    assert bench.found(two) == []


def test_a_deployment_waits_for_patches_that_are_being_made_and_not_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.push(bench.image(tar(1)))
    two = bench.image(tar(2))
    monkeypatch.setattr(bench, "work", lambda: None)
    bench.push(two)
    bench.patcher.pushed(bench.app.app)
    monkeypatch.setattr(patcher, "SETTLED_S_MAX", 0.01)
    assert not bench.patcher.await_settled(bench.app.app)
    monkeypatch.setattr(patcher, "SETTLED_S_MAX", 60.0)
    stopping = threading.Event()
    thread = threading.Thread(target=bench.patcher.run, args=(stopping,))
    thread.start()
    try:
        assert bench.patcher.await_settled(bench.app.app)
        assert len(bench.found(two)) == 1
    finally:
        stopping.set()
        bench.patcher.wake()
        thread.join()


def test_what_others_list_under_the_tag_stays(bench: Bench) -> None:
    one, two = bench.image(tar(1)), bench.image(tar(2))
    index = canonical(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": one.digest, "size": 1}],
        }
    )
    kind = "application/vnd.oci.image.index.v1+json"
    bench.registry.put_manifest(two.repository, referrers_tag(two.digest), kind, index, now_s=1)
    bench.push(one)
    bench.push(two)
    found = bench.registry.manifest(two.repository, referrers_tag(two.digest), now_s=1)
    assert found is not None
    assert one.digest.encode() in found
    assert len(bench.found(two)) == 1
