"""What an export writes: NDJSON, CSV or Parquet. A stretch is on its way to the disk before its cursor is told."""

from __future__ import annotations

import base64
import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from cloud.cli.answers import Sample
from cloud.cli.errors import RequestRefused

PLACE = ("device", "stream", "epoch", "seq", "at_ms")


@dataclass(frozen=True)
class Appending:
    """Whether an export goes on behind the end of a file, and at which size of it: what follows was not told of."""

    goes_on: bool = False
    size: int | None = None


class Written(Protocol):
    """Where samples go."""

    @property
    def size(self) -> int:
        """Return how long the file is."""

    def write(self, samples: Sequence[Sample]) -> None:
        """Write samples, so that they survive the end of this process."""


@contextmanager
def opened(format_: str, output: Path | None, *, fields: Sequence[str], appending: Appending) -> Iterator[Written]:
    """Give a file of this format, or standard output. Where nothing is appended, no file is overwritten."""
    if format_ == "parquet":
        with _parquet(output, fields) as parquet:
            yield parquet
        return
    if output is None:
        yield _lines(format_, sys.stdout, fields, headed=False)
        return
    if appending.size is not None and output.exists():
        os.truncate(output, min(appending.size, output.stat().st_size))
    is_new = not output.exists() or output.stat().st_size == 0
    if not is_new and not appending.goes_on:
        raise _exists(output)
    with output.open("a", newline="", encoding="utf-8") as file:
        yield _lines(format_, file, fields, headed=not is_new)


def _lines(format_: str, file: IO[str], fields: Sequence[str], *, headed: bool) -> Written:
    return Ndjson(file) if format_ == "ndjson" else Csv(file, fields, headed=headed)


def _exists(output: Path) -> RequestRefused:
    hint = "name another file, or go on behind its end with --since or --cursor-file"
    return RequestRefused("file_exists", f"{output} is there already", hint=hint)


class Ndjson:
    """A JSON document a line, as the API tells samples: exact for any bytes."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @property
    def size(self) -> int:
        return _size(self._file)

    def write(self, samples: Sequence[Sample]) -> None:
        self._file.writelines(f"{json.dumps(sample.plain())}\n" for sample in samples)
        _settle(self._file)


class Csv:
    """A row a sample with a column for each of `fields`; without these, a row for each field of a sample."""

    def __init__(self, file: IO[str], fields: Sequence[str], *, headed: bool) -> None:
        self._file = file
        self._fields = fields
        self._csv = csv.writer(file)
        if not headed:
            self._csv.writerow([*PLACE, *(fields or ("field", "value"))])

    @property
    def size(self) -> int:
        return _size(self._file)

    def write(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            place = [getattr(sample, name) for name in PLACE]
            values = texts_of(sample)
            if self._fields:
                self._csv.writerow([*place, *(values.get(name, "") for name in self._fields)])
            else:
                self._csv.writerows([*place, name, value] for name, value in values.items())
        _settle(self._file)


def texts_of(sample: Sample) -> dict[str, str]:
    """Return the fields of a sample as texts: values that are none as `base64:` and themselves in base64."""
    binary = {base64.b64decode(name).decode(errors="replace"): f"base64:{value}" for name, value in sample.binary}
    return {name: str(value) for name, value in sample.values.items()} | binary


def _size(file: IO[str]) -> int:
    return 0 if file is sys.stdout else file.tell()


def _settle(file: IO[str]) -> None:
    file.flush()
    if file is not sys.stdout:
        os.fsync(file.fileno())


@contextmanager
def _parquet(output: Path | None, fields: Sequence[str]) -> Iterator[Written]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        hint = "pip install pyarrow, beside this program"
        raise RequestRefused("no_pyarrow", "Parquet needs pyarrow, which is not here", hint=hint) from error
    if output is None:
        raise RequestRefused("no_output", "Parquet is written to a file", hint="add --output FILE")
    if output.exists():
        raise _exists(output)
    columns = [(name, pyarrow.string()) for name in ("device", "stream")]
    columns += [("epoch", pyarrow.int64()), ("seq", pyarrow.int64()), ("at_ms", pyarrow.int64())]
    columns += [(name, pyarrow.string()) for name in fields] or [
        ("fields", pyarrow.map_(pyarrow.string(), pyarrow.string())),
        ("binary", pyarrow.map_(pyarrow.binary(), pyarrow.binary())),
    ]
    schema = pyarrow.schema(columns)
    with parquet.ParquetWriter(output, schema, compression="zstd") as file:
        yield Parquet(file, schema, fields)


class Parquet:
    """A row a sample; a stretch is a group of rows, and the file is whole only at the end of the export."""

    def __init__(self, file: Any, schema: Any, fields: Sequence[str]) -> None:
        self._file = file
        self._schema = schema
        self._fields = fields
        self.size = 0  # nothing is ever appended

    def write(self, samples: Sequence[Sample]) -> None:
        if samples:
            import pyarrow

            self._file.write_table(pyarrow.Table.from_pylist([self._row(one) for one in samples], schema=self._schema))

    def _row(self, sample: Sample) -> dict[str, Any]:
        place = {name: getattr(sample, name) for name in PLACE}
        if self._fields:
            texts = texts_of(sample)
            return place | {name: texts.get(name) for name in self._fields}
        binary = [(base64.b64decode(name), base64.b64decode(value)) for name, value in sample.binary]
        return place | {"fields": list(sample.values.items()), "binary": binary}
