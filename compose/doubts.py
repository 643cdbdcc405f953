"""What is legal in a file, but probably not what was meant: warnings, each with its place. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compose.errors import Place, dotted
from compose.forms.mounts import OPTIONS, mount_parts
from compose.forms.words import shell_words
from compose.tree import Items, Node, Scalar, Table, table_of


def doubts(file: Table) -> Iterator[tuple[Place, str]]:
    """Yield the warnings about one file whose variables are replaced, before short forms are made long."""
    if "version" in file.nodes:
        yield file.nodes["version"].place, "version is obsolete and has no effect; remove it"
    for name, node in table_of(file.nodes.get("services")).nodes.items():
        service = table_of(node).nodes
        for key in ("command", "entrypoint"):
            yield from _cut_short(service.get(key), dotted(("services", name, key)))
        volumes = service.get("volumes")
        for at, mount in enumerate(volumes.nodes if isinstance(volumes, Items) else ()):
            yield from _without_effect(mount, dotted(("services", name, "volumes", at)))


def _cut_short(command: Node | None, path: str) -> Iterator[tuple[Place, str]]:
    if not isinstance(command, Scalar) or not isinstance(command.value, str):
        return
    try:
        _, rest = shell_words(command.value)
    except ValueError:
        return  # it will be refused
    if rest:
        advice = "no shell is involved; quote it, or write sh -c '...'"
        yield command.place, f"{path}: the command ends before {rest[:20]!r}: {advice}"


def _without_effect(mount: Node, path: str) -> Iterator[tuple[Place, str]]:
    if not isinstance(mount, Scalar) or not isinstance(mount.value, str):
        return
    parts = mount_parts(mount.value)
    for option in parts[2].split(",") if len(parts) == 3 else ():
        if option not in OPTIONS:
            yield mount.place, f"{path}: the option {option[:20]!r} has no effect here"
