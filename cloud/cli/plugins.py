"""Commands that other halves of Skerry add: entry points of the group `skerry.commands`, without an import edge.

An entry point is a typer app, which becomes (or extends) the command group of the entry point's name, or a callable
that takes the whole command line and adds to it what it likes.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint

import typer


def join(root: typer.Typer, found: Iterable[EntryPoint]) -> None:
    """Add the commands of each entry point; one whose half is not installed completely is left out."""
    for entry in sorted(found, key=lambda one: one.name):
        try:
            added = entry.load()
        except ImportError:  # an extra that is not installed: its commands do not exist here
            continue
        if isinstance(added, typer.Typer):
            _add_group(root, entry.name, added)
        else:
            added(root)


def _add_group(root: typer.Typer, name: str, added: typer.Typer) -> None:
    for group in root.registered_groups:
        if group.name == name and group.typer_instance is not None:
            group.typer_instance.registered_commands += added.registered_commands
            return
    root.add_typer(added, name=name)
