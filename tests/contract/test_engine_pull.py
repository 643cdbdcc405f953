"""Pulls by real engines: they tell how far they are, end when nobody wants them, and say when nothing comes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from device.engine.connection import Connection
from device.engine.images import Images
from device.engine.port import PullStalled
from tests.harness.engine_bench import Bench
from tests.harness.slow_registry import LAYER_BYTES, SlowRegistry, slow_registry


class Superseded(Exception):
    pass


@pytest.fixture
def slow(real: Bench) -> Iterator[SlowRegistry]:
    with slow_registry() as registry:
        yield registry
        real.engine.remove_image(registry.image)


def test_progress_is_told_in_bytes_where_the_engine_tells_them(real: Bench, slow: SlowRegistry) -> None:
    told: list[tuple[int, int]] = []
    slow.go.set()
    real.engine.pull(slow.image, token="none", progress=lambda done, total: told.append((done, total)))
    assert real.engine.has_image(slow.image)
    assert told == sorted(told)
    if real.kind == "docker":
        assert told[-1][0] == told[-1][1] > LAYER_BYTES


def test_a_pull_that_nobody_wants_any_more_ends_in_the_engine_as_well(real: Bench, slow: SlowRegistry) -> None:
    def progress(done: int, total: int) -> None:
        if slow.is_half_way.is_set():
            raise Superseded

    slow.drips = True
    with pytest.raises(Superseded):
        real.engine.pull(slow.image, token="none", progress=progress)
    assert slow.was_left.wait(20.0)
    assert not real.engine.has_image(slow.image)


def test_a_pull_that_stalls_says_so(real: Bench, slow: SlowRegistry) -> None:
    connection = Connection(real.url)
    images = Images(connection, monotonic=lambda: time.monotonic() * 200)
    with pytest.raises(PullStalled):
        images.pull(slow.image, token="none", progress=lambda done, total: None)
    connection.forget()


def test_a_pull_that_goes_on_after_a_silence_comes_to_its_end(real: Bench, slow: SlowRegistry) -> None:
    ticks = 0

    def progress(done: int, total: int) -> None:
        nonlocal ticks
        ticks += slow.is_half_way.is_set()
        if ticks == 3:
            slow.go.set()

    real.engine.pull(slow.image, token="none", progress=progress)
    assert real.engine.has_image(slow.image)
    real.engine.remove_image(slow.image)
    assert not real.engine.has_image(slow.image)
