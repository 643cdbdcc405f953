"""Laws of the loader: what is printed loads as itself, merging has a neutral element and an order, and so on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.cli.yaml_text import yaml_text
from compose.interpolate import Template, substitute
from compose.merge import merged, settled
from compose.reference_form import reference_form
from compose.specification import FILE
from compose.tree import Node, Plain, Table, grown, plain
from tests.fuzz.compose import escaped_table
from tests.unit.compose.conftest import Load
from tests.unit.compose.examples import SEED

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
words = st.sampled_from(["a", "b", "c"])
pairs = st.dictionaries(words, words, max_size=3)
services = st.fixed_dictionaries(
    {},
    optional={
        "image": words,
        "hostname": words,
        "environment": pairs,
        "labels": pairs,
        "cap_add": st.lists(words, max_size=3, unique=True),
        "command": st.lists(words, max_size=3),
        "dns": st.lists(words, max_size=2, unique=True),
        "networks": st.dictionaries(words, st.just(None), max_size=2),
        "volumes": st.lists(st.sampled_from(["a:/x", "b:/x", "a:/y", "./c:/z"]), max_size=3, unique=True),
        "ports": st.lists(st.sampled_from(["80:80", "81:80", "82"]), max_size=3, unique=True),
        "extra_hosts": st.dictionaries(words, words, max_size=2),
        "ulimits": st.dictionaries(words, st.integers(1, 3), max_size=2),
    },
)


def canonical(service: Plain) -> Node:
    return settled(FILE(grown({"services": {"web": service}}, place=Table({}).place), ()))


def merge(base: Node, over: Node) -> Node:
    result = merged(base, over)
    assert result is not None
    return result


def test_what_is_printed_prints_the_same_again(load_text: Load) -> None:
    once = reference_form(load_text(SEED).plain())
    again = reference_form(load_text(yaml_text(escaped_table(once))).plain())
    assert again == once


@QUICK
@given(services)
def test_merging_with_nothing_changes_nothing(service: Plain) -> None:
    one = canonical(service)
    assert plain(merge(one, canonical({}))) == plain(one)
    assert plain(merge(canonical({}), one)) == plain(one)


@QUICK
@given(services)
def test_merging_with_itself_changes_nothing(service: Plain) -> None:
    one = canonical(service)
    assert plain(merge(one, one)) == plain(one)


@QUICK
@given(services, services, services)
def test_three_files_may_be_merged_from_either_end(first: Plain, second: Plain, third: Plain) -> None:
    a, b, c = (canonical(one) for one in (first, second, third))
    assert plain(merge(merge(a, b), c)) == plain(merge(a, merge(b, c)))


@QUICK
@given(services, services)
def test_the_later_file_wins_where_there_is_one_value(first: Plain, second: Plain) -> None:
    result = plain(merge(canonical(first), canonical(second)))
    assert isinstance(result, dict)
    assert isinstance(second, dict)
    web = result["services"]["web"]  # type: ignore[index, call-overload]
    for key in ("image", "hostname", "command"):
        if key in second:
            assert web[key] == second[key]  # type: ignore[index, call-overload]


def reference(text: str, values: Mapping[str, str]) -> str:
    """Interpolate in the plainest way: the innermost braces first, each by one rule."""
    text = text.replace("$$", "\x00")

    def one(match: re.Match[str]) -> str:
        name, operator, word = match.groups()
        value = values.get(name)
        given_value = value is not None and not (operator and operator[0] == ":" and value == "")
        if operator and operator[-1] == "-":
            return (value or "") if given_value else word
        if operator and operator[-1] == "+":
            return word if given_value else ""
        if operator and not given_value:
            raise Template("required", required=True)
        return value or ""

    innermost = re.compile(r"\$\{([A-Z])(?:(:?[-+?])([^{}$]*))?\}")
    while innermost.search(text):
        text = innermost.sub(one, text, count=1)
    return re.sub(r"\$([A-Z])", lambda match: values.get(match[1], ""), text).replace("\x00", "$")


names = st.sampled_from(["A", "B", "E"])
leaves = st.one_of(st.sampled_from(["x", "", "-y", "$$", " "]), names.map(lambda name: f"${{{name}}}"))
texts = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(names, st.sampled_from([":-", "-", ":+", "+"]), inner).map(lambda t: f"${{{t[0]}{t[1]}{t[2]}}}"),
        st.tuples(inner, inner).map("".join),
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(texts)
def test_variables_are_replaced_as_by_the_plainest_way(text: str) -> None:
    values = {"A": "a", "E": ""}
    assert substitute(text, values.get) == reference(text, values)


@pytest.mark.parametrize("text", ["${A:?no}", "${B:?no}", "${E:?no}", "${E?no}"])
def test_what_is_required_is_required_by_both(text: str) -> None:
    values = {"A": "a", "E": ""}
    assert outcome(lambda: substitute(text, values.get)) == outcome(lambda: reference(text, values))


def outcome(way: Callable[[], str]) -> str | None:
    try:
        return way()
    except Template:
        return None
