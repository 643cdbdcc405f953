"""Environment files."""

from __future__ import annotations

import pytest

from compose.dotenv import parse
from compose.errors import Unreadable


def nothing(name: str) -> None:
    return None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("A = 1 ", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("A: 1", {"A": "1"}),
        ("A", {"A": None}),
        ("A=", {"A": ""}),
        ("A=x=y", {"A": "x=y"}),
        ("# note\n\nA=1 # note", {"A": "1"}),
        ("A=x#y", {"A": "x#y"}),
        ("A='x # $B'", {"A": "x # $B"}),
        ('A="x # y" # note', {"A": "x # y"}),
        ('A="x\\ny\\t\\"z\\""', {"A": 'x\ny\t"z"'}),
        ('A="two\nlines"\nB=1', {"A": "two\nlines", "B": "1"}),
        ("A='two\nlines'", {"A": "two\nlines"}),
        ("A='it\\'s \\n'", {"A": "it's \\n"}),
        ('A="\\a\\0101\\q"', {"A": "\aA\\q"}),
        ("A=1\nB=${A}2", {"A": "1", "B": "12"}),
        ("B=$HOST", {"B": "from outside"}),
        ("B=${NONE:-d}", {"B": "d"}),
        ('B="\\$A $$A"', {"B": "$A $A"}),
        ("P=^.{8,}$", {"P": "^.{8,}$"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("A.b-c[0]=1", {"A.b-c[0]": "1"}),
        ("A=1\nA=2", {"A": "2"}),
    ],
)
def test_a_file_gives_its_variables(text: str, expected: dict[str, str | None]) -> None:
    assert parse(text, {"HOST": "from outside"}.get) == expected


def test_the_environment_wins_over_the_file_inside_values() -> None:
    assert parse("A=file\nB=$A", {"A": "outside"}.get)["B"] == "outside"


def test_raw_values_stand_as_they_are() -> None:
    assert parse('A="$B" # c\n#x\nC', nothing, raw=True) == {"A": '"$B" # c', "C": None}


@pytest.mark.parametrize("text", ['A="open', "A='open", "A B=1", "=1", 'A="x" y', "A=${", "A b"])
def test_what_is_no_variable_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(Unreadable, match=r"^e\.env:2: "):
        parse("Z=1\n" + text, nothing, file="e.env")
