"""What containers write, read from real engines: outputs told apart, gone on with after any line, long lines cut."""

from __future__ import annotations

import pytest

from device.engine.frames import LINE_BYTES_MAX
from device.telemetry.container_usage import measured
from tests.harness.engine_bench import SH, Bench
from tests.harness.servers import wait_until


def ended(real: Bench, script: str, **keys: object) -> str:
    """Run a script to its end; return the id of its container."""
    made = real.run(command=[*SH, f"PATH=/bin; {script}"], **keys)
    wait_until(lambda: real.only().state == "exited", what="the script has ended")
    return made.id


def test_logs_are_followed_from_where_the_last_reader_stopped(real: Bench) -> None:
    made = ended(real, "for i in 1 2 3 4 5 6 7 8; do echo $i; done; busybox sleep 1.1; echo last")
    lines = list(real.engine.follow_logs(made, since_ns=0))
    assert [line.text for line in lines] == [*"12345678", "last"]
    assert [line.at_ns for line in lines] == sorted({line.at_ns for line in lines})
    for at, line in enumerate(lines):
        assert list(real.engine.follow_logs(made, since_ns=line.at_ns)) == lines[at + 1 :]
    assert real.engine.last_lines(made, 2) == ["8", "last"]


def test_both_outputs_are_told_apart(real: Bench) -> None:
    made = ended(real, "echo good; echo bad >&2")
    lines = {(line.stream, line.text) for line in real.engine.follow_logs(made, since_ns=0)}
    assert lines == {("out", "good"), ("err", "bad")}


def test_a_terminal_has_one_output(real: Bench) -> None:
    made = ended(real, "echo good; echo bad >&2", tty=True)
    lines = [(line.stream, line.text) for line in real.engine.follow_logs(made, since_ns=0)]
    assert lines == [("out", "good"), ("out", "bad")]


@pytest.mark.parametrize("size", [20_000, 3 * LINE_BYTES_MAX])
def test_a_long_line_comes_whole_in_pieces_that_say_so(real: Bench, size: int) -> None:
    made = ended(real, f"busybox head -c {size} /dev/zero | busybox tr '\\\\0' x; echo; echo end")
    *pieces, end = real.engine.follow_logs(made, since_ns=0)
    assert (len("".join(piece.text for piece in pieces)), end.text) == (size, "end")
    assert max(len(piece.text) for piece in pieces) <= LINE_BYTES_MAX
    assert [piece.is_cut for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def test_the_lines_of_what_is_gone_are_none(real: Bench) -> None:
    assert real.engine.last_lines("0" * 64, 5) == []


def test_what_a_container_uses_is_told_while_it_runs(real: Bench) -> None:
    made = real.run(command=[*SH, "PATH=/bin; i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; busybox sleep 60"])
    wait_until(lambda: measured(real.engine), what="the engine tells of the container")
    (told,) = measured(real.engine)
    assert (told["service"], told["container"]) == (real.only().service, made.id[:12])
    assert float(told["cpu_s"]) > 0
    assert int(told["memory_bytes"]) > 0
    real.engine.stop(made.id, grace_s=0)
    assert measured(real.engine) == []
    assert real.engine.usage(made.id) is None
    assert real.engine.usage("0" * 64) is None
