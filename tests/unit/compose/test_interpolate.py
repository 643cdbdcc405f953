"""Variables in texts."""

from __future__ import annotations

import pytest

from compose.interpolate import RESULT_CHARS_MAX, Template, layered, substitute

ENVIRONMENT = {"A": "a", "EMPTY": "", "NEST": "n"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$A", "a"),
        ("${A}", "a"),
        ("x${A}y$A.z", "xaya.z"),
        ("$MISSING", ""),
        ("${MISSING}", ""),
        ("${MISSING:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${MISSING-d}", "d"),
        ("${A:-d}", "a"),
        ("${A:+r}", "r"),
        ("${EMPTY:+r}", ""),
        ("${EMPTY+r}", "r"),
        ("${MISSING+r}", ""),
        ("${A:?e}", "a"),
        ("${EMPTY?e}", ""),
        ("${MISSING:-${NEST}}", "n"),
        ("${MISSING:-${OTHER:-${NEST}-x}}y", "n-xy"),
        ("${MISSING:-}", ""),
        ("${MISSING:-a:b-c?d}", "a:b-c?d"),
        ('${MISSING:-{"k": 1}}', '{"k": 1}'),
        ("$$A $${A}", "$A ${A}"),
        ("${MISSING:-$$A}", "$A"),
        ("cost: 5$", "cost: 5$"),
        ("$(date) $1 $}", "$(date) $1 $}"),
        ("a\n${MISSING:-b\nc}", "a\nb\nc"),
    ],
)
def test_a_variable_becomes_its_value(text: str, expected: str) -> None:
    assert substitute(text, ENVIRONMENT.get) == expected


@pytest.mark.parametrize("text", ["${", "${A", "${A:-${B}", "${1A}", "${A!}", "${}", "${A:=b}"])
def test_what_looks_like_a_variable_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(Template):
        substitute(text, ENVIRONMENT.get)


@pytest.mark.parametrize("text", ["${MISSING:?say $A}", "${EMPTY:?say $A}", "${MISSING?say ${A}}"])
def test_a_missing_required_variable_is_refused_with_its_message(text: str) -> None:
    with pytest.raises(Template, match="must be set: say a") as caught:
        substitute(text, ENVIRONMENT.get)
    assert caught.value.required


def test_variables_without_a_value_are_told() -> None:
    unset: list[str] = []
    substitute("$X ${Y} ${Z:-d} $A", ENVIRONMENT.get, unset.append)
    assert unset == ["X", "Y"]


def test_nesting_has_a_limit() -> None:
    with pytest.raises(Template, match="nested"):
        substitute("${A0:-" * 30 + "}" * 30, ENVIRONMENT.get)


def test_a_value_cannot_grow_without_limit() -> None:
    with pytest.raises(Template, match="longer"):
        substitute("$A" * 20, {"A": "x" * (RESULT_CHARS_MAX // 10)}.get)


def test_an_earlier_environment_wins() -> None:
    assert layered({"A": "1"}, {"A": "2", "B": "2"}) == {"A": "1", "B": "2"}
