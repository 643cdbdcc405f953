"""Images from a real registry into a real engine by way of the device: whole, by digest, and back without a link."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from broker.backoff import Backoff
from broker.canonical import digest
from broker.errors import Passing, Refused
from device.engine.port import Engine
from device.images import transfer
from device.images.fetcher import BlobsDamaged, Fetcher
from device.images.keeping import Keeper
from device.images.loopback import Loopback, PortTaken
from device.images.parts import PART
from device.images.source import LinkLost, Registry
from device.images.sources import Sources
from device.images.store import Store
from tests.harness.apps import busybox_tar, section
from tests.harness.engine import device_engine, docker_client, registry, remove_images
from tests.harness.images import BuiltImage, built, layer_tar, noise, upload
from tests.harness.servers import free_port

GIB = 1024**3
EVERY_ENGINE = pytest.mark.parametrize("bench", ["docker", "podman"], indirect=True)


class Bench:
    """A registry, an engine, and everything of a device between the two."""

    def __init__(self, folder: Path, address: str, engine: Engine, client: docker.APIClient) -> None:
        self.folder = folder
        self.address = address
        self.engine = engine
        self.client = client
        self.free = 100 * GIB
        self.asked: list[str] = []
        mark = secrets.token_hex(8)  # layers that no engine has seen before
        self.base = busybox_tar({"mark": mark.encode(), "big": noise(1_500_000, seed=11)})
        self.tops = [layer_tar({"top": f"{mark} {number}".encode() * 2000}) for number in range(3)]
        self.loopback = Loopback(free_port())
        self.fetcher = self.reborn()
        self.keeper = Keeper(
            folder / "releases.json",
            store=Store(folder, boot="a" * 32),
            fetcher=self.fetcher,
            engine=engine,
            address=self.loopback.address,
        )

    def settle(self, image: BuiltImage) -> None:
        """Tell that an app with this image works; clear away what nobody needs."""
        settled = section({"web": {"image": image.image.model_dump()}})
        self.fetcher.note([settled])
        self.keeper.settled([settled], wanted=frozenset({settled.instance}))

    def reborn(
        self, *, address: str = "", keep_blobs: bool = True, free_bytes: Callable[[], int] | None = None
    ) -> Fetcher:
        def token(repository: str, fresh: bool) -> str:
            self.asked.append(repository)
            return "none"

        return Fetcher(
            store=Store(self.folder, boot="a" * 32),
            sources=Sources(Registry(address or self.address, None, token, connect_s=1.0)),
            loopback=self.loopback,
            engine=self.engine,
            free_bytes=free_bytes or (lambda: self.free),
            keep_blobs=keep_blobs,
        )

    def image(self, top: int, packing: str = "gzip") -> BuiltImage:
        made = built([self.base, self.tops[top]], packing=packing)  # type: ignore[arg-type]
        upload(self.address, made)
        return made

    def name(self, image: BuiltImage) -> str:
        return self.fetcher.name(image.image)

    def fetch(self, image: BuiltImage, fetcher: Fetcher | None = None) -> str:
        fetcher = fetcher or self.fetcher
        fetcher.note([section({"web": {"image": image.image.model_dump()}})])
        fetcher.fetch(self.name(image), lambda done, total: None)
        return self.name(image)

    def fetched(self, image: BuiltImage) -> int:
        """Fetch an image; return how many bytes were told to be moving."""
        totals: list[int] = []
        self.fetcher.note([section({"web": {"image": image.image.model_dump()}})])
        self.fetcher.fetch(self.name(image), lambda done, total: totals.append(total))
        assert len(set(totals)) == 1
        return totals[0]

    def holds(self, image: BuiltImage) -> bool:
        """Return whether the engine holds it by its release manifest, as built."""
        if not self.engine.has_image(self.name(image)):
            return False
        found = self.client.inspect_image(self.name(image))
        return bool(
            found["Id"].removeprefix("sha256:") == digest(image.config)[7:] and self.name(image) in found["RepoDigests"]
        )

    def forget(self, image: BuiltImage) -> None:
        self.client.remove_image(self.name(image), force=True)

    def blob(self, data: bytes) -> Path:
        return self.folder / "blobs" / digest(data).removeprefix("sha256:")


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Everything between a registry and an engine: Docker, or the one that a test names."""
    monkeypatch.setattr(transfer, "RETRY", Backoff(first_s=0.01, max_s=0.05))
    url = request.getfixturevalue("podman") if getattr(request, "param", "") == "podman" else None
    client = docker_client(url)
    with registry(tmp_path) as address, device_engine(url) as engine:
        made = Bench(tmp_path / "images", address, engine, client)
        try:
            yield made
        finally:
            made.loopback.close()
            remove_images(client, made.loopback.address)
            client.close()


@EVERY_ENGINE
@pytest.mark.parametrize("packing", ["gzip", "zstd", "plain"])
def test_an_image_arrives_as_it_was_built_whatever_its_layers_are_packed_by(bench: Bench, packing: str) -> None:
    image = bench.image(0, packing)
    name = bench.fetch(image)
    assert bench.holds(image)
    made = bench.client.create_container(name, ["/bin/busybox", "head", "-c", "20", "/top"], network_disabled=True)
    bench.client.start(made["Id"])
    bench.client.wait(made["Id"])
    assert bench.client.logs(made["Id"]) == (bench.tops[0][512:532])
    bench.client.remove_container(made["Id"], force=True)


@EVERY_ENGINE
def test_of_the_next_release_only_what_is_new_is_fetched(bench: Bench) -> None:
    first, second = bench.image(0), bench.image(1)
    bench.fetch(first)
    assert bench.fetched(second) == len(second.layers[1])
    assert bench.holds(second)


@EVERY_ENGINE
def test_what_the_engine_holds_of_an_image_is_not_fetched_for_another(bench: Bench) -> None:
    first, second = bench.image(0), bench.image(1)
    dropping = bench.reborn(keep_blobs=False)
    bench.fetch(first, dropping)
    assert not bench.blob(first.layers[0]).exists()
    bench.fetch(second, bench.fetcher)
    assert bench.holds(second)
    assert not bench.blob(second.layers[0]).exists()


@EVERY_ENGINE
def test_an_image_that_the_engine_lost_comes_back_without_any_link(bench: Bench) -> None:
    image = bench.image(0)
    bench.fetch(image)
    bench.forget(image)
    bench.fetch(image, bench.reborn(address=f"127.0.0.1:{free_port()}"))
    assert bench.holds(image)


def test_a_kept_blob_that_rotted_is_fetched_again_and_never_run(bench: Bench) -> None:
    image = bench.image(0)
    bench.fetch(image)
    bench.forget(image)
    with bench.blob(image.layers[0]).open("r+b") as file:
        file.seek(700_000)
        file.write(b"rotten")
    offline = bench.reborn(address=f"127.0.0.1:{free_port()}")
    with pytest.raises(LinkLost):  # the damaged part is asked for
        bench.fetch(image, offline)
    assert not bench.engine.has_image(bench.name(image))
    assert bench.fetched(image) == len(image.layers[0])
    assert bench.holds(image)


def test_a_blob_that_rots_under_the_engines_hands_is_noticed_and_fetched_again(bench: Bench) -> None:
    image = bench.image(0)
    bench.fetch(image)
    bench.forget(image)
    with bench.blob(image.layers[1]).open("r+b") as file:  # this worker has read it, and believes it
        file.seek(100)
        file.write(b"rotten")
    with pytest.raises(BlobsDamaged):
        bench.fetch(image)
    assert not bench.engine.has_image(bench.name(image))
    bench.fetch(image)
    assert bench.holds(image)


def test_an_image_is_refused_when_it_is_not_the_one_that_was_signed(bench: Bench) -> None:
    image, other = bench.image(0), bench.image(1)
    lie = image.image.model_copy(update={"plain": other.image.plain})
    bench.fetcher.note([section({"web": {"image": lie.model_dump()}})])
    with pytest.raises(Refused) as refused:
        bench.fetcher.fetch(bench.fetcher.name(lie), lambda done, total: None)
    assert refused.value.reason == "wrong_manifest"
    assert not bench.engine.has_image(bench.name(image))


def test_an_image_of_no_release_is_not_fetched(bench: Bench) -> None:
    image = bench.image(0)
    with pytest.raises(Refused) as refused:
        bench.fetcher.fetch(bench.name(image), lambda done, total: None)
    assert refused.value.reason == "unknown_image"
    assert not bench.asked


def test_without_room_nothing_is_fetched_and_the_figures_are_said_and_with_room_it_goes_on(bench: Bench) -> None:
    image = bench.image(0)
    bench.free = 65 * 1024 * 1024
    with pytest.raises(Refused, match="MiB are free") as refused:
        bench.fetch(image)
    assert refused.value.reason == "no_room"
    assert not list((bench.folder / "arriving").iterdir())
    bench.free = 100 * GIB
    bench.fetch(image)
    assert bench.holds(image)


def test_blobs_that_are_only_kept_are_given_up_for_room(bench: Bench) -> None:
    first, second = bench.image(0), bench.image(1)
    bench.fetch(first)
    kept = bench.blob(first.layers[0])
    assert kept.exists()

    def free() -> int:
        return GIB if not kept.exists() else 65 * 1024 * 1024

    scarce = bench.reborn(free_bytes=free)
    bench.fetch(second, scarce)
    assert bench.holds(second)


@EVERY_ENGINE
def test_the_release_that_runs_and_the_one_before_it_stay_and_no_other(bench: Bench) -> None:
    images = [bench.image(number) for number in range(3)]
    for image in images:
        bench.fetch(image)
        bench.settle(image)
    assert [bench.holds(image) for image in images] == [False, True, True]
    assert [bench.blob(image.manifest).exists() for image in images] == [False, True, True]
    assert bench.blob(images[0].layers[0]).exists()  # the base of them all


def test_going_back_keeps_both_releases_too(bench: Bench) -> None:
    one, two = bench.image(0), bench.image(1)
    for image in (one, two, one):
        bench.fetch(image)
        bench.settle(image)
    assert bench.holds(one)
    assert bench.holds(two)


def test_an_app_that_is_gone_takes_its_images_along_and_nobody_elses(bench: Bench) -> None:
    image, foreign = bench.image(0), bench.image(1)
    bench.fetch(image)
    bench.settle(image)
    repository, _, pushed = f"{bench.address}/{foreign.repository}@{foreign.digest}".partition("@")
    bench.client.pull(repository, tag=pushed, auth_config={"registrytoken": "none"})
    bench.fetcher.note([])
    bench.keeper.settled([], wanted=frozenset())
    assert not bench.holds(image)
    assert bench.client.inspect_image(f"{repository}@{pushed}")
    assert not list((bench.folder / "blobs").iterdir())


def test_an_image_that_a_container_still_has_stays_until_that_is_gone(bench: Bench) -> None:
    image = bench.image(0)
    name = bench.fetch(image)
    bench.settle(image)
    made = bench.client.create_container(name, network_disabled=True)
    bench.fetcher.note([])
    bench.keeper.settled([], wanted=frozenset())
    assert bench.holds(image)
    bench.client.remove_container(made["Id"], force=True)
    assert bench.keeper.sweep() is not None
    assert not bench.holds(image)


def test_what_is_arriving_for_the_wanted_release_is_not_swept_away(bench: Bench) -> None:
    image = bench.image(0)
    bench.fetcher.note([section({"web": {"image": image.image.model_dump()}})])

    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > PART:
            raise Enough

    with contextlib.suppress(Enough):
        bench.fetcher.fetch(bench.name(image), stop)
    before = sorted(path.name for path in bench.folder.glob("*/*[0-9a-f]"))
    assert before
    bench.keeper.sweep()
    assert sorted(path.name for path in bench.folder.glob("*/*[0-9a-f]")) == before
    bench.fetcher.note([])
    bench.keeper.sweep()
    assert not list(bench.folder.glob("*/*[0-9a-f]"))


def test_a_taken_port_is_an_error_by_name_and_cured_by_its_release(bench: Bench) -> None:
    image = bench.image(0)
    with socket.create_server(("127.0.0.1", bench.loopback.port)) as other:
        with pytest.raises(PortTaken):
            bench.fetch(image)
        other.close()
    bench.fetch(image)
    assert bench.holds(image)


def test_a_registry_that_is_away_is_a_passing_error(bench: Bench) -> None:
    image = bench.image(0)
    with pytest.raises(Passing):
        bench.fetch(image, bench.reborn(address=f"127.0.0.1:{free_port()}"))
