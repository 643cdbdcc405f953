"""Sizes, durations, numbers, modes and commands."""

from __future__ import annotations

import pytest

from compose.errors import ComposeError
from compose.forms.values import command, duration, flag, mode, number, pairs, size, whole, written
from compose.shapes import Shape
from compose.tree import Items, Node, Scalar, Table, plain


def scalar(value: object) -> Scalar:
    assert isinstance(value, str | int | float | bool | None)
    return Scalar(value, str(value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[(512, 512), ("512", 512), ("1b", 1), ("1k", 1024), ("1kb", 1024), ("1KiB", 1024), ("64m", 64 << 20)],
        *[("1.5g", 3 << 29), ("2 GB", 2 << 30), (0, 0)],
    ],
)
def test_a_size_becomes_bytes(text: object, expected: int) -> None:
    assert plain(size(scalar(text), ())) == expected


@pytest.mark.parametrize("text", ["", "m", "1x", "-1", "1e9", "0x10", True, None, "9" * 40, "99999999999p"])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ComposeError):
        size(scalar(text), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("30s", 30_000), ("1m30s", 90_000), ("1h", 3_600_000), ("250ms", 250), ("2.5s", 2500), ("1d", 86_400_000)],
        *[("10us", 1), ("0", 0), ("0s", 0), ("1m0s", 60_000)],
    ],
)
def test_a_duration_becomes_milliseconds(text: str, expected: int) -> None:
    assert plain(duration(scalar(text), ())) == expected


@pytest.mark.parametrize("text", ["", "10", "s", "1 s", "-1s", "1s2", 10, None, "9" * 40 + "h", "999999999999999999w"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ComposeError):
        duration(scalar(text), ())


def test_a_duration_without_unit_is_told_its_cure() -> None:
    with pytest.raises(ComposeError, match="write 10s for seconds"):
        duration(scalar(10), ())


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("false", False), ("yes", True), ("off", False), ("TRUE", True)]
)
def test_a_flag_may_come_as_a_text(value: object, expected: bool) -> None:
    assert plain(flag(scalar(value), ())) is expected


@pytest.mark.parametrize(("value", "expected"), [(3, 3), ("3", 3), (3.0, 3), ("-1", -1)])
def test_a_whole_number_may_come_as_a_text(value: object, expected: int) -> None:
    assert plain(whole(scalar(value), ())) == expected


@pytest.mark.parametrize("value", ["x", 1.5, "", "inf", "1e400", "nan", True])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(ComposeError):
        whole(scalar(value), ())


def test_a_number_keeps_its_fraction() -> None:
    assert plain(number(scalar("0.25"), ())) == 0.25


@pytest.mark.parametrize(("value", "expected"), [("0440", 0o440), (0o440, 0o440), ("0o755", 0o755), ("644", 0o644)])
def test_a_mode_is_octal(value: object, expected: int) -> None:
    assert plain(mode(scalar(value), ())) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(True, "true"), (3, "3"), (3.1, "3.1"), (1.0, "1"), (123456.5, "123456.5"), (1e6, "1e+06")],
        *[(0.0001, "0.0001"), (0.00001, "1e-05"), (None, ""), ("x", "x")],
    ],
)
def test_a_value_is_written_as_other_compose_tools_write_it(value: object, expected: str) -> None:
    assert written(scalar(value).value) == expected


@pytest.mark.parametrize("line", ["'a", 'a "b', "a\\"])
def test_an_open_quote_in_a_command_is_refused(line: str) -> None:
    with pytest.raises(ComposeError, match="quote"):
        command(scalar(line), ())


def check_pairs(shape: Shape, node: Node) -> object:
    return plain(shape(node, ()))


def test_pairs_may_be_a_list_or_a_mapping() -> None:
    listed = Items((scalar("A=1"), scalar("B"), scalar("C=x=y")))
    mapped = Table({"A": scalar(1), "B": scalar(None), "C": scalar("x=y")})
    assert check_pairs(pairs(bare=None), listed) == check_pairs(pairs(bare=None), mapped)
    assert check_pairs(pairs(), listed) == {"A": "1", "B": "", "C": "x=y"}
