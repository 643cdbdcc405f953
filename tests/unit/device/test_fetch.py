"""Fetching: the newest wish, one image at a time, again after a while."""

from __future__ import annotations

import threading
from collections.abc import Callable

from device.engine.port import EngineRefused
from device.reconcile.fetch import Fetcher
from tests.unit.device.fakes import FakeClock

RUNNING = threading.Event()


class Source:
    """Gives images, or fails; `during` is done in the middle of a transfer."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.fetched: list[str] = []
        self.tried: list[str] = []
        self.told: list[tuple[str, int, int]] = []
        self.missing: set[str] = set()
        self.woken = 0
        self.during: Callable[[], None] = lambda: None
        self.fetcher = Fetcher(
            self.pull, progress=lambda *told: self.told.append(told), wake=self.wake, clock=self.clock
        )

    def wake(self) -> None:
        self.woken += 1

    def pull(self, image: str, progress: Callable[[int, int], None]) -> None:
        self.tried.append(image)
        if image in self.missing:
            raise EngineRefused("pull_failed", f"no {image}")
        self.during()
        progress(1, 2)
        self.fetched.append(image)

    def turn(self) -> float | None:
        return self.fetcher.turn(RUNNING)


def test_what_is_wanted_is_fetched_once_and_progress_is_told_to_its_app() -> None:
    source = Source()
    source.fetcher.want({"a": "i", "b": "j"})
    assert source.turn() is None
    assert source.fetched == ["a", "b"]
    assert source.told == [("i", 1, 2), ("j", 1, 2)]
    assert source.woken == 2
    source.turn()
    assert source.fetched == ["a", "b"]


def test_an_image_that_cannot_be_had_holds_up_no_other_and_is_tried_again_with_growing_pauses() -> None:
    source = Source()
    source.missing.add("a")
    source.fetcher.want({"a": "i", "b": "i"})
    assert source.turn() == 2.0
    assert source.fetched == ["b"]
    assert source.fetcher.error("a") == "no a"
    assert source.fetcher.error("b") == ""
    source.turn()
    assert source.tried == ["a", "b"]
    source.clock.sleep(2)
    assert source.turn() == 4.0
    source.clock.sleep(4)
    source.missing.clear()
    assert source.turn() is None
    assert source.fetched == ["b", "a"]
    assert source.fetcher.error("a") == ""


def test_asked_to_it_tries_again_at_once() -> None:
    source = Source()
    source.missing.add("a")
    source.fetcher.want({"a": "i"})
    source.turn()
    source.missing.clear()
    source.fetcher.retry_now()
    source.turn()
    assert source.fetched == ["a"]


def test_a_transfer_is_left_when_nobody_wants_it_any_more() -> None:
    source = Source()
    source.fetcher.want({"a": "i"})
    source.during = lambda: source.fetcher.want({"b": "i"}) if "b" not in source.tried else None
    source.turn()
    assert source.tried == ["a", "b"]
    assert source.fetched == ["b"]


def test_a_transfer_is_left_when_the_worker_ends() -> None:
    source = Source()
    stopping = threading.Event()
    source.fetcher.want({"a": "i"})
    source.during = stopping.set
    source.fetcher.turn(stopping)
    assert source.fetched == []


def test_the_same_wish_again_changes_nothing_and_a_failure_is_not_forgotten_for_it() -> None:
    source = Source()
    source.missing.add("a")
    source.fetcher.want({"a": "i"})
    source.turn()
    source.fetcher.want({"a": "i"})
    source.turn()
    assert source.tried == ["a"]
    source.fetcher.want({})
    source.fetcher.want({"a": "i"})
    source.turn()
    assert source.tried == ["a", "a"]
