"""Patches on a device, from a real registry into a real engine: used where they save, never believed, never missed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.appspec import Image
from broker.backoff import Backoff
from broker.canonical import canonical, digest
from broker.errors import Refused
from broker.oci import (
    INDEX_TYPES,
    MANIFEST_TYPE,
    Blob,
    Patch,
    Referrer,
    patches_manifest,
    referrers_index,
    referrers_tag,
)
from cloud.patching.making import make
from device.engine.port import Engine, EngineUnavailable
from device.images import transfer
from device.images.fetcher import Fetcher
from device.images.loopback import Loopback
from device.images.patching import Lack, PatchFailed, Patching, Use
from device.images.source import Registry
from device.images.sources import Sources
from device.images.store import Store
from tests.harness.apps import busybox_tar, section
from tests.harness.engine import device_engine, docker_client, registry, remove_images
from tests.harness.images import BuiltImage, built, layer_tar, noise, put_blob, put_manifest, upload
from tests.harness.servers import free_port

EMPTY = b"{}"


@dataclass
class Bench:
    """A registry, an engine, and a device's fetcher between the two."""

    folder: Path
    address: str
    engine: Engine
    mark: str
    loopback: Loopback
    free: int = 10**12
    use: Use = "use"

    def __post_init__(self) -> None:
        self.fetcher = self.reborn()

    def reborn(self, *, keep_blobs: bool = True) -> Fetcher:
        return Fetcher(
            store=Store(self.folder / "images", boot="a" * 32),
            sources=Sources(Registry(self.address, None, lambda repository, fresh: "none", connect_s=1.0)),
            loopback=self.loopback,
            engine=self.engine,
            free_bytes=lambda: self.free,
            keep_blobs=keep_blobs,
            patches=self.use,
        )

    def tar(self, number: int) -> bytes:
        """Return the layer of a release: a large file that stays, a small one that changes."""
        return layer_tar({"big": self.mark.encode() + noise(400_000, seed=3), "app": b"%d" % number * 3_000})

    def image(self, number: int) -> BuiltImage:
        image = built([busybox_tar({"mark": self.mark.encode()}), self.tar(number)])
        upload(self.address, image)
        return image

    def patch(self, old: int, new: int) -> bytes:
        """Return the patch between the layers of two releases."""
        paths = [self.folder / name for name in ("old", "new", "patch")]
        tars = [self.tar(old), self.tar(new)]
        for path, tar in zip(paths, tars, strict=False):
            path.write_bytes(tar)
        make(*paths, base_digest=digest(tars[0]), result_digest=digest(tars[1]))
        return paths[2].read_bytes()

    def offer(self, image: BuiltImage, patch: bytes, *, base: int, result: int) -> str:
        """List a patch beside an image as the cloud does; return its digest."""
        put_blob(self.address, image.repository, patch)
        put_blob(self.address, image.repository, EMPTY)
        tars = digest(self.tar(base)), digest(self.tar(result))
        listed = Patch(digest=digest(patch), size=len(patch), base=tars[0], result=tars[1])
        artifact = patches_manifest(Blob(digest=image.digest, size=len(image.manifest)), [listed])
        put_manifest(self.address, image.repository, digest(artifact), MANIFEST_TYPE, artifact)
        index = referrers_index(
            None, [Referrer(digest=digest(artifact), size=len(artifact), bases=frozenset({listed.base}))]
        )
        put_manifest(self.address, image.repository, referrers_tag(image.digest), INDEX_TYPES[0], index)
        return digest(patch)

    def fetched(self, image: BuiltImage) -> int:
        """Fetch an image into the engine; return how many bytes the last transfer took."""
        totals: list[int] = []
        self.fetcher.note([section({"web": {"image": image.image.model_dump()}})])
        self.fetcher.fetch(self.fetcher.name(image.image), lambda done, total: totals.append(total))
        assert self.engine.has_image(self.fetcher.name(image.image))
        return totals[-1]

    def holds(self, image: Image) -> bool:
        return self.engine.has_image(self.fetcher.name(image))


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(transfer, "RETRY", Backoff(first_s=0.01, max_s=0.05))
    url = request.getfixturevalue("podman") if getattr(request, "param", "") == "podman" else None
    client = docker_client(url)
    with registry(tmp_path) as address, device_engine(url) as engine:
        made = Bench(tmp_path, address, engine, secrets.token_hex(8), Loopback(free_port()))
        try:
            yield made
        finally:
            made.loopback.close()
            remove_images(client, made.loopback.address)
            client.close()


@pytest.mark.parametrize("bench", ["docker", "podman"], indirect=True)
def test_a_patch_is_fetched_instead_of_the_layer_and_the_engine_gets_the_image(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    patch = bench.patch(1, 2)
    bench.offer(two, patch, base=1, result=2)
    assert bench.fetched(two) == len(patch) < 1_000
    assert bench.fetcher.patching.saved_bytes == len(two.layers[1]) - len(patch)
    assert bench.fetcher.patching.failed == ""
    assert not (bench.folder / "images" / "blobs" / digest(two.layers[1])[7:]).exists()


def test_a_layer_that_a_patch_made_is_the_base_of_the_next_and_survives_a_lost_image(bench: Bench) -> None:
    images = [bench.image(number) for number in range(3)]
    bench.fetched(images[0])
    for number in (1, 2):
        bench.offer(images[number], bench.patch(number - 1, number), base=number - 1, result=number)
        assert bench.fetched(images[number]) < 1_000
    name = bench.fetcher.name(images[2].image)
    bench.engine.remove_image(name)
    bench.fetcher = bench.reborn()
    bench.fetched(images[2])
    assert list((bench.folder / "images" / "arriving").iterdir()) == []


@pytest.mark.parametrize("bench", ["docker", "podman"], indirect=True)
def test_the_base_comes_out_of_the_engine_where_no_blob_is_kept(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.fetcher = bench.reborn(keep_blobs=False)
    bench.fetched(one)
    assert list((bench.folder / "images" / "blobs").iterdir()) == []
    patch = bench.patch(1, 2)
    bench.offer(two, patch, base=1, result=2)
    assert bench.fetched(two) == len(patch) < 1_000
    assert list((bench.folder / "images" / "blobs").iterdir()) == []


def test_a_patch_that_makes_something_else_is_noticed_and_the_layer_fetched(bench: Bench) -> None:
    one, two, three = (bench.image(number) for number in (1, 2, 3))
    bench.fetched(one)
    lie = bytearray(bench.patch(1, 3))
    lie[48:80] = hashlib.sha256(bench.tar(2)).digest()  # what it says that it makes
    bench.offer(two, bytes(lie), base=1, result=2)
    assert bench.fetched(two) == len(two.layers[1])
    assert "is not sha256:" in bench.fetcher.patching.failed
    assert bench.fetcher.patching.saved_bytes == 0
    assert not bench.holds(three.image)


def test_a_patch_for_another_layer_is_not_applied(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    bench.offer(two, bench.patch(1, 3), base=1, result=2)
    assert bench.fetched(two) == len(two.layers[1])
    assert "it is a patch from" in bench.fetcher.patching.failed


def test_bytes_that_are_no_patch_cost_a_transfer_and_nothing_else(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    bench.offer(two, b"no patch" * 50, base=1, result=2)
    assert bench.fetched(two) == len(two.layers[1])
    assert "no patch" in bench.fetcher.patching.failed


def test_a_patch_cannot_make_more_than_the_image_that_was_signed(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    lie = bytearray(bench.patch(1, 2))
    lie[80:88] = (2**32).to_bytes(8, "big")
    bench.offer(two, bytes(lie), base=1, result=2)
    assert bench.fetched(two) == len(two.layers[1])
    assert "it makes 4294967296 bytes" in bench.fetcher.patching.failed


def test_an_image_that_is_not_wanted_any_more_is_left_while_a_patch_is_applied(bench: Bench) -> None:
    class NotWanted(Exception):
        pass

    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    patch = bench.patch(1, 2)
    bench.offer(two, patch, base=1, result=2)
    bench.fetcher.note([section({"web": {"image": two.image.model_dump()}})])

    def told(done: int, total: int) -> None:
        if (bench.folder / "images" / "making").exists():
            raise NotWanted

    with pytest.raises(NotWanted):
        bench.fetcher.fetch(bench.fetcher.name(two.image), told)
    assert list((bench.folder / "images" / "making").iterdir()) == []
    assert bench.fetched(two) == 0  # the patch is still here
    assert bench.fetcher.patching.saved_bytes > 300_000


def test_a_power_cut_before_the_engine_has_the_image_costs_no_second_transfer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object, **keywords: object) -> None:
        raise EngineUnavailable("it does not answer")

    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    bench.offer(two, bench.patch(1, 2), base=1, result=2)
    with monkeypatch.context() as patched:
        patched.setattr(bench.engine, "pull", away)
        with pytest.raises(EngineUnavailable):
            bench.fetched(two)
    store = Store(bench.folder / "images", boot="b" * 32)
    made = store.tars()[digest(bench.tar(2))]
    with (bench.folder / "images" / "blobs" / made[7:]).open("r+b") as file:
        file.truncate(4096)  # what was not synced is gone
    bench.fetcher = bench.reborn()
    assert bench.fetched(two) == 0
    assert bench.fetcher.patching.saved_bytes > 300_000
    assert digest(b"".join(store.chunks(made))) == made


def test_a_layer_that_packs_well_is_kept_packed(bench: Bench) -> None:
    text = (bench.mark.encode() + noise(60_000, seed=9)).hex().encode()
    tars = [layer_tar({"text": text, "n": b"%d" % number}) for number in range(2)]
    bench.tar = lambda number: tars[number]  # type: ignore[method-assign]
    one, two = bench.image(0), bench.image(1)
    bench.fetched(one)
    bench.offer(two, bench.patch(0, 1), base=0, result=1)
    assert bench.fetched(two) < 1_000
    made = Store(bench.folder / "images", boot="").tars()[digest(tars[1])]
    assert made != digest(tars[1])
    assert (bench.folder / "images" / "blobs" / made[7:]).stat().st_size < 0.7 * len(tars[1])


def test_a_base_that_rotted_is_noticed(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    bench.offer(two, bench.patch(1, 2), base=1, result=2)
    with (bench.folder / "images" / "blobs" / digest(one.layers[1])[7:]).open("r+b") as file:
        file.seek(200_000)
        file.write(b"rotten")
    assert bench.fetched(two) == len(two.layers[1])
    assert bench.fetcher.patching.failed


def test_an_owner_who_wants_patches_only_gets_an_error_and_no_whole_layer(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.use = "only"
    bench.fetcher = bench.reborn()
    bench.fetched(one)  # there is no patch to the first
    bench.offer(two, b"no patch" * 50, base=1, result=2)
    for _ in range(2):
        with pytest.raises(PatchFailed, match="takes no whole layer"):
            bench.fetched(two)
    assert not bench.holds(two.image)


def test_an_owner_who_wants_no_patches_gets_layers(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.use = "off"
    bench.fetcher = bench.reborn()
    bench.fetched(one)
    bench.offer(two, bench.patch(1, 2), base=1, result=2)
    assert bench.fetched(two) == len(two.layers[1])
    assert bench.fetcher.patching.failed == ""


def test_a_patch_from_a_layer_that_is_not_here_is_no_use(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    bench.offer(two, bench.patch(3, 2), base=3, result=2)
    assert bench.fetched(two) == len(two.layers[1])
    assert bench.fetcher.patching.failed == ""


def test_a_patch_that_is_listed_and_gone_is_done_without(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    patch = bench.patch(1, 2)
    name = bench.offer(two, patch, base=1, result=2)
    for path in bench.folder.rglob(f"{name[7:]}/link"):
        path.unlink()
    for path in bench.folder.rglob(f"{name[7:]}/data"):
        path.unlink()
    assert bench.fetched(two) == len(two.layers[1])
    assert "could not be fetched" in bench.fetcher.patching.failed


def test_without_room_to_apply_the_layer_is_fetched(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    bench.offer(two, bench.patch(1, 2), base=1, result=2)
    bench.free = (
        len(two.layers[1]) + len(two.tars[1]) + 64 * 1024 * 1024
    )  # for the layer, and not for the tar of the base beside it
    assert bench.fetched(two) == len(two.layers[1])


@pytest.mark.parametrize("index", [b"{}", b"[]", canonical({"schemaVersion": 2, "manifests": [{"digest": "x"}]})])
def test_a_list_of_patches_that_is_none_is_done_without(bench: Bench, index: bytes) -> None:
    class Home:
        has_mirrors = False

        def listing(self, repository: str, tag: str, *, size_max: int) -> bytes:
            return index

    one = bench.image(1)
    bench.fetched(one)
    store = Store(bench.folder / "images", boot="a" * 32)
    home: Any = Home()
    patching = Patching(store, home, bench.engine, use="use", name=lambda kept: "x", room=lambda need: True)
    lack = Lack(Blob(digest=digest(b"x"), size=99_999), 99_999, digest(b"y"))
    assert patching.chosen(one.image, [lack], to_unpack=0) == []


def test_a_refusal_of_the_layer_itself_is_still_one(bench: Bench) -> None:
    one, two = bench.image(1), bench.image(2)
    bench.fetched(one)
    for path in bench.folder.rglob(f"{digest(two.layers[1])[7:]}/*"):
        path.unlink()
    with pytest.raises(Refused, match="does not have"):
        bench.fetched(two)
