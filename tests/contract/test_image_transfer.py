"""Blobs over a link and from a registry that do everything wrong: each fault ends in progress or in a named error."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.backoff import Backoff
from broker.canonical import digest
from broker.errors import Passing, Refused
from device.images import source, transfer
from device.images.parts import PART
from device.images.source import RECEIVE_BUFFER, LinkLost, Registry, TryLater
from device.images.sources import Sources
from device.images.store import Store
from device.images.transfer import Transfer, Want
from tests.harness import faulty_registry as faults
from tests.harness.faulty_registry import TOKEN, Fault, FaultyRegistry, Silence, faulty_registry
from tests.harness.images import noise

REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/web"
BLOB = noise(3 * PART + 12345, seed=1)
SMALL = noise(1000, seed=2)
BOOT = "a" * 32


class Bench:
    """A store, and a registry to fill it from."""

    def __init__(self, folder: Path, registry: FaultyRegistry) -> None:
        self.folder = folder
        self.registry = registry
        self.tokens: list[bool] = []
        self.source = Sources(Registry(registry.address, None, self._token, stall_s=0.5, connect_s=2.0))
        self.store = self.reborn()
        self.store.prepare()

    def _token(self, repository: str, fresh: bool) -> str:
        self.tokens.append(fresh)
        return TOKEN if fresh or "stale" not in self.registry.tokens else "old"

    def reborn(self, boot: str = BOOT) -> Store:
        """Return the store as a new worker has it."""
        return Store(self.folder, boot=boot)

    def fetch(self, *blobs: bytes, store: Store | None = None) -> None:
        wants = [Want(REPOSITORY, digest(blob), len(blob), unpacked_max=10 * len(blob)) for blob in blobs or (BLOB,)]
        Transfer(self.source, store or self.store, wants).run(lambda done, total: None)

    def has(self, blob: bytes = BLOB) -> bool:
        return self.store.has(digest(blob)) and b"".join(self.store.chunks(digest(blob))) == blob

    @property
    def extra_bytes(self) -> int:
        """How many bytes were sent more than the blob has."""
        return self.registry.sent_bytes - len(BLOB)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(transfer, "RETRY", Backoff(first_s=0.01, max_s=0.05))
    monkeypatch.setattr(source, "BUSY_S", 0.02)
    with faulty_registry({}, {digest(blob): blob for blob in (BLOB, SMALL)}) as registry:
        yield Bench(tmp_path / "images", registry)


def test_blobs_arrive_and_are_the_bytes_that_their_digests_name(bench: Bench) -> None:
    bench.fetch(BLOB, SMALL)
    assert bench.has(BLOB)
    assert bench.has(SMALL)
    assert bench.registry.sent_bytes == len(BLOB) + len(SMALL)


def test_a_cut_costs_no_more_than_what_was_in_the_air(bench: Bench) -> None:
    rng = random.Random(7)  # noqa: S311 - where to cut
    bench.registry.faults = deque(faults.cut_after(rng.randrange(1, 100_000)) for _ in range(12))
    bench.fetch()
    assert bench.has()
    assert bench.extra_bytes <= 12 * 2 * RECEIVE_BUFFER  # what had come and was not read when the reset came


RECOVERED: dict[str, Fault] = {
    "a short answer": faults.short_by(1000),
    "an ignored range": faults.ignored_range,
    "a server error": faults.status(500),
    "a gateway without a server": faults.status(502),
    "too many requests": faults.status(429, {"Retry-After": "0"}),
    "not now": faults.status(503, {"Retry-After": "1"}),
    "a pause that is a date": faults.status(503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    "a request that took too long": faults.status(408),
    "an endless answer": faults.endless,
    "a connection without an answer": faults.cut_after(0),
}


@pytest.mark.parametrize("fault", RECOVERED)
@pytest.mark.parametrize("where", ["at the start", "in the middle"])
def test_a_passing_fault_is_got_over(bench: Bench, fault: str, where: str) -> None:
    before = [faults.cut_after(PART + 1000)] if where == "in the middle" else []
    bench.registry.faults = deque([*before, RECOVERED[fault]])
    bench.fetch()
    assert bench.has()


REFUSED: dict[str, tuple[Fault, str]] = {
    "another length": (faults.wrong_length, "wrong_length"),
    "another encoding": (faults.other_encoding, "bad_encoding"),
    "an unsatisfiable range": (faults.status(416), "wrong_length"),
    "redirects in a circle": (faults.redirect_to_itself, "redirect_loop"),
    "a redirect to a file": (faults.redirect_to("file:///etc/passwd"), "bad_redirect"),
    "a redirect to nowhere": (faults.redirect_to("http://[bad"), "bad_redirect"),
    "a redirect without a place": (faults.status(307), "bad_redirect"),
    "forbidden": (faults.status(403), "registry_refused"),
    "not there": (faults.status(404), "missing_blob"),
    "an answer that makes no sense": (faults.status(299), "registry_refused"),
    "wrong bytes": (faults.wrong_bytes, "wrong_bytes"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_registry_that_gives_something_else_is_refused_by_name_and_works_when_cured(bench: Bench, fault: str) -> None:
    wrong, reason = REFUSED[fault]
    bench.registry.always = wrong
    with pytest.raises(Refused) as refused:
        bench.fetch()
    assert refused.value.reason == reason
    assert not bench.store.has(digest(BLOB))
    bench.registry.always = None
    bench.fetch()
    assert bench.has()


def test_another_range_than_asked_for_is_refused(bench: Bench) -> None:
    bench.registry.faults = deque([faults.cut_after(1000), faults.other_range])
    with pytest.raises(Refused) as refused:
        bench.fetch()
    assert refused.value.reason == "bad_range"


@pytest.mark.parametrize("drip_s", [None, 0.05])
def test_a_transfer_that_does_not_move_is_given_up_and_goes_on_elsewhere(bench: Bench, drip_s: float | None) -> None:
    silence = Silence(PART + 777, drip_s=drip_s)
    bench.registry.faults = deque([silence])
    bench.fetch()
    silence.over.set()
    assert bench.has()
    ranges = [asked for _, asked in bench.registry.asked]
    assert len(ranges) == 2
    assert int(ranges[1].removeprefix("bytes=").partition("-")[0]) >= PART + 777


def test_a_token_that_expired_is_renewed_in_the_middle_of_a_layer(bench: Bench) -> None:
    def expire(handler: faults.Handler, data: bytes, start: int, end: int) -> None:
        bench.registry.tokens.add("stale")  # from now on the bench gives the old one first
        faults.cut_after(1000)(handler, data, start, end)

    bench.registry.faults = deque([expire])
    bench.fetch()
    assert bench.has()
    assert bench.tokens[-2:] == [False, True]


def test_a_registry_that_believes_no_token_is_a_passing_error(bench: Bench) -> None:
    bench.registry.tokens = set()
    with pytest.raises(LinkLost, match="401"):
        bench.fetch()


def test_a_registry_that_is_only_ever_busy_is_a_passing_error_that_says_for_how_long(bench: Bench) -> None:
    bench.registry.always = faults.status(429, {"Retry-After": "0"})
    bench.registry.faults = deque([faults.status(429, {"Retry-After": "0"})] * 3)
    with pytest.raises(TryLater):
        bench.fetch()


def test_without_any_progress_the_caller_is_told_after_a_few_tries(bench: Bench) -> None:
    bench.registry.always = faults.cut_after(0)
    with pytest.raises(LinkLost):
        bench.fetch()
    assert len(bench.registry.asked) == transfer.FRUITLESS_MAX


def test_nobody_listening_is_a_passing_error(bench: Bench, tmp_path: Path) -> None:
    from tests.harness.servers import free_port

    nobody = Sources(Registry(f"127.0.0.1:{free_port()}", None, lambda repository, fresh: "", connect_s=1.0))
    wants = [Want(REPOSITORY, digest(BLOB), len(BLOB), unpacked_max=1 << 30)]
    with pytest.raises(Passing):
        Transfer(nobody, bench.store, wants).run(lambda done, total: None)


def test_what_stops_a_transfer_stops_it_at_once_and_loses_nothing(bench: Bench) -> None:
    silence = Silence(PART + 100_000)
    bench.registry.faults = deque([silence])
    patient = Sources(Registry(bench.registry.address, None, lambda repository, fresh: TOKEN))  # it would wait for 30 s

    def stop(done: int, total: int) -> None:
        if done >= PART:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Transfer(patient, bench.store, [Want(REPOSITORY, digest(BLOB), len(BLOB), 1 << 30)]).run(stop)
    silence.over.set()
    bench.fetch(store=bench.reborn())
    assert bench.extra_bytes == 0


def _interrupted(bench: Bench, sent: int) -> None:
    bench.registry.faults = deque([faults.ends_after(sent)])
    bench.registry.always = faults.status(500)
    with pytest.raises(LinkLost):
        bench.fetch()
    bench.registry.always = None


def test_a_new_worker_goes_on_from_the_byte_where_the_last_one_was_killed(bench: Bench) -> None:
    _interrupted(bench, PART + 100_000)
    bench.fetch(store=bench.reborn())
    assert bench.has()
    assert bench.extra_bytes == 0


def test_after_a_power_cut_only_what_no_journal_vouches_for_is_fetched_again(bench: Bench) -> None:
    _interrupted(bench, PART + 100_000)
    partial = next((bench.folder / "arriving").glob("*[0-9a-f]"))
    with partial.open("r+b") as file:
        file.seek(PART)
        file.write(bytes(50_000))  # the file has its length, the blocks were never written
    bench.fetch(store=bench.reborn(boot="b" * 32))
    assert bench.has()
    assert bench.extra_bytes == 100_000


def test_of_a_damaged_file_only_the_damaged_part_is_fetched_again(bench: Bench) -> None:
    _interrupted(bench, 3 * PART)
    partial = next((bench.folder / "arriving").glob("*[0-9a-f]"))
    with partial.open("r+b") as file:
        file.seek(PART + 5)
        file.write(b"flip")
    bench.fetch(store=bench.reborn())
    assert bench.has()
    assert bench.extra_bytes == PART


def test_damage_that_is_noticed_only_at_the_end_costs_one_part_as_well(bench: Bench) -> None:
    def damage(handler: faults.Handler, data: bytes, start: int, end: int) -> None:
        partial = next((bench.folder / "arriving").glob("*[0-9a-f]"))
        with partial.open("r+b") as file:
            file.seek(10)
            file.write(b"flip")
        faults.well(handler, data, start, end)

    bench.registry.faults = deque([faults.ends_after(2 * PART), damage])
    bench.fetch()
    assert bench.has()
    assert bench.extra_bytes == PART


def test_a_whole_blob_that_rots_is_found_and_repaired_by_its_bad_part(bench: Bench) -> None:
    bench.fetch()
    whole = bench.folder / "blobs" / digest(BLOB).removeprefix("sha256:")
    with whole.open("r+b") as file:
        file.seek(2 * PART + 1)
        file.write(b"rot")
    assert not bench.store.scrub(digest(BLOB))
    assert not bench.store.has(digest(BLOB))
    bench.fetch()
    assert bench.has()
    assert bench.extra_bytes == PART


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "gone"])
def test_a_damaged_journal_costs_bytes_and_nothing_else(bench: Bench, damage: str) -> None:
    _interrupted(bench, 2 * PART + 10)
    journal = next((bench.folder / "arriving").glob("*.parts"))
    content = journal.read_bytes()
    if damage == "gone":
        journal.unlink()
    else:
        journal.write_bytes({"empty": b"", "cut": content[:-5], "noise": noise(500, seed=3)}[damage])
    bench.fetch(store=bench.reborn())
    assert bench.has()
    assert bench.extra_bytes <= 2 * PART + 10
