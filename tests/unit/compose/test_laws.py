"""Laws of the loader: what is printed loads as itself, merging has a neutral element and an order, and so on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.cli.yaml_text import yaml_text
from compose.interpolate import Template, substitute
from compose.merge import merged, settled
from compose.project import Project
from compose.reference_form import reference_form
from compose.service_keys import SERVICE_KEYS
from compose.specification import FILE
from compose.tree import Node, Plain, Table, grown, plain
from tests.fuzz.compose import escaped_table
from tests.fuzz.compose_inputs import flow
from tests.unit.compose.conftest import Load
from tests.unit.compose.examples import SEED
from tests.unit.compose.fragments import ADDING_UP, FRAGMENTS, RESOURCES

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
EXTENDS = {"extends"}  # is gone before anything is merged
services = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from(values) for key, values in FRAGMENTS.items() if key not in ADDING_UP}
)
alone = [(key, value) for key, values in FRAGMENTS.items() for value in values]


def canonical(service: Plain) -> Node:
    return settled(FILE(grown({"services": {"web": service}}, place=Table({}).place), ()))


def merge(base: Node, over: Node) -> Node:
    result = merged(base, over)
    assert result is not None
    return result


def check_fixpoint(project: Project, load_text: Load) -> None:
    once = reference_form(project.plain())
    again = reference_form(load_text(yaml_text(escaped_table(once)), profiles=["*"]).plain())
    assert again == once


def test_every_key_of_a_service_has_values_here() -> None:
    assert set(FRAGMENTS) == set(SERVICE_KEYS) - EXTENDS
    assert all(len(values) > 1 for values in FRAGMENTS.values())


def test_what_is_printed_prints_the_same_again(load_text: Load) -> None:
    check_fixpoint(load_text(SEED), load_text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("env_file", [{"path": "", "required": False}]),
        ("devices", [{"source": "", "target": "/dev/a"}]),
        ("secrets", [{"source": "s", "target": ""}]),
    ],
)
def test_an_empty_text_is_printed_as_what_it_means(load_text: Load, key: str, value: Plain) -> None:
    web: dict[str, Plain] = {"image": "a", key: value}
    text = flow({"services": {"web": web}, "secrets": {"s": {"environment": "HOME"}}})
    check_fixpoint(load_text(text, environment={"HOME": "/h"}), load_text)


@pytest.mark.parametrize(("key", "value"), alone)
def test_what_is_printed_of_a_key_prints_the_same_again(load_text: Load, key: str, value: Plain) -> None:
    web: dict[str, Plain] = {"image": "a", key: value}
    others: dict[str, Plain] = {"db": {"image": "b"}, "web2": {"image": "c"}}
    text = flow({"services": {"web": web, **others}, **RESOURCES})
    files = {"a.env": "A=1\nB=$A\n", "b.env": "C=1\n", "a": "l=1\n", "b": "m=1\n"}
    check_fixpoint(load_text(text, files=files, profiles=["*"], environment={"HOME": "/h"}), load_text)


@pytest.mark.parametrize("key", FRAGMENTS)
def test_the_laws_of_merging_hold_of_every_key(key: str) -> None:
    nothing = canonical({})
    trees = [canonical({key: value}) for value in FRAGMENTS[key]]
    for a, b, c in itertools.product(trees, repeat=3):
        if key != "logging":  # options go when the driver is another one, and a file in between need not name it
            assert plain(merge(merge(a, b), c)) == plain(merge(a, merge(b, c)))
    for one in trees:
        assert plain(merge(one, nothing)) == plain(merge(nothing, one)) == plain(one)
        if key not in ADDING_UP:
            assert plain(merge(one, one)) == plain(one)


@QUICK
@given(services)
def test_merging_with_nothing_or_itself_changes_nothing(service: Plain) -> None:
    one = canonical(service)
    assert plain(merge(one, canonical({}))) == plain(merge(canonical({}), one)) == plain(one)
    assert plain(merge(one, one)) == plain(one)


@QUICK
@given(services, services, services)
def test_three_files_may_be_merged_from_either_end(first: Plain, second: Plain, third: Plain) -> None:
    a, b, c = (canonical({**one, "logging": {}}) for one in (first, second, third) if isinstance(one, dict))
    assert plain(merge(merge(a, b), c)) == plain(merge(a, merge(b, c)))


@QUICK
@given(services, services)
def test_keys_do_not_see_each_other(first: Plain, second: Plain) -> None:
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    together = web_of(merge(canonical(first), canonical(second)))
    for key in first | second:
        one, other = ({key: part[key]} if key in part else {} for part in (first, second))
        assert together[key] == web_of(merge(canonical(one), canonical(other)))[key]


@QUICK
@given(services, services)
def test_the_later_file_wins_where_there_is_one_value(first: Plain, second: Plain) -> None:
    together, later = web_of(merge(canonical(first), canonical(second))), web_of(canonical(second))
    for key, value in later.items():
        if key in ("command", "entrypoint") or not isinstance(value, dict | list):
            assert together[key] == value


def web_of(tree: Node) -> dict[str, Plain]:
    document = plain(tree)
    assert isinstance(document, dict)
    section = document["services"]
    assert isinstance(section, dict)
    web = section["web"]
    assert isinstance(web, dict)
    return web


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

    innermost = re.compile(r"\$\{([A-Z])(?:(:?[-+?])((?:[^{}$]|\$[A-Z])*))?\}")
    while innermost.search(text):
        text = innermost.sub(one, text, count=1)
    return re.sub(r"\$([A-Z])", lambda match: values.get(match[1], ""), text).replace("\x00", "$")


names = st.sampled_from(["A", "B", "E"])
leaves = st.one_of(
    st.sampled_from(["x", "", "-y", "$$", " ", "$A/", "$B.", "$E-"]), names.map(lambda name: f"${{{name}}}")
)
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
