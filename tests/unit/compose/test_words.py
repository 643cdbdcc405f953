"""Command lines as words, and what is told of those that need a shell."""

from __future__ import annotations

import pytest

from compose.forms.words import shell_words
from tests.unit.compose.conftest import Load


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a b  c", ["a", "b", "c"]),
        ("sh -c 'echo \"x y\"'", ["sh", "-c", 'echo "x y"']),
        ('a "b \\"c\\" $d" e', ["a", 'b "c" $d', "e"]),
        ("a\\ b c", ["a b", "c"]),
        ("a'b'\"c\"", ["abc"]),
        ("a '' b", ["a", "", "b"]),
        ("a # b", ["a", "#", "b"]),
        ("multi\n  line", ["multi", "line"]),
        ("", []),
        (r"a\tb '\t' \x", ["a\tb", r"\t", "x"]),
        (r"a \; b", ["a", ";", "b"]),
        ("echo $(a b)c `d e`", ["echo", "$(a b)c", "`d e`"]),
    ],
)
def test_a_command_line_is_split_into_words(line: str, words: list[str]) -> None:
    assert shell_words(line) == (words, "")


@pytest.mark.parametrize(
    ("line", "words", "rest"),
    [
        ("a && b", ["a"], "&& b"),
        ("a b;c", ["a", "b"], ";c"),
        ("a | b", ["a"], "| b"),
        ("a 2>b", ["a"], ">b"),
        ("a b2>b", ["a", "b2"], ">b"),
        ("a '&&' \"|\"", ["a", "&&", "|"], ""),
    ],
)
def test_what_only_a_shell_could_carry_out_ends_the_command(line: str, words: list[str], rest: str) -> None:
    assert shell_words(line) == (words, rest)


@pytest.mark.parametrize("line", ["'a", 'a "b', "a\\", "`a", "$(a", "a (b)", "a)"])
def test_what_is_open_or_has_no_meaning_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"not closed|parenthesis"):
        shell_words(line)


def test_a_command_that_ends_early_is_told_with_its_place(load_text: Load) -> None:
    project = load_text("services:\n  web:\n    image: a\n    command: a && b\n    entrypoint: sh -c 'a && b'\n")
    assert project.services["web"].command == ("a",)
    assert project.warnings == (
        "compose.yaml:4: services.web.command: the command ends before '&& b': "
        "no shell is involved; quote it, or write sh -c '...'",
    )


def test_an_option_of_a_mount_without_effect_is_told_with_its_place(load_text: Load) -> None:
    project = load_text("services:\n  web:\n    image: a\n    volumes: ['/a:/b:ro,cached', '/c:/d:z']\n")
    assert [mount.read_only for mount in project.services["web"].volumes] == [True, False]
    assert project.warnings == ("compose.yaml:4: services.web.volumes[0]: the option 'cached' has no effect here",)
