"""`skerry telemetry export`: all samples as a file, in stretches: a year of them takes no more memory than a day."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from broker.files import write_durably
from cloud.cli.durations import moment_of
from cloud.cli.errors import RequestRefused
from cloud.cli.render import note, say_json
from cloud.cli.surroundings import AsJson, around
from cloud.cli.telemetry import OnlyDevice, told_lost

PROGRESS_S = 2.0
Format = Literal["ndjson", "csv", "parquet"]


def export(
    context: typer.Context,
    *,
    device: OnlyDevice = None,
    app: Annotated[str | None, typer.Option("--app", help="Only of this app.")] = None,
    stream: Annotated[str | None, typer.Option("--stream", "-s", help="Only of this stream.")] = None,
    field: Annotated[list[str] | None, typer.Option("--field", help="Only these fields; may be repeated.")] = None,
    from_: Annotated[str, typer.Option("--from", help="Only from this time on: 2026-03-01T12:00Z, or 2d ago.")] = "",
    until: Annotated[str, typer.Option("--until", help="Only before this time.")] = "",
    format_: Annotated[Format, typer.Option("--format", help="What to write.")] = "ndjson",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; standard output without it.")] = None,
    since: Annotated[str, typer.Option("--since", help="Go on from where an export ended: the cursor it told.")] = "",
    cursor_file: Annotated[
        Path | None, typer.Option("--cursor-file", help="Keeps the cursor: the next export goes on from there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write all samples there are, in the order in which they came."""
    from cloud.cli.answers import Stretch
    from cloud.cli.connect import connected
    from cloud.cli.export_files import Appending, opened
    from cloud.cli.paging import stretches

    here = around(context)
    if as_json and output is None:
        raise RequestRefused("no_output", "--json tells of an export into a file", hint="add --output FILE")
    now_ms = here.clock.wall_ms()
    query: dict[str, str | int | Sequence[str] | None] = {
        "device": device, "app": app, "stream": stream, "field": field or None,
        "from_ms": moment_of(from_, now_ms) if from_ else None,
        "until_ms": moment_of(until, now_ms) if until else None,
    }  # fmt: skip
    begin, size = (since, None) if since else _kept(cursor_file)
    appending = Appending(bool(begin), size)
    with connected(context) as client, opened(format_, output, fields=field or [], appending=appending) as sink:

        def ask(after: str) -> Stretch:
            return client.get("/v1/telemetry/export", Stretch, after=after, **query)

        count, cursor, told_at = 0, begin, time.monotonic()
        try:
            for found in stretches(ask, begin, pause=here.pause, lost=told_lost):
                sink.write(found.samples)
                count, cursor = count + len(found.samples), found.next
                if cursor_file is not None:
                    write_durably(cursor_file, f"{cursor} {sink.size}\n".encode(), mode=0o644)
                if output is not None and time.monotonic() - told_at > PROGRESS_S:
                    told_at = time.monotonic()
                    note(f"{count} samples so far")
        finally:
            if cursor != begin:
                note(f"{count} samples; go on after them with --since {cursor}")
    if as_json:
        say_json({"samples": count, "next": cursor, "output": str(output)})


def _kept(path: Path | None) -> tuple[str, int | None]:
    """Return the cursor that an export kept, and how long its file was then."""
    try:
        cursor, _, size = path.read_text().strip().partition(" ") if path is not None else ("", "", "")
    except FileNotFoundError:
        return "", None
    return cursor, int(size) if size.isdigit() else None
