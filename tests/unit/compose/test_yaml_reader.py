"""Reading YAML: values as Compose takes them, and limits that no file gets around."""

from __future__ import annotations

import pytest

from compose.errors import ComposeError, Unreadable
from compose.tree import Items, Mark, Table, plain
from compose.yaml_reader import DEPTH_MAX, DOCUMENTS_MAX, TAG_LINES_MAX, TEXT_CHARS_MAX, read_documents


def value(text: str) -> object:
    return plain(read_documents(text, "f.yaml")[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("22:22", "22:22"),
        ("true", True),
        ("~", None),
        ("", None),
        ("0440", 0o440),
        ("0o17", 15),
        ("0x1f", 31),
        ("08", 8.0),
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("3.10", 3.1),
        ("2024-01-02", "2024-01-02"),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("!!float 1", 1),
    ],
)
def test_a_plain_value_is_what_compose_takes_it_for(text: str, expected: object) -> None:
    assert value(f"[{text}]" if text else "[~]") == [expected]


def test_every_key_knows_its_line() -> None:
    document = read_documents("a: 1\nb:\n  c:\n    - x\n", "f.yaml")[0]
    assert isinstance(document, Table)
    inner = document.nodes["b"]
    assert isinstance(inner, Table)
    items = inner.nodes["c"]
    assert isinstance(items, Items)
    assert [str(node.place) for node in (document.nodes["a"], inner, items, items.nodes[0])] == [
        *("f.yaml:1", "f.yaml:2", "f.yaml:3", "f.yaml:4")
    ]


def test_a_doubled_key_is_refused_with_both_lines() -> None:
    with pytest.raises(Unreadable, match=r"f\.yaml:3: the key 'a' stands here twice, first in line 1"):
        value("a: 1\nb: 2\na: 3\n")


@pytest.mark.parametrize("key", ["1", "true", "~", "[a]", "{a: 1}"])
def test_a_key_that_is_not_a_text_is_refused(key: str) -> None:
    with pytest.raises(ComposeError, match=r"not a text|must be a text"):
        value(f"? {key}\n: 1\n")


def test_merged_mappings_give_way_to_what_is_written_and_to_earlier_ones() -> None:
    text = "x: &x {a: 1, b: 1, c: 1}\ny: &y {b: 2, c: 2, d: 2}\nz:\n  <<: [*x, *y]\n  a: 3\n"
    document = value(text)
    assert isinstance(document, dict)
    assert document["z"] == {"a": 3, "b": 1, "c": 1, "d": 2}


def test_merging_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(Unreadable, match=r"f\.yaml:4: b: '<<' stands here twice, first in line 3; write <<: \[\*a"):
        value("a: &a {c: 1}\nb:\n  <<: *a\n  <<: {d: 1}\n")


def test_merging_a_scalar_is_refused() -> None:
    with pytest.raises(Unreadable, match="'<<' takes a mapping"):
        value("a: &a 1\nb: {<<: *a}\n")


def test_an_alias_that_contains_itself_is_refused() -> None:
    with pytest.raises(Unreadable, match="contains itself"):
        value("a: &a [1, *a]\n")


def test_an_alias_without_anchor_is_refused() -> None:
    with pytest.raises(Unreadable, match="has no anchor"):
        value("a: *nowhere\n")


def test_a_billion_laughs_are_counted_before_they_are_laughed() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(Unreadable, match="once aliases are expanded"):
        value("\n".join(lines))


def test_depth_through_aliases_counts() -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, DEPTH_MAX + 1))]
    with pytest.raises(Unreadable, match="deeper"):
        value("\n".join(lines))


def test_nesting_beyond_the_limit_is_refused() -> None:
    with pytest.raises(Unreadable, match="deeper"):
        value("[" * 5000)


def test_a_file_beyond_the_limit_is_refused() -> None:
    with pytest.raises(Unreadable, match="larger"):
        value("#" * (TEXT_CHARS_MAX + 1))


def test_broken_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(Unreadable, match=r"^f\.yaml:2: not valid YAML"):
        value("a: 1\nb: ]\n")


def test_a_tag_without_meaning_is_refused() -> None:
    with pytest.raises(Unreadable, match="!python/object has no meaning"):
        value("a: !python/object x\n")


def test_reset_and_override_are_marks() -> None:
    document = read_documents("a: !reset null\nb: !override [1]\nc: !reset\n", "f.yaml")[0]
    assert isinstance(document, Table)
    assert [node.mark for node in document.nodes.values()] == [Mark.RESET, Mark.OVERRIDE, Mark.RESET]


def test_a_file_may_hold_several_documents() -> None:
    assert [plain(document) for document in read_documents("a: 1\n---\nb: 2\n", "f.yaml")] == [{"a": 1}, {"b": 2}]


def test_more_documents_than_anyone_writes_are_refused() -> None:
    assert len(read_documents("--- 1\n\n" * DOCUMENTS_MAX, "f.yaml")) == DOCUMENTS_MAX
    with pytest.raises(Unreadable, match=r"^f\.yaml:201: there are more than 100 documents"):
        read_documents("--- 1\n\n" * (DOCUMENTS_MAX + 1), "f.yaml")


def test_more_tag_lines_than_anyone_writes_are_refused() -> None:
    lines = "".join(f"%TAG !t{number}! !\n" for number in range(TAG_LINES_MAX))
    assert value(f"{lines}--- !t1!override {{a: 1}}") == {"a": 1}
    with pytest.raises(Unreadable, match="%TAG"):
        value(f"{lines}%TAG !more! !\n---\na: 1\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%YAML 1.2\n---\na: yes\n", {"a": "yes"}),
        ("\ufeffa: 1\n", {"a": 1}),
        ("a:\t1\n", {"a": 1}),
        ('{"a":1,"b":[c:d]}', {"a": 1, "b": ["c:d"]}),
        ("a: b\u2028c: d\n", {"a": "b", "c": "d"}),  # as the reference reads it: U+2028 ends a line
        ("a: 'b\u2028c'\n", {"a": "b\u2028c"}),
        ("a: >-\n  b\n  c\n\n  d\n", {"a": "b c\nd"}),
        ("a: |2\n   b\n", {"a": " b\n"}),
        ("a: \U0001f30a\n", {"a": "\U0001f30a"}),
        ("a: ! 12\n", {"a": "12"}),
        ("a: 190:20:30\n", {"a": "190:20:30"}),
        ("a: 0b11\nb: +1\nc: -0x1f\nd: 1_0\n", {"a": 3, "b": 1, "c": -31, "d": 10}),
        ("a: 1.\nb: .5\nc: 1e1\n", {"a": 1.0, "b": 0.5, "c": 10.0}),
        ("a: 0o18\nb: 0x\nc: '-'\nd: +\ne: .\n", {"a": "0o18", "b": "0x", "c": "-", "d": "+", "e": "."}),
    ],
)
def test_texts_that_parsers_disagree_about_are_read_as_yaml_1_2(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: \x00\n", 2),
        ("a: 1\nb: \x07\n", 2),
        ("a: é\nb: \x7f\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ('a: "\\ud800"\n', 1),
        ('a: "\\U00110000"\n', 1),
        ('a: "\\z"\n', 1),
        ("a: @b\n", 1),
        ("%YAML 2.0\n---\na: 1\n", 1),
        ("a: b: c\n", 1),
        ("a: 'b\n", 2),
        ("a: !e!b c\n", 1),
        ("a: *\n", 1),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Unreadable, match=rf"^f\.yaml:{line}: not valid YAML: "):
        value(text)
