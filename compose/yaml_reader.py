"""YAML 1.2 text to trees, with limits: the one place that knows the YAML library.

Of the library only the parser is used, libyaml's, which gives events. Trees are built from them with a stack of our
own, so that depth, size and aliases are counted before anything is expanded, and every node keeps its line. Plain
scalars are resolved as Compose does (`0440` is octal, `yes` is a text).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from yaml import (
    AliasEvent,
    CBaseLoader,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    YAMLError,
    parse,
)
from yaml.reader import ReaderError

from compose.errors import ComposeError, Path, Place, Unreadable
from compose.tree import Items, Mark, Node, Scalar, Table, moved

TEXT_CHARS_MAX = 1024 * 1024  # a Compose file is written by hand; what is larger is something else
NODES_MAX = 100_000  # after aliases are expanded: a file of one kilobyte can stand for a billion nodes
DEPTH_MAX = 64  # Compose itself needs 8
DOCUMENTS_MAX = 100
TAG_LINES_MAX = 10  # the library compares each with every other one

_INTEGER = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NUMBER_BEGINS = frozenset("+-.0123456789")
_CONSTANTS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_YAML_TAG = "tag:yaml.org,2002:"
_NUMBER_CHARS_MAX = 400  # Python refuses to convert far longer texts, and no Compose value needs them


def read_documents(text: str, file: str) -> list[Node]:
    """Return the trees of all documents in `text`; `file` is how messages call it. Raise `Unreadable` otherwise."""
    if len(text) > TEXT_CHARS_MAX:
        raise Unreadable(f"the file is larger than {TEXT_CHARS_MAX} characters", place=Place(file))
    if text.count("%TAG") > TAG_LINES_MAX:
        raise Unreadable(f"more than {TAG_LINES_MAX} lines are %TAG directives; Compose needs none", place=Place(file))
    builder = _Builder(file)
    try:
        for event in parse(text, Loader=CBaseLoader):
            builder.take(event)
    except YAMLError as error:
        raise _unreadable(error, text, file) from error
    return builder.documents


def _unreadable(error: YAMLError, text: str, file: str) -> Unreadable:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else 0
    if isinstance(error, ReaderError):  # a character that no YAML has; `position` counts bytes
        line = text.encode()[: error.position].count(b"\n") + 1
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it ends too early"
    return Unreadable(f"not valid YAML: {problem}; check indentation, quotes and colons there", place=Place(file, line))


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is being read."""

    place: Place
    mark: Mark
    anchor: str | None
    mapping: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    merged: list[Table] = field(default_factory=list)
    merge_line: int = 0
    key: str | None = None
    key_place: Place = field(default_factory=Place)
    nodes: int = 1
    depth: int = 0


@dataclass(frozen=True, slots=True)
class _Anchored:
    node: Node
    nodes: int
    depth: int


class _Builder:
    """Takes events, one after the other, and holds the finished documents."""

    def __init__(self, file: str) -> None:
        self.documents: list[Node] = []
        self._file = file
        self._place = Place(file)
        self._frames: list[_Frame] = []
        self._anchors: dict[str, _Anchored | None] = {}  # None: still open, an alias to it would be recursive

    def take(self, event: Event) -> None:
        line = event.start_mark.line + 1
        if line != self._place.line:
            self._place = Place(self._file, line)
        place = self._place
        match event:
            case ScalarEvent():  # first: most events are
                scalar = _scalar(event, place)
                if event.anchor:
                    self._anchors[event.anchor] = _Anchored(scalar, 1, 0)
                self._put(scalar, nodes=1, depth=0, merge_key=_is_merge_key(event))
            case MappingStartEvent() | SequenceStartEvent():
                self._open(event, place)
            case MappingEndEvent() | SequenceEndEvent():
                self._close()
            case AliasEvent():
                self._alias(event.anchor, place)
            case DocumentStartEvent():
                self._begin(place)

    def _begin(self, place: Place) -> None:
        if len(self.documents) >= DOCUMENTS_MAX:
            raise Unreadable(f"there are more than {DOCUMENTS_MAX} documents in the file", place=place)
        self._anchors.clear()

    def _open(self, event: MappingStartEvent | SequenceStartEvent, place: Place) -> None:
        mapping = isinstance(event, MappingStartEvent)
        frame = self._frames[-1] if self._frames else None
        if frame is not None and frame.mapping and frame.key is None:
            raise Unreadable("a key must be a text, not a list or mapping", place=place, path=self._path())
        if len(self._frames) >= DEPTH_MAX:
            raise Unreadable(f"nested deeper than {DEPTH_MAX} levels", place=place, path=self._path())
        mark = _mark(event.tag, ("map" if mapping else "seq"), place)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._frames.append(_Frame(place=place, mark=mark, anchor=event.anchor, mapping=mapping))

    def _close(self) -> None:
        frame = self._frames.pop()
        node: Node
        if frame.mapping:
            entries = dict(frame.entries)
            for table in frame.merged:  # what is written here wins, then the first of the merged mappings
                for key, value in table.nodes.items():
                    entries.setdefault(key, value)
            node = Table(entries, frame.place, frame.mark)
        else:
            node = Items(tuple(frame.items), frame.place, frame.mark)
        if frame.anchor:
            self._anchors[frame.anchor] = _Anchored(node, frame.nodes, frame.depth)
        self._put(node, nodes=frame.nodes, depth=frame.depth, merge_key=False)

    def _alias(self, anchor: str, place: Place) -> None:
        if anchor not in self._anchors:
            raise Unreadable(f"alias *{anchor} has no anchor &{anchor} before it", place=place, path=self._path())
        anchored = self._anchors[anchor]
        if anchored is None:
            raise Unreadable(f"alias *{anchor} contains itself; break the circle", place=place, path=self._path())
        self._put(anchored.node, nodes=anchored.nodes, depth=anchored.depth, merge_key=False)

    def _put(self, node: Node, *, nodes: int, depth: int, merge_key: bool) -> None:
        if not self._frames:
            self.documents.append(node)
            return
        frame = self._frames[-1]
        frame.nodes += nodes
        frame.depth = max(frame.depth, depth + 1)
        if frame.nodes > NODES_MAX:
            message = f"more than {NODES_MAX} values once aliases are expanded"
            raise Unreadable(message, place=node.place, path=self._path())
        if frame.depth + len(self._frames) > DEPTH_MAX:
            message = f"nested deeper than {DEPTH_MAX} levels once aliases are expanded"
            raise Unreadable(message, place=node.place, path=self._path())
        if not frame.mapping:
            frame.items.append(node)
        elif frame.key is None:
            self._put_key(frame, node, merge_key=merge_key)
        elif frame.key == _MERGE_KEY:
            frame.merged.extend(_merged_tables(node, frame.key_place, self._path()))
            frame.key = None
        else:
            frame.entries[frame.key] = moved(node, frame.key_place)
            frame.key = None

    def _path(self) -> Path:
        """Return the keys that lead to where the reader is."""
        parts = [frame.key if frame.mapping else len(frame.items) for frame in self._frames]
        return tuple("<<" if part == _MERGE_KEY else part for part in parts if part is not None)

    def _put_key(self, frame: _Frame, node: Node, *, merge_key: bool) -> None:
        frame.key_place = node.place
        if merge_key:
            if frame.merge_line:
                message = f"'<<' stands here twice, first in line {frame.merge_line}; write <<: [*a, *b]"
                raise Unreadable(message, place=node.place, path=self._path())
            frame.merge_line = node.place.line
            frame.key = _MERGE_KEY
            return
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            written = node.text if isinstance(node, Scalar) else "a list or mapping"
            message = f"the key {written or 'null'} is not a text; put it in quotes"
            raise ComposeError(message, place=node.place, path=self._path())
        if node.value in frame.entries:
            first = frame.entries[node.value].place.line
            message = f"the key {node.value!r} stands here twice, first in line {first}"
            raise Unreadable(message, place=node.place, path=self._path())
        frame.key = node.value


_MERGE_KEY = "\x00<<"  # cannot be written as a key in YAML


def _is_merge_key(event: ScalarEvent) -> bool:
    return event.value == "<<" and event.tag is None and bool(event.implicit[0])


def _merged_tables(node: Node, place: Place, path: Path) -> list[Table]:
    candidates = node.nodes if isinstance(node, Items) else (node,)
    tables = [candidate for candidate in candidates if isinstance(candidate, Table)]
    if len(tables) != len(candidates):
        raise Unreadable("'<<' takes a mapping or a list of mappings", place=place, path=path)
    return tables


def _mark(tag: str | None, natural: str, place: Place) -> Mark:
    if tag in (None, "!", _YAML_TAG + natural):
        return Mark.MERGE
    if tag == "!reset":
        return Mark.RESET
    if tag == "!override":
        return Mark.OVERRIDE
    shown = str(tag).removeprefix(_YAML_TAG)
    raise Unreadable(f"the tag {shown} has no meaning here; remove it", place=place)


def _scalar(event: ScalarEvent, place: Place) -> Scalar:
    text = event.value
    if event.tag is None:
        value = _resolved(text) if event.implicit[0] else text
        return Scalar(value, text, place)
    converter = _TAGGED.get(event.tag)
    if converter is None:
        return Scalar(_resolved(text) if event.style is None else text, text, place, _mark(event.tag, "str", place))
    value = converter(text)
    if event.tag != _YAML_TAG + "null" and value is None:
        raise Unreadable(f"{text[:80]!r} is not what its tag says", place=place)
    return Scalar(value, text, place)


def _resolved(text: str) -> str | int | float | bool | None:
    """Return what a plain scalar stands for."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_BEGINS or len(text) > _NUMBER_CHARS_MAX:
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text)
    return _float(text) if _FLOAT.fullmatch(text) else text


def _integer(text: str) -> int | float | str:
    digits = text.replace("_", "")
    if re.fullmatch(r"[-+]?0[0-7]+", digits):
        digits = digits.replace("0", "0o", 1)
    try:
        value = int(digits, 0)
    except ValueError:
        return text
    if -(2**63) <= value < 2**64:
        return value
    return _float(digits) if _FLOAT.fullmatch(digits) else text  # as other Compose tools: no integer is that large


def _float(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _number(text: str, kinds: type[int] | tuple[type, ...]) -> int | float | None:
    value = _resolved(text)
    return (
        value if isinstance(value, int | float) and isinstance(value, kinds) and not isinstance(value, bool) else None
    )


def _flag(text: str) -> bool | None:
    value = _CONSTANTS.get(text)
    return value if isinstance(value, bool) else None


_TAGGED: dict[str, Callable[[str], str | int | float | bool | None]] = {
    "!": str,
    _YAML_TAG + "str": str,
    _YAML_TAG + "null": lambda text: None,
    _YAML_TAG + "bool": _flag,
    _YAML_TAG + "int": lambda text: _number(text, int),
    _YAML_TAG + "float": lambda text: _number(text, (int, float)),
}
