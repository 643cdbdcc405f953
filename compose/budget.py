"""What one project may cost to load, so that small files cannot stand for more than a machine has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from compose.errors import ComposeError, Path, Place, Unreadable
from compose.interpolate import Lookup, Template
from compose.tree import Items, Node, Scalar, Table

BYTES_MAX = 8 * 1024 * 1024  # of all files together, one that is read for several services counted each time
REPLACED_CHARS_MAX = 4 * 1024 * 1024  # that variables bring into the files
VALUES_MAX = 100_000  # in all services together, once extends are carried out; the largest project known has 3,000


@dataclass
class Budget:
    """Counts what was spent; raises `ComposeError` when it is too much."""

    read_bytes: int = 0
    replaced_chars: int = 0
    values: int = 0

    def read(self, size: int, *, place: Place, path: Path) -> None:
        self.read_bytes += size
        if self.read_bytes > BYTES_MAX:
            message = f"all files of the project together are larger than {BYTES_MAX} bytes"
            raise Unreadable(message, place=place, path=path)

    def counted(self, lookup: Lookup) -> Lookup:
        """Return `lookup`, raising `Template` when the values that it has found are too long all together."""

        def counting(name: str) -> str | None:
            value = lookup(name)
            self.replaced_chars += len(value or "")
            if self.replaced_chars > REPLACED_CHARS_MAX:
                raise Template(f"variables bring more than {REPLACED_CHARS_MAX} characters into the project")
            return value

        return counting

    def take(self, node: Node, path: Path) -> None:
        """Count the values of a service that extends another one."""
        self.values += weight(node)
        if self.values > VALUES_MAX:
            raise ComposeError(
                f"more than {VALUES_MAX} values once extends are carried out", place=node.place, path=path
            )

    def take_variables(self, count: int, *, place: Place, path: Path) -> None:
        """Count the variables that a service gets from a file."""
        self.values += count
        if self.values > VALUES_MAX:
            raise Unreadable(f"services have more than {VALUES_MAX} variables from files", place=place, path=path)


Take = Callable[[Node, Path], None]


def weight(node: Node) -> int:
    """Return how many values a tree has."""
    match node:
        case Scalar():
            return 1
        case Items():
            return 1 + sum(map(weight, node.nodes))
        case Table():
            return 1 + sum(map(weight, node.nodes.values()))
