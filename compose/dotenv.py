"""Environment files (`.env`, `env_file`): text to names and values, with quotes, comments and variables. Pure."""

from __future__ import annotations

import re

from compose.errors import NOWHERE, Place, Unreadable
from compose.interpolate import Lookup, Template, substitute

_LINE = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[^\s=:#'\"]+)[ \t]*(?P<sign>[=:])?[ \t]*")
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]+")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPE = re.compile(r"\\(0[0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {"$": "$$", '"': '"', "\\": "\\"} | dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
_COMMENT = re.compile(r"\s#.*")
_SIMPLE = re.compile(
    r"([A-Za-z_][A-Za-z0-9_.-]*)=([^\s'\"$#]*)(?:\n|\Z)"
)  # most lines are; the others take much longer
VALUES_CHARS_MAX = 8 * 1024 * 1024  # of one file, once variables are replaced


def parse(text: str, lookup: Lookup, *, file: str = "", raw: bool = False) -> dict[str, str | None]:
    """Return names and values in order; None stands for a bare name, whose value the reader's environment gives.

    `raw` takes everything after the first `=` as it stands, as `format: raw` asks.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return _parse_raw(text, file) if raw else _Reader(text, lookup, file).read()


def _parse_raw(text: str, file: str) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, sign, value = line.partition("=")
        if not name.strip() or " " in name.strip():
            raise Unreadable(f"{line[:40]!r} is not NAME=value", place=Place(file, number))
        values[name.strip()] = value if sign else None
    return values


class _Reader:
    """Walks over one text; `at` is the next character."""

    def __init__(self, text: str, lookup: Lookup, file: str) -> None:
        self.text = text
        self.lookup = lookup
        self.file = file
        self.at = 0
        self.values: dict[str, str | None] = {}
        self.chars = 0

    def read(self) -> dict[str, str | None]:
        while self.at < len(self.text):
            if simple := _SIMPLE.match(self.text, self.at):
                self.values[simple[1]] = simple[2]
                self.at = simple.end()
                continue
            end = self._line_end()
            line = self.text[self.at : end]
            if not line.strip() or line.lstrip().startswith("#"):
                self.at = end + 1
                continue
            self._assignment(line)
        return self.values

    def _line_end(self) -> int:
        end = self.text.find("\n", self.at)
        return len(self.text) if end < 0 else end

    def _place(self) -> Place:
        return Place(self.file, self.text.count("\n", 0, self.at) + 1) if self.file else NOWHERE

    def _assignment(self, line: str) -> None:
        match = _LINE.match(line)
        if match is None or not _NAME.fullmatch(match["name"]):
            raise Unreadable(
                f"{line.strip()[:40]!r} is not NAME=value; names have no spaces or quotes", place=self._place()
            )
        name = match["name"]
        if match["sign"] is None:
            if _COMMENT.sub("", line[match.end("name") :]).strip():
                raise Unreadable(f"{line.strip()[:40]!r} is not NAME=value", place=self._place())
            self.values[name] = None
            self.at = self._line_end() + 1
            return
        self.at += match.end()
        self.values[name] = self._value()

    def _value(self) -> str:
        opening = self.text[self.at : self.at + 1]
        if opening == "'":
            return self._quoted(_SINGLE).replace("\\'", "'")
        if opening == '"':
            inner = self._quoted(_DOUBLE)
            return self._substituted(_ESCAPE.sub(_unescape, inner))
        line = self.text[self.at : self._line_end()]
        value = "" if line.startswith("#") else _COMMENT.sub("", line).strip()
        result = self._substituted(value)
        self.at = self._line_end() + 1
        return result

    def _quoted(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise Unreadable("a quote is not closed", place=self._place())
        rest = self.text[match.end() :].split("\n", 1)[0]
        if rest.strip() and not rest.lstrip().startswith("#"):
            raise Unreadable(f"{rest.strip()[:40]!r} stands after the closing quote", place=self._place())
        self.at = match.end() + len(rest) + 1
        return match[1]

    def _substituted(self, value: str) -> str:
        try:
            result = substitute(value, self._known)
        except Template as error:
            raise Unreadable(str(error), place=self._place()) from error
        self.chars += len(result)
        if self.chars > VALUES_CHARS_MAX:
            message = f"the values are longer than {VALUES_CHARS_MAX} characters once variables are replaced"
            raise Unreadable(message, place=self._place())
        return result

    def _known(self, name: str) -> str | None:
        outside = self.lookup(name)
        return outside if outside is not None else self.values.get(name)


def _unescape(match: re.Match[str]) -> str:
    if len(match[1]) > 1:
        return chr(int(match[1], 8) & 0xFF)
    return _ESCAPES.get(match[1], match[0])
