"""One layer out of the archive that an engine writes of an image (`docker save`): the tar exactly as it was pulled."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from broker.errors import Refused

PIECE = 256 * 1024


def take_layer(archive: Iterator[bytes], diff_id: str, path: Path, *, size: int) -> None:
    """Write the layer with this diff id and size to a file; raise `Refused` (`missing_base`) where there is none.

    Engines name layers in several ways, so the ones of that size are tried. The archive is closed in the end.
    """
    stream = io.BufferedReader(_Stream(archive), PIECE)
    try:
        with contextlib.closing(stream), tarfile.open(fileobj=stream, mode="r|") as members:
            for member in members:
                file = members.extractfile(member) if member.isreg() and member.size == size else None
                if file is not None and _written(file, path) == diff_id:
                    return
    except tarfile.TarError as error:
        raise Refused("missing_base", f"the engine's archive cannot be read: {error}") from error
    raise Refused("missing_base", f"the engine's archive does not have layer {diff_id}")


class _Stream(io.RawIOBase):
    """Pieces as a file that is read from its beginning to its end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._rest and (piece := next(self._pieces, None)) is not None:
            self._rest = piece
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()  # whoever reads no further: the engine need not write on
        super().close()


def _written(file: IO[bytes], path: Path) -> str:
    found = hashlib.sha256()
    with path.open("wb") as out:
        while piece := file.read(PIECE):
            found.update(piece)
            out.write(piece)
    return f"sha256:{found.hexdigest()}"
