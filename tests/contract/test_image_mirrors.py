"""Mirrors and budgets: what is on the site does not cross the link, and the link carries what its policy allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.backoff import Backoff
from broker.canonical import digest
from broker.errors import Refused, Waiting
from broker.messages import LinkPolicy
from device.images import transfer
from device.images.allowance import DAY_MS
from device.images.meter import Meter
from device.images.parts import PART
from device.images.source import Registry
from device.images.sources import ASIDE_S, Sources
from device.images.store import Store
from device.images.transfer import Transfer, Want
from tests.harness import faulty_registry as faults
from tests.harness.faulty_registry import TOKEN, Fault, FaultyRegistry, faulty_registry
from tests.harness.images import noise
from tests.harness.nginx import nginx_mirror
from tests.harness.servers import free_port, wait_until

REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/web"
BLOB = noise(3 * PART + 12345, seed=21)
MANIFEST = noise(700, seed=22)
BLOBS = {digest(BLOB): BLOB}
MANIFESTS = {digest(MANIFEST): MANIFEST}


class Bench:
    """A registry far away, one place near, and stores to fill from both."""

    def __init__(self, folder: Path, home: FaultyRegistry, near: FaultyRegistry) -> None:
        self.folder, self.home, self.near = folder, home, near
        self.now = 0.0
        self.sources = self.reborn()

    def reborn(self, *mirrors: str) -> Sources:
        made = Sources(
            Registry(self.home.address, None, lambda repository, fresh: TOKEN, stall_s=0.5, connect_s=1.0),
            monotonic=lambda: self.now,
        )
        made.use_mirrors(mirrors or (f"http://{self.near.address}",))
        return made

    def fetch(self, sources: Sources | None = None, *, name: str = "images") -> bytes:
        store = Store(self.folder / name, boot="a" * 32)
        store.prepare()
        want = Want(REPOSITORY, digest(BLOB), len(BLOB), unpacked_max=10 * len(BLOB))
        Transfer(sources or self.sources, store, [want]).run(lambda done, total: None)
        return b"".join(store.chunks(digest(BLOB)))


def sent(registry: FaultyRegistry, count: int) -> None:
    """Wait until so much was sent: it is counted once it has left."""
    wait_until(lambda: registry.sent_bytes >= count)
    assert registry.sent_bytes == count


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(transfer, "RETRY", Backoff(first_s=0.01, max_s=0.05))
    with faulty_registry(MANIFESTS, BLOBS) as home, faulty_registry(MANIFESTS, BLOBS) as near:
        near.is_open = True
        yield Bench(tmp_path, home, near)


def test_what_a_mirror_has_is_not_asked_of_the_registry(bench: Bench) -> None:
    assert bench.fetch() == BLOB
    assert bench.sources.manifest(REPOSITORY, digest(MANIFEST), size_max=1000) == MANIFEST
    assert bench.home.asked == []
    sent(bench.near, len(BLOB) + len(MANIFEST))


def test_a_mirror_gets_a_token_only_when_it_asks_for_one(bench: Bench) -> None:
    bench.fetch()
    assert bench.near.shown == [""]
    bench.near.is_open = False
    assert bench.fetch(name="other") == BLOB
    assert bench.near.shown[1:] == ["", f"Bearer {TOKEN}"]
    assert bench.home.asked == []


HARM: dict[str, Fault] = {
    "server errors": faults.status(500),
    "a refusal": faults.status(403),
    "a request for pauses": faults.status(429, {"Retry-After": "600"}),
    "wrong bytes": faults.wrong_bytes,
    "a wrong length": faults.wrong_length,
    "another encoding": faults.other_encoding,
    "cuts before the first byte": faults.cut_after(0),
    "redirects without end": faults.redirect_to_itself,
    "a redirect to a file": faults.redirect_to("file:///etc/passwd"),
}


@pytest.mark.parametrize("harm", HARM)
def test_whatever_a_mirror_does_the_blob_comes_from_the_registry(bench: Bench, harm: str) -> None:
    bench.near.always = HARM[harm]
    assert bench.fetch() == BLOB
    assert bench.home.sent_bytes == len(BLOB)


def test_a_mirror_with_wrong_manifests_is_left_out(bench: Bench) -> None:
    bench.near.always = faults.wrong_bytes
    assert bench.sources.manifest(REPOSITORY, digest(MANIFEST), size_max=1000) == MANIFEST
    bench.near.always = None
    bench.fetch()
    sent(bench.home, len(MANIFEST) + len(BLOB))


def test_what_is_wrong_in_the_registry_as_well_is_refused(bench: Bench) -> None:
    bench.near.always = bench.home.always = faults.wrong_bytes
    with pytest.raises(Refused, match="other bytes"):
        bench.fetch()


def test_a_mirror_that_is_away_costs_one_try_and_is_asked_again_after_a_while(bench: Bench) -> None:
    bench.near.always = faults.status(502)
    bench.fetch()
    bench.near.always = None
    tries = len(bench.near.asked)
    bench.fetch(name="second")
    assert len(bench.near.asked) == tries == 1
    bench.now += ASIDE_S
    bench.fetch(name="third")
    assert bench.home.sent_bytes == 2 * len(BLOB)


def test_a_mirror_that_breaks_off_in_a_blob_is_asked_for_the_rest(bench: Bench) -> None:
    bench.near.faults = deque([faults.ends_after(PART + 7)])
    assert bench.fetch() == BLOB
    assert bench.home.asked == []
    assert bench.near.sent_bytes == len(BLOB)


def test_without_any_mirror_listening_the_registry_serves(bench: Bench) -> None:
    sources = bench.reborn(f"http://127.0.0.1:{free_port()}", f"http://{bench.near.address}/nowhere")
    assert bench.fetch(sources) == BLOB
    assert bench.home.sent_bytes == len(BLOB)


def test_nginx_as_documented_fetches_each_byte_once_for_a_whole_site(bench: Bench, tmp_path: Path) -> None:
    with nginx_mirror(tmp_path / "mirror", registry=bench.home.address) as url:
        first, second = bench.reborn(url), bench.reborn(url)
        assert bench.fetch(first, name="d0") == BLOB
        assert first.manifest(REPOSITORY, digest(MANIFEST), size_max=1000) == MANIFEST
        crossed = len(BLOB) + len(MANIFEST)
        sent(bench.home, crossed)
        bench.home.always = faults.status(500)
        assert bench.fetch(second, name="d1") == BLOB
        assert second.manifest(REPOSITORY, digest(MANIFEST), size_max=1000) == MANIFEST
        assert bench.home.sent_bytes == crossed


def test_nginx_as_documented_keeps_what_came_before_its_own_link_broke(bench: Bench, tmp_path: Path) -> None:
    with nginx_mirror(tmp_path / "mirror", registry=bench.home.address) as url:
        sources = bench.reborn(url)
        bench.home.faults = deque([faults.well, faults.cut_after(10_000)])
        assert bench.fetch(sources, name="d0") == BLOB
        sent(bench.home, len(BLOB) + 10_000)
        bench.home.always = faults.status(500)
        assert bench.fetch(bench.reborn(url), name="d1") == BLOB


def metered(bench: Bench, link: LinkPolicy, *mirrors: str, day: int | None = None) -> Sources:
    """Return the sources of a worker that has just been started, on a day."""
    meter = Meter(bench.folder / "link.json", monotonic=lambda: bench.now)
    meter.follow(link)
    if day is not None:
        meter.time_is(day * DAY_MS)
    home = Registry(bench.home.address, None, lambda repository, fresh: TOKEN, stall_s=0.5, connect_s=1.0)
    made = Sources(home, meter=meter, monotonic=lambda: bench.now)
    made.use_mirrors(mirrors)
    return made


def test_a_blob_comes_in_as_many_days_as_its_budget_needs_and_not_a_byte_more_a_day(bench: Bench) -> None:
    link = LinkPolicy(bytes_per_day=len(BLOB) // 3 + 1)
    for day in (1, 1, 2, 2):
        with pytest.raises(Waiting, match="used up until"):
            bench.fetch(metered(bench, link, day=day))
        sent(bench.home, day * (len(BLOB) // 3 + 1))
    assert bench.fetch(metered(bench, link, day=3)) == BLOB
    sent(bench.home, len(BLOB))


def test_what_a_mirror_gives_is_not_counted_and_comes_whatever_the_policy(bench: Bench) -> None:
    sources = metered(bench, LinkPolicy(metered=True), f"http://{bench.near.address}")
    assert bench.fetch(sources) == BLOB
    assert bench.home.asked == []
    bench.near.always = faults.status(500)
    with pytest.raises(Waiting, match="metered"):
        bench.fetch(sources, name="other")
    assert bench.home.asked == []
