"""Caps on a real store: what a class holds beyond its cap is given up, each number of it named as a gap."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from broker.messages import StreamHeld
from device.config import WhenFull
from device.telemetry.buffer import Buffer
from device.telemetry.caps import Cap
from device.telemetry.connection import Client
from device.telemetry.marks import Marks
from device.telemetry.stored import Place, Stored
from tests.harness.telemetry import NOW, STREAM, Bench

CAP = 100_000
PAYLOAD = 5_000
LOGS = "logs:hello"

Make = Callable[[WhenFull], Buffer]


@pytest.fixture
def capped(bench: Bench) -> Make:
    """Make a buffer whose telemetry has a cap, on the store of the bench."""

    def make(when_full: WhenFull) -> Buffer:
        made = Buffer(
            Client(bench.paths.store_socket),
            marks=Marks(bench.intake),
            epoch_file=bench.paths.telemetry / "epoch",
            now=lambda: NOW,
            caps={"telemetry": Cap(CAP, when_full)},
        )
        made.begin_epoch()
        return made

    return make


def written(buffer: Buffer, batches: int, *, stream: str = STREAM, count: int = 10) -> Place:
    for n in range(batches):
        place = buffer.append(stream, count=count, format="samples.v2", payload=bytes([n % 256]) * PAYLOAD)
    return place


def lying(buffer: Buffer, place: Place) -> list[Stored]:
    found: list[Stored] = []
    while page := buffer.read(place, after=found[-1].first if found else 0, count=50):
        found += page
    return found


def numbers(found: list[Stored], *, lost: bool) -> list[int]:
    """Return the numbers that are named as lost, or those of the elements that are there."""
    kept: list[int] = []
    for batch in found:
        gone = [n for gap in batch.gaps for n in range(gap.first, gap.last + 1)]
        kept += gone if lost else [n for n in range(batch.first, batch.last + 1) if n not in gone]
    return kept


def held_bytes(bench: Bench) -> int:
    client = Client(bench.paths.store_socket)
    keys = [f"batch|{e.place.key}" for e in bench.buffer.extents() if e.place.stream == STREAM]
    return sum(client.memory_of(keys))


def test_the_oldest_go_and_are_one_gap(bench: Bench, capped: Make) -> None:
    buffer = capped("oldest")
    found = lying(buffer, written(buffer, 60))
    assert held_bytes(bench) <= CAP
    lost, kept = numbers(found, lost=True), numbers(found, lost=False)
    assert lost + kept == list(range(1, 601))
    assert len(kept) > 90
    assert [(gap.first, gap.cause) for batch in found for gap in batch.gaps] == [(1, "dropped_oldest")]


def test_what_is_new_is_not_kept_where_the_owner_says_so(bench: Bench, capped: Make) -> None:
    buffer = capped("newest")
    found = lying(buffer, written(buffer, 60))
    assert held_bytes(bench) <= CAP
    assert numbers(found, lost=False) + numbers(found, lost=True) == list(range(1, 601))
    assert [gap.cause for batch in found for gap in batch.gaps] == ["dropped_newest"]


def test_thinning_keeps_some_of_all_times(bench: Bench, capped: Make) -> None:
    buffer = capped("thin")
    found = lying(buffer, written(buffer, 30))
    assert held_bytes(bench) <= CAP
    kept, lost = numbers(found, lost=False), numbers(found, lost=True)
    assert sorted(kept + lost) == list(range(1, 301))
    assert min(kept) == 1, "something of the beginning is still there"
    assert {gap.cause for batch in found for gap in batch.gaps} == {"thinned"}
    assert lost
    kept = numbers(lying(buffer, written(buffer, 90)), lost=False)
    assert held_bytes(bench) <= CAP
    assert (min(kept), max(kept)) == (1, 1200)


def test_another_class_does_not_pay(capped: Make) -> None:
    buffer = capped("oldest")
    place = written(buffer, 10, stream=LOGS)
    written(buffer, 40)
    assert numbers(lying(buffer, place), lost=True) == []


def test_the_stream_that_holds_most_pays(capped: Make) -> None:
    buffer = capped("oldest")
    small = written(buffer, 5, stream="telemetry:small")
    large = written(buffer, 40)
    assert numbers(lying(buffer, small), lost=True) == []
    assert numbers(lying(buffer, large), lost=True)


def test_what_is_trimmed_makes_room(capped: Make) -> None:
    buffer = capped("newest")
    place = written(buffer, 12)
    buffer.note_sent(place, 120)
    buffer.apply_held(StreamHeld(stream=place.stream, epoch=place.epoch, contiguous=120))
    assert numbers(lying(buffer, written(buffer, 12)), lost=True) == []


def test_a_gap_that_may_be_with_the_cloud_is_not_made_longer(capped: Make) -> None:
    buffer = capped("oldest")
    place = written(buffer, 30)
    (first,) = [gap for batch in lying(buffer, place) for gap in batch.gaps]
    buffer.note_sent(place, first.last)
    written(buffer, 30)
    gaps = [gap for batch in lying(buffer, place) for gap in batch.gaps]
    assert gaps[0] == first
    assert (gaps[1].first, len(gaps)) == (first.last + 1, 2)


def test_a_gap_that_the_cloud_holds_in_part_stays_named(capped: Make) -> None:
    buffer = capped("oldest")
    place = written(buffer, 40)
    (gap,) = [gap for batch in lying(buffer, place) for gap in batch.gaps]
    buffer.note_sent(place, gap.last)
    held = StreamHeld(stream=place.stream, epoch=place.epoch, contiguous=gap.last - 5)
    buffer.apply_held(held)
    assert lying(buffer, place)[0].gaps == (gap,)
    buffer.apply_held(held.model_copy(update={"contiguous": gap.last}))
    assert lying(buffer, place)[0].gaps == ()


@pytest.mark.parametrize("when_full", ["oldest", "newest", "thin"])
@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_no_number_is_silently_gone(capped: Make, when_full: WhenFull, seed: int) -> None:
    buffer, chance = capped(when_full), random.Random(seed)  # noqa: S311 - repeatable on purpose
    acked = 0
    for _ in range(40):
        place = written(buffer, chance.randint(1, 4), count=chance.randint(1, 9))
        found = lying(buffer, place)
        if chance.random() < 0.3:
            buffer.note_sent(place, chance.choice(found).last)
        if chance.random() < 0.2:
            acked = max(acked, chance.choice(found).last)
            buffer.apply_held(StreamHeld(stream=place.stream, epoch=place.epoch, contiguous=acked))
        extent = next(extent for extent in buffer.extents() if extent.place == place)
        named = {n for batch in lying(buffer, place) for n in range(batch.first, batch.last + 1)}
        assert set(range(extent.trimmed + 1, extent.last + 1)) <= named
