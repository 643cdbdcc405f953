"""What a hostile app can do to the intake: to itself at most, and it is counted. On a real Redis."""

from __future__ import annotations

import pytest
import redis

from tests.harness.servers import wait_until
from tests.harness.telemetry import STREAM, Bench

SEQUENCE_MAX = 2**64 - 1


def test_what_the_app_erased_itself_becomes_a_gap_with_the_right_count(bench: Bench) -> None:
    bench.write(range(4))
    bench.move()
    bench.write(range(4, 10))
    app = bench.app()
    app.xadd(STREAM, {"n": 10}, maxlen=1, approximate=False)
    bench.move()
    batch = bench.buffer.read(bench.place(), after=4, count=10)[0]
    assert [(gap.first, gap.last, gap.cause) for gap in batch.gaps] == [(5, 10, "trimmed_by_app")]
    assert (batch.first, batch.last) == (5, 11)
    assert bench.numbers() == ["0", "1", "2", "3", "10"]


def test_a_full_intake_is_loud_for_the_app_and_works_again_after_a_move(bench: Bench) -> None:
    app = bench.app()
    with pytest.raises(redis.exceptions.OutOfMemoryError):  # noqa: PT012
        for n in range(100_000):
            app.xadd(STREAM, {"n": n, "pad": "x" * 4000})
    wait_until(bench.moved, what="the buffer has taken it over")
    assert app.xadd(STREAM, {"n": "after"})


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", "telemetry:other", "*", "n", "1"),
        ("XRANGE", STREAM, "-", "+"),
        ("DEL", STREAM),
        ("SET", STREAM, "x"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("SUBSCRIBE", "x"),
        ("EVAL", "return 1", "0"),
        ("SET", "lock:hello", "x"),
        ("HGETALL", "marks"),
    ],
)
def test_an_app_may_do_nothing_but_append_to_its_own_stream(bench: Bench, command: tuple[str, ...]) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        bench.app().execute_command(*command)


def test_nobody_gets_in_without_an_account(bench: Bench) -> None:
    stranger = redis.Redis(unix_socket_path=str(bench.paths.intake_socket))
    with pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()


def test_the_greatest_number_of_a_millisecond_is_moved_once(bench: Bench) -> None:
    app = bench.app()
    app.xadd(STREAM, {"n": 0}, id=f"5-{SEQUENCE_MAX}")
    bench.move()
    app.xadd(STREAM, {"n": 1})
    bench.move()
    assert bench.numbers() == ["0", "1"]
    assert bench.intake.entries(STREAM) == []


def test_an_app_that_uses_up_all_ids_is_moved_once_and_may_go_on(bench: Bench) -> None:
    app = bench.app()
    app.xadd(STREAM, {"n": 0}, id=f"{SEQUENCE_MAX}-{SEQUENCE_MAX - 1}")
    app.xadd(STREAM, {"n": 1})
    with pytest.raises(redis.exceptions.ResponseError, match="exhausted"):
        app.xadd(STREAM, {"n": 2})
    bench.move()
    bench.move()
    for n in range(2, 4):
        app.xadd(STREAM, {"n": n})
    app.xadd(STREAM, {"n": 4}, maxlen=1, approximate=False)
    bench.move()
    assert bench.numbers() == ["0", "1", "4"]
    lost = [
        (gap.first, gap.last, gap.cause)
        for batch in bench.buffer.read(bench.place(), after=0, count=9)
        for gap in batch.gaps
    ]
    assert lost == [(3, 4, "trimmed_by_app")]
