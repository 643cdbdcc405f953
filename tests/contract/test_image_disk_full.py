"""A disk that is full: at whatever byte that happens to an image, it is told, and once there is room it goes on."""

from __future__ import annotations

import json
import os
import re
import secrets
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from broker.backoff import Backoff
from broker.bundle import Index, Writer
from broker.canonical import digest
from broker.errors import Passing
from broker.files import StorageFull
from broker.oci import INDEX_TYPES, MANIFEST_TYPE, Blob, Patch, Referrer, patches_manifest, referrers_index
from broker.oci import referrers_tag as tag_of
from cloud.patching.making import make
from device.engine.memory import MemoryEngine
from device.engine.port import EngineRefused, Progress
from device.images import transfer
from device.images.bundled import BundledBlobs, keep
from device.images.fetcher import Fetcher
from device.images.loopback import Loopback
from device.images.parts import PART, PartialBlob
from device.images.patching import Use
from device.images.source import Registry
from device.images.sources import Sources
from device.images.store import Store
from tests.harness.apps import busybox_tar, section
from tests.harness.engine import device_engine, docker_client, registry, remove_images
from tests.harness.images import BuiltImage, built, layer_tar, noise, put_blob, put_manifest, upload
from tests.harness.podman import podman_service
from tests.harness.servers import free_port
from tests.harness.small_disk import PAGE, SmallDisk, small_disk

PLENTY = 1 << 40
ARRIVING = (
    "write images/blobs/",  # manifest and config
    "keep images/arriving/",
    "write images/blobs/.layer",
)
VARYING = re.compile(r"[0-9a-f]{64}|/[^ ]*/disk/")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system of its own")


class TakingEngine(MemoryEngine):
    """Pulls as engines do, from the loopback registry, and keeps nothing but the name."""

    def pull(self, image: str, *, token: str, progress: Progress) -> None:
        url, _, name = image.partition("@")
        host, _, repository = url.partition("/")
        manifest = json.loads(self._got(f"http://{host}/v2/{repository}/manifests/{name}", name))
        for layer in manifest["layers"]:
            self._got(f"http://{host}/v2/{repository}/blobs/{layer['digest']}", layer["digest"])
        self.images.add(image)

    def _got(self, url: str, wanted: str) -> bytes:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - the loopback registry
            data = bytes(answer.read())
        assert digest(data) == wanted
        return data


@dataclass
class Bench:
    """A registry on a disk that has room, and a device on one that is small."""

    folder: Path
    address: str
    disk: SmallDisk | None = None
    loopback: Loopback = field(default_factory=lambda: Loopback(free_port()))
    tars: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        mark = secrets.token_bytes(8)
        files = {"same": mark + noise(90_000, seed=7)}
        self.tars = [layer_tar(files | {"app": b"%d" % number * 3000}) for number in range(2)]
        self.images = [built([layer_tar({"low": mark}), tar]) for tar in self.tars]
        for image in self.images:
            upload(self.address, image)

    @property
    def state(self) -> Path:
        assert self.disk is not None
        return self.disk.mount / "images"

    def full_at_each_page(self, *, begin: Callable[[], None], deed: Callable[[], object]) -> set[str]:
        """Do a deed with more and more room, each time on a new disk, until it succeeds; return how it failed."""
        told = set()
        for free in range(PAGE, PLENTY, PAGE):
            with small_disk(self.folder / str(free) / "disk", megabytes=8) as self.disk:
                begin()
                self.disk.leave(free)
                try:
                    deed()
                except StorageFull as error:
                    told.add(VARYING.sub("", str(error)))
                else:
                    return told
                self.disk.make_room()
                deed()
        raise AssertionError("it never succeeds")

    def fetcher(self, *, patches: Use = "use") -> Fetcher:
        """Return one that is told that there is room: the disk fills while it is at work."""
        return Fetcher(
            store=Store(self.state, boot="a" * 32),
            sources=Sources(Registry(self.address, None, lambda repository, fresh: "none", connect_s=1.0)),
            loopback=self.loopback,
            engine=TakingEngine(),
            free_bytes=lambda: PLENTY,
            patches=patches,
        )

    def offer(self) -> int:
        """List a patch from the first image to the second, as the cloud does; return its size."""
        paths = [self.folder / name for name in ("old", "new", "patch")]
        for path, tar in zip(paths, self.tars, strict=False):
            path.write_bytes(tar)
        first, second = (digest(tar) for tar in self.tars)
        make(*paths, base_digest=first, result_digest=second)
        patch, image = paths[2].read_bytes(), self.images[1]
        listed = Patch(digest=digest(patch), size=len(patch), base=first, result=second)
        artifact = patches_manifest(Blob(digest=image.digest, size=len(image.manifest)), [listed])
        entry = Referrer(digest=digest(artifact), size=len(artifact), bases=frozenset({first}))
        for blob in (patch, b"{}"):
            put_blob(self.address, image.repository, blob)
        put_manifest(self.address, image.repository, digest(artifact), MANIFEST_TYPE, artifact)
        index = referrers_index(None, [entry])
        put_manifest(self.address, image.repository, tag_of(image.digest), INDEX_TYPES[0], index)
        return len(patch)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(transfer, "RETRY", Backoff(first_s=0.01, max_s=0.05))
    with registry(tmp_path) as address:
        made = Bench(tmp_path, address)
        try:
            yield made
        finally:
            made.loopback.close()


def fetch(fetcher: Fetcher, image: BuiltImage) -> int:
    """Fetch an image; return how many bytes were to move."""
    totals = [0]
    fetcher.note([section({"web": {"image": image.image.model_dump()}})])
    fetcher.fetch(fetcher.name(image.image), lambda done, total: totals.append(total))
    return totals[-1]


def stages(*deeds: str) -> set[str]:
    return {f"cannot {deed}: No space left on device" for deed in deeds}


def test_wherever_the_disk_fills_while_an_image_is_fetched_it_arrives_once_there_is_room(bench: Bench) -> None:
    fetchers: list[Fetcher] = []

    def begin() -> None:
        fetchers[:] = [bench.fetcher()]

    told = bench.full_at_each_page(begin=begin, deed=lambda: fetch(fetchers[0], bench.images[0]))
    assert told == stages(*ARRIVING, "write images/images/")


@pytest.mark.parametrize("patches", ["use", "only"])
def test_wherever_the_disk_fills_while_a_patch_is_applied_it_is_applied_once_there_is_room(
    bench: Bench, patches: Use
) -> None:
    patch_bytes = bench.offer()
    fetchers: list[Fetcher] = []

    def begin() -> None:
        fetchers[:] = [bench.fetcher(patches=patches)]
        fetch(fetchers[0], bench.images[0])

    def deed() -> None:
        assert fetch(fetchers[0], bench.images[1]) <= patch_bytes  # nothing where it is here already
        assert fetchers[0].patching.saved_bytes > 80_000
        assert fetchers[0].patching.failed == ""

    told = bench.full_at_each_page(begin=begin, deed=deed)
    assert told >= stages(*ARRIVING, "apply a patch in images/making")


def test_wherever_the_disk_fills_while_a_bundle_is_kept_it_is_kept_once_there_is_room(bench: Bench) -> None:
    image = bench.images[0]
    file = bench.folder / "bundle"
    with file.open("wb") as output:
        writer = Writer(output, Index())
        for data in (image.manifest, *image.blobs.values()):
            writer.blob(digest(data), len(data), (data,))
        writer.finish()
    descriptor = os.open(file, os.O_RDONLY)
    bundle = BundledBlobs(descriptor)

    def deed() -> None:
        store = Store(bench.state, boot="")
        assert keep(bundle, [image.image], store, told=lambda done, total: None) == 0
        assert all(store.has(name) for name in bundle.blobs)

    told = bench.full_at_each_page(begin=lambda: None, deed=deed)
    assert told == stages(*ARRIVING)
    os.close(descriptor)


def test_an_engine_whose_own_disk_is_full_says_so_and_takes_the_image_once_there_is_room(
    tmp_path: Path,
) -> None:
    image = built([busybox_tar({"mark": secrets.token_bytes(8)}), layer_tar({"big": noise(5_000_000, seed=5)})])
    with (
        TemporaryDirectory(prefix="skerry-") as short,  # a socket's path has 107 bytes
        registry(tmp_path) as address,
        small_disk(Path(short) / "disk", megabytes=64) as disk,
        podman_service(disk.mount) as url,
        device_engine(url) as engine,
    ):
        upload(address, image)
        loopback = Loopback(free_port())
        fetcher = Fetcher(
            store=Store(tmp_path / "images", boot="a" * 32),
            sources=Sources(Registry(address, None, lambda repository, fresh: "none")),
            loopback=loopback,
            engine=engine,
            free_bytes=lambda: PLENTY,
        )
        disk.leave(1_000_000)
        with pytest.raises((EngineRefused, Passing), match="no space left on device"):
            fetch(fetcher, image)
        disk.make_room()
        assert fetch(fetcher, image) == 0  # all of it is here
        assert engine.has_image(fetcher.name(image.image))
        client = docker_client(url)
        loopback.close()
        remove_images(client, loopback.address)
        client.close()


def test_a_record_that_was_written_in_part_does_not_cost_the_parts_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data, real = tmp_path / "blob", noise(3 * PART, seed=6), os.pwrite

    def cut_short(descriptor: int, record: bytes, at: int) -> int:
        return real(descriptor, record[:10] if len(record) < PAGE else record, at)

    with PartialBlob(path, size=len(data), boot="a") as partial:
        monkeypatch.setattr(os, "pwrite", cut_short)
        with pytest.raises(StorageFull):
            partial.write(0, data)
        monkeypatch.undo()
    with PartialBlob(path, size=len(data), boot="a") as partial:
        assert partial.missing() == [(PART, len(data))]
        partial.write(PART, data[PART:])
    with PartialBlob(path, size=len(data), boot="after a power cut") as partial:
        assert partial.missing() == [(0, PART)]  # the part whose record found no room
