"""A command line as words: quotes and backslashes as in a shell, but nothing is run and nothing is looked up. Pure.

The rules are those of other Compose tools, also where a shell does otherwise: a backslash makes any character a plain
one (but `\\n` and `\\t` are a line break and a tab), and what only a shell could carry out ends the command.
"""

from __future__ import annotations

_ENDS = frozenset(";&|<>")  # only a shell could obey these: other Compose tools drop them, and what follows
_BLANKS = frozenset(" \t\r\n")
_ESCAPED = {"n": "\n", "t": "\t"}


def shell_words(line: str) -> tuple[list[str], str]:
    """Return the words of a command line, and what follows the command; raise `ValueError` when something is open."""
    reader = _Words()
    for at, char in enumerate(line):
        if not reader.take(char):
            reader.finish()
            return reader.words, line[at:]
    reader.finish()
    return reader.words, ""


class _Words:
    """Takes one character after the other. `until` is what closes the quote or the parenthesis that is open."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._word: list[str] = []
        self._begun = False  # an empty word in quotes is a word
        self._escaped = False
        self._until = ""

    def take(self, char: str) -> bool:
        """Take a character; return False when it ends the command."""
        if self._escaped:
            self._escaped = False
            self._add(_ESCAPED.get(char, char))
        elif char == "\\" and self._until != "'":
            self._escaped = True
        elif self._until:
            self._inside(char)
        elif char in _BLANKS:
            self._end_word()
        elif char in "\"'":
            self._until = char
            self._begun = True
        elif char in _ENDS:
            if char == ">" and "".join(self._word).isdigit():
                self._word, self._begun = [], False  # the 2 of `2>file` is no word either
            return False
        else:
            self._outside(char)
        return True

    def _inside(self, char: str) -> None:
        closes = char == self._until
        if closes:
            self._until = ""
        if not closes or char in "`)":  # quotes go, what a shell would run stays as it is
            self._add(char)

    def _outside(self, char: str) -> None:
        if char == "(" and self._word[-1:] == ["$"]:
            self._until = ")"
        elif char in "()":
            raise ValueError("has a parenthesis outside of quotes")
        elif char == "`":
            self._until = "`"
        self._add(char)

    def _add(self, text: str) -> None:
        self._word.append(text)
        self._begun = True

    def _end_word(self) -> None:
        if self._begun:
            self.words.append("".join(self._word))
        self._word, self._begun = [], False

    def finish(self) -> None:
        if self._until or self._escaped:
            raise ValueError("has a quote that is not closed")
        self._end_word()
