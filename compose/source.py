"""Files from the disk: the one place of the loader that reads them, with limits, and errors naming who asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from compose.budget import Budget
from compose.dotenv import parse
from compose.doubts import doubts
from compose.errors import ComposeError, Path, Place, Unreadable
from compose.forms.ports import port_count
from compose.interpolate import Lookup, interpolated
from compose.paths import resolved, resolver
from compose.shapes import shaped
from compose.specification import FILE
from compose.tree import Node, Table, kind, table_of
from compose.yaml_reader import read_documents

BYTES_MAX = 4 * 1024 * 1024
PORTS_MAX = 65_535


@dataclass(frozen=True)
class Source:
    """Reads and prepares files. `shown_from` is the folder that messages leave out; `warn` hears what is doubtful."""

    shown_from: FilePath
    home: str
    warn: Callable[[str], None]
    budget: Budget = field(default_factory=Budget)

    def shown(self, file: FilePath) -> str:
        try:
            return str(file.relative_to(self.shown_from))
        except ValueError:
            return str(file)

    def text(self, file: FilePath, *, asked_at: Place, path: Path) -> str:
        """Return the text of a file, or refuse at the place that asked for it."""
        try:
            if file.exists() and not file.is_file() and str(file) != os.devnull:
                raise Unreadable(f"{self.shown(file)} is not a file", place=asked_at, path=path)
            with file.open("rb") as stream:
                data = stream.read(BYTES_MAX + 1)
            if len(data) > BYTES_MAX:
                raise Unreadable(f"{self.shown(file)} is larger than {BYTES_MAX} bytes", place=asked_at, path=path)
            self.budget.read(len(data), place=asked_at, path=path)
            return data.decode("utf-8-sig")
        except OSError as error:
            problem = (
                "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or "cannot be read"
            )
            raise Unreadable(f"{self.shown(file)}: {problem}", place=asked_at, path=path) from error
        except UnicodeDecodeError as error:
            raise Unreadable(f"{self.shown(file)} is not UTF-8 text", place=asked_at, path=path) from error
        except ValueError as error:  # a NUL in the name
            raise Unreadable(f"{str(file)!r} is not the name of a file", place=asked_at, path=path) from error

    def documents(self, file: FilePath, *, asked_at: Place = Place(), path: Path = ()) -> list[Table]:
        """Return the documents of one file as written. There may be several; later ones change earlier ones."""
        shown = self.shown(file)
        tables: list[Table] = []
        for document in read_documents(self.text(file, asked_at=asked_at, path=path), shown):
            if not isinstance(document, Table):
                what = "is empty" if kind(document) == "empty" else f"is {kind(document)}, but must be a mapping"
                raise ComposeError(
                    f"the file {what}; it needs at least 'services:'", place=Place(shown, document.place.line)
                )
            tables.append(document)
        if not any(table.nodes for table in tables):
            raise ComposeError("the file is empty; it needs at least 'services:'", place=Place(shown))
        return tables

    def prepared(self, document: Table, folder: FilePath, environment: Mapping[str, str]) -> Table:
        """Return a document in canonical form: variables replaced, shapes checked, paths absolute."""

        def warn(place: Place, message: str) -> None:
            self.warn(f"{place}: {message}")

        node: Node = interpolated(document, self.budget.counted(environment.get), warn)
        assert isinstance(node, Table)
        for place, message in doubts(node):
            warn(place, message)
        self._check_ports(node)
        node = shaped(FILE, node, ())
        assert isinstance(node, Table)
        return resolved(node.without("version"), resolver(folder, self.home))

    def _check_ports(self, file: Table) -> None:
        """Refuse ranges that stand for more ports than there are, before they are written out one by one."""
        count = 0
        for name, service in table_of(file.nodes.get("services")).nodes.items():
            count += port_count(table_of(service).nodes.get("ports"))
            if count > PORTS_MAX:
                message = f"the services of a file have more than {PORTS_MAX} ports"
                raise ComposeError(message, place=service.place, path=("services", name, "ports"))

    def variables(
        self,
        file: FilePath,
        lookup: Lookup,
        *,
        raw: bool = False,
        asked_at: Place = Place(),
        path: Path = (),
    ) -> dict[str, str | None]:
        """Return the names and values of an environment file."""
        text = self.text(file, asked_at=asked_at, path=path)
        found = parse(text, self.budget.counted(lookup), file=self.shown(file), raw=raw)
        self.budget.take_variables(len(found), place=asked_at, path=path)
        return found


def absolute(path: FilePath) -> FilePath:
    """Return a path without `..` and without looking at the disk."""
    return FilePath(os.path.abspath(path))  # resolve() would follow links, and the paths would surprise
