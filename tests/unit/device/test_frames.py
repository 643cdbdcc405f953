"""An engine's log stream as lines: framing, time stamps, long lines, whatever the pieces it comes in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device.engine.frames import HEADER, LINE_BYTES_MAX, Frames, Lines
from device.engine.port import LogLine

STAMP = "2026-01-02T03:04:05"
SECOND = 1767323045 * 10**9


def frame(text: str, *, err: bool = False) -> bytes:
    data = text.encode()
    return HEADER.pack(2 if err else 1, len(data)) + data


def lines(*chunks: bytes, is_raw: bool = False) -> list[LogLine]:
    frames, whole = Frames(is_raw=is_raw), Lines()
    pieces = [piece for chunk in chunks for piece in frames.feed(chunk)]
    return [line for piece in pieces for line in whole.feed(*piece)] + list(whole.end())


def test_both_outputs_are_told_apart() -> None:
    assert lines(frame(f"{STAMP}.000000001Z one\n") + frame(f"{STAMP}.000000002Z two\n", err=True)) == [
        LogLine(SECOND + 1, "out", "one"),
        LogLine(SECOND + 2, "err", "two"),
    ]


def test_a_terminal_is_one_raw_output() -> None:
    assert lines(f"{STAMP}.5Z one\r\n{STAMP}.6Z".encode(), b" two\r\n", is_raw=True) == [
        LogLine(SECOND + 500_000_000, "out", "one"),
        LogLine(SECOND + 600_000_000, "out", "two"),
    ]


def test_lines_of_one_second_get_stamps_that_differ_and_are_the_same_each_time() -> None:
    told = frame(f"{STAMP}Z a\n") + frame(f"{STAMP}Z b\n", err=True) + frame(f"{STAMP}Z c\n")
    assert [line.at_ns for line in lines(told)] == [SECOND, SECOND + 1, SECOND + 2]
    assert lines(told) == lines(told)


def test_a_line_that_the_engine_has_cut_into_frames_is_whole_again() -> None:
    told = frame(f"{STAMP}.1Z abc") + frame(f"{STAMP}.2Z def") + frame(f"{STAMP}.3Z ghi\n")
    assert lines(told) == [LogLine(SECOND + 100_000_000, "out", "abcdefghi")]


def test_what_looks_like_a_stamp_in_the_middle_of_a_line_stays() -> None:
    assert [line.text for line in lines(frame(f"{STAMP}Z at {STAMP}Z it\n"))] == [f"at {STAMP}Z it"]


def test_the_last_line_needs_no_end() -> None:
    assert [line.text for line in lines(frame(f"{STAMP}Z a\n{STAMP}Z b"))] == ["a", "b"]


def test_empty_lines_are_lines_and_lines_without_a_stamp_are_none() -> None:
    assert [line.text for line in lines(frame(f"{STAMP}Z \nnonsense\n{STAMP}Z x\n"))] == ["", "x"]


def test_a_line_without_an_end_is_cut_and_says_so() -> None:
    told = lines(frame(f"{STAMP}Z " + "x" * (3 * LINE_BYTES_MAX)), frame(f"{STAMP}Z end\n"))
    assert "".join(line.text for line in told) == "x" * (3 * LINE_BYTES_MAX) + "end"
    assert max(len(line.text) for line in told) <= LINE_BYTES_MAX
    assert [line.is_cut for line in told] == [True] * (len(told) - 1) + [False]
    assert len({line.at_ns for line in told}) == len(told)


def test_what_waits_for_the_end_of_a_line_is_bounded() -> None:
    # Bounded, so it is copied a bounded number of times: the cost of an endless line grows no faster than its length.
    frames, whole = Frames(is_raw=False), Lines()
    chunk = frame(f"{STAMP}Z " + "x" * 8192)
    for _ in range(100):
        for piece in frames.feed(chunk):
            for _ in whole.feed(*piece):
                pass
        assert len(whole._pending["out"]) < LINE_BYTES_MAX


@given(
    st.lists(st.tuples(st.booleans(), st.text(alphabet="ab \t", max_size=60)), max_size=12),
    st.integers(min_value=1, max_value=70),
)
def test_it_does_not_matter_in_which_pieces_it_comes(told: list[tuple[bool, str]], size: int) -> None:
    data = b"".join(frame(f"{STAMP}.{at:09}Z {text}\n", err=err) for at, (err, text) in enumerate(told))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert lines(*pieces) == [
        LogLine(SECOND + at, "err" if err else "out", text) for at, (err, text) in enumerate(told)
    ]


@given(st.lists(st.binary(max_size=200), max_size=8), st.booleans())
def test_no_bytes_break_it(chunks: list[bytes], is_raw: bool) -> None:
    lines(*chunks, is_raw=is_raw)
