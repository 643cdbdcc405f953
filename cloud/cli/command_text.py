"""Commands as text: what was asked, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cloud.cli import exits
from cloud.cli.answers import Command
from cloud.cli.durations import ago
from cloud.cli.render import moment, printable

OPEN = ("waiting", "sent")
_SHOWN = {"waiting": "waits for the device", "sent": "sent, not answered yet"}


def is_open(command: Command) -> bool:
    return command.state in OPEN


def what(command: Command) -> str:
    """Return what was asked: `app.restart hello/web`."""
    target = "/".join(part for part in (command.app, command.service) if part)
    return f"{command.verb} {target}".strip()


def progress_line(command: Command) -> str:
    """Return one line on a command on its way."""
    return printable(f"{command.label}  {_SHOWN.get(command.state, command.state)}{_because(command)}")


def outcome(commands: Sequence[Command]) -> tuple[int, list[str]]:
    """Return the exit code for commands that were waited for, and a line for each."""
    lines = [f"{one.label}  {_SHOWN.get(one.state, one.state)}{_because(one)}" for one in commands]
    if any(is_open(one) for one in commands):
        return exits.TIMED_OUT, [printable(line) for line in lines]
    done = all(one.state == "done" for one in commands)
    return exits.OK if done else exits.FAILED, [printable(line) for line in lines]


def command_rows(commands: Sequence[Command]) -> list[tuple[object, ...]]:
    return [
        (one.command, one.label, what(one), one.state, moment(one.created_ms), one.by, one.message or one.reason)
        for one in commands
    ]


def command_lines(command: Command, now_ms: int) -> Iterator[str]:
    """Yield everything about one command."""
    facts = [
        ("command", command.command),
        ("device", f"{command.label} ({command.device})"),
        ("what", what(command)),
        ("state", f"{command.state}{_because(command)}"),
        ("asked", f"{moment(command.created_ms)} by {command.by}"),
        ("until", moment(command.until_ms)),
        ("sent", f"{command.tries} times, the last one {ago(command.sent_ms, now_ms)}" if command.sent_ms else "-"),
        ("ended", moment(command.finished_ms)),
    ]
    yield from (printable(f"{name:12}{value}") for name, value in facts)


def _because(command: Command) -> str:
    why = command.message or command.reason
    return f": {why}" if why else ""
