"""Tables, harmless text, YAML."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from cloud.cli.render import printable, short, table
from cloud.cli.yaml_text import yaml_text
from compose.tree import plain
from compose.yaml_reader import read_documents


def test_columns_are_aligned_and_lines_end_without_blanks() -> None:
    assert table(("A", "LONG"), [("xyz", 1), (None, "")]) == ["A    LONG", "xyz  1", "-    -"]


def test_text_from_devices_cannot_command_a_terminal() -> None:
    assert printable("a\x1b[2Jb\tc\nd\x9b1m\u202e") == "a?[2Jb c d?1m?"


def test_letters_of_any_language_stay() -> None:
    assert printable("Grüße, 北") == "Grüße, 北"


def test_a_digest_is_shortened_for_tables() -> None:
    assert short("sha256:" + "a" * 64) == "sha256:" + "a" * 12
    assert short(None) == "-"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"a": {}, "b": [], "c": None, "d": True, "e": 1.5},
        {"services": {"web": {"ports": [{"target": 80}, {"target": 81}], "command": ["a", "b: c", "-d", "#e"]}}},
        {"nested": [[1, [2, 3]], [], {"x": [{"y": []}]}]},
        {
            "words": [
                "yes",
                "No",
                "null",
                "~",
                "1",
                "1e3",
                "0x1",
                "2001-01-01",
                "12:30",
                "",
                " ",
                "=",
                "on",
                ".5",
                "a b",
            ]
        },
        {"odd": ["a\nb", "tab\t", "quote\"'", "é", "\u2028", "\x85", "\U0001f30a", "a:", "a #b", "&a", "*a", "@", "%"]},
        {"1": 1, "true": 2, "a b": 3, "": 4},
    ],
)
def test_yaml_of_either_version_is_read_back_as_the_same_data(document: dict[str, Any]) -> None:
    text = yaml_text(document)
    assert yaml.safe_load(text) == document  # 1.1
    assert plain(read_documents(text, "f")[0]) == document  # 1.2
