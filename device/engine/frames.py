"""What an engine sends of a container's two outputs: the framing over one connection, and the lines in it. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

from device.engine.listing import at_ns
from device.engine.port import LogLine

Output = Literal["out", "err"]
HEADER = struct.Struct(">BxxxL")  # 1 is out, 2 is err; then how many bytes follow
STAMP_BYTES_MAX = 40  # held back until they are there, so that a time stamp is never seen in halves
LINE_BYTES_MAX = 64 * 1024  # of one line; what comes after is another one, and both say so


class Frames:
    """Takes an engine's bytes as they come and gives the pieces of both outputs, each with whether it begins a frame.

    A container with a terminal has one raw output instead, whose pieces begin wherever.
    """

    def __init__(self, *, is_raw: bool) -> None:
        self._is_raw = is_raw
        self._output: Output = "out"
        self._begun = b""  # a header, or the beginning of a frame, that is not all there
        self._left = 0  # bytes of the present frame that have not been given

    def feed(self, data: bytes) -> Iterator[tuple[Output, bool, bytes]]:
        """Yield the output, whether the piece begins a frame, and the piece."""
        if self._is_raw:
            yield "out", False, data
            return
        begins = bool(self._begun)
        data, at, self._begun = self._begun + data, 0, b""
        while at < len(data):
            if self._left == 0 or begins:
                if len(data) - at < HEADER.size:
                    self._begun = data[at:]
                    return
                kind, size = HEADER.unpack_from(data, at)
                if len(data) - at < HEADER.size + min(size, STAMP_BYTES_MAX):
                    self._begun = data[at:]
                    return
                self._output, self._left, begins = ("err" if kind == 2 else "out"), size, True
                at += HEADER.size
            piece = data[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            if piece:
                yield self._output, begins, piece
            begins = False


class Lines:
    """Puts pieces together to lines with time stamps that differ, so that a reader can go on after any of them.

    Where an engine's stamps are too coarse (Podman tells seconds), the k-th line of a stamp is k nanoseconds later.
    That counts alike whenever reading begins at a whole second.
    """

    def __init__(self) -> None:
        self._pending: dict[Output, bytearray] = {"out": bytearray(), "err": bytearray()}
        self._stamps: dict[Output, int] = {}
        self._stamp = 0
        self._same = 0

    def feed(self, output: Output, begins: bool, piece: bytes) -> Iterator[LogLine]:
        """Take a piece; yield the lines it ends. An engine cuts long lines into frames, each with the stamp again."""
        if begins and (self._pending[output] or output in self._stamps):
            stamp, space, rest = piece.partition(b" ")
            piece = rest if space and at_ns(stamp.decode(errors="replace")) is not None else piece
        *ended, rest = piece.split(b"\n")
        for part in ended:
            self._pending[output] += part
            yield from self._take(output, is_whole=True)
        self._pending[output] += rest
        if len(self._pending[output]) >= LINE_BYTES_MAX:
            yield from self._take(output, is_whole=False)

    def end(self) -> Iterator[LogLine]:
        """Yield what has no end of line: the container has ended, or was cut off."""
        for output, pending in self._pending.items():
            if pending:
                yield from self._take(output, is_whole=True)

    def _take(self, output: Output, *, is_whole: bool) -> Iterator[LogLine]:
        pending = self._pending[output]
        if output not in self._stamps:
            stamp, _, rest = bytes(pending).partition(b" ")
            found = at_ns(stamp.decode(errors="replace"))
            if found is not None:
                self._stamps[output] = found
                pending = bytearray(rest)
        self._pending[output] = bytearray()
        if (stamp_ns := self._stamps.get(output)) is not None:
            for at in range(0, max(len(pending), 1), LINE_BYTES_MAX):
                is_last = is_whole and at + LINE_BYTES_MAX >= len(pending)
                text = pending[at : at + LINE_BYTES_MAX].decode(errors="replace")
                yield LogLine(
                    self._unlike(stamp_ns), output, text.rstrip("\r") if is_last else text, is_cut=not is_last
                )
        if is_whole:
            self._stamps.pop(output, None)

    def _unlike(self, stamp_ns: int) -> int:
        self._same = self._same + 1 if stamp_ns == self._stamp else 0
        self._stamp = stamp_ns
        return stamp_ns + self._same
