"""The meter: what is taken is on disk before it is used, and what did not come is given back."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.errors import Waiting
from broker.messages import LinkPolicy
from device.images.allowance import DAY_MS
from device.images.meter import GRANT, Meter
from tests.unit.device.fakes import FakeClock

BUDGET = LinkPolicy(bytes_per_day=1000)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.meter = self.reborn()

    def reborn(self) -> Meter:
        made = Meter(self.folder / "link.json", monotonic=self.clock.monotonic)
        made.follow(BUDGET)
        return made


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_worker_that_is_killed_has_counted_what_it_was_about_to_use(bench: Bench) -> None:
    assert bench.meter.take(700) == 700
    assert bench.reborn().take(700) == 300
    with pytest.raises(Waiting):
        bench.reborn().take(1)


def test_what_did_not_come_is_given_back_durably(bench: Bench) -> None:
    granted = bench.meter.take(5000)
    assert granted == 1000
    bench.meter.settle(granted - 400)
    assert bench.meter.report()["day_bytes"] == 400
    assert bench.reborn().take(5000) == 600


def test_the_next_day_of_the_clouds_time_is_another_budget(bench: Bench) -> None:
    bench.meter.time_is(20_000 * DAY_MS)
    bench.meter.take(1000)
    bench.clock.sleep(86_399)
    with pytest.raises(Waiting, match="2024-10-05 00:00 UTC"):
        bench.meter.take(1)
    bench.clock.sleep(1)
    assert bench.meter.take(1) == 1


def test_a_policy_that_is_taken_back_limits_and_counts_nothing(bench: Bench) -> None:
    bench.meter.take(1000)
    bench.meter.follow(None)
    assert not bench.meter.is_set
    assert bench.meter.take(10 * GRANT) == 10 * GRANT
    bench.meter.settle(10 * GRANT)
    assert "day_bytes" not in bench.meter.report()


def test_bytes_are_moving_between_take_and_settle(bench: Bench) -> None:
    seen = [bench.meter.is_moving]
    bench.meter.take(5)
    seen.append(bench.meter.is_moving)
    bench.meter.settle(0)
    assert [*seen, bench.meter.is_moving] == [False, True, False]


def test_the_rate_is_what_came_in_the_time_it_took(bench: Bench) -> None:
    bench.meter.follow(None)
    bench.meter.take(10**6)
    for _ in range(10):
        bench.meter.moved(50_000)
        bench.clock.sleep(1)
    bench.meter.moved(0)
    bench.meter.settle(0)
    assert bench.meter.report()["rate_bytes_s"] == 50_000
    assert bench.reborn().report()["rate_bytes_s"] == 50_000


def test_a_broken_file_begins_anew(bench: Bench) -> None:
    (bench.folder / "link.json").write_text("{")
    assert bench.meter.take(1000) == 1000
