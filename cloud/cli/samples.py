"""Samples and gaps as the API pages them: fetched, told apart from what was seen, and as text."""

from __future__ import annotations

import base64

from cloud.cli.answers import Audit, AuditedStream, Gap, Line, Lines, Ranges, Sample
from cloud.cli.answers import Samples as SamplesAnswer
from cloud.cli.client import Client
from cloud.cli.paging import PAGE_SIZE, BackPage, Cursor, Page
from cloud.cli.render import moment, printable, table


class SampleSource:
    """Pages of samples. Every answer names all gaps; each is given once."""

    def __init__(self, client: Client, *, device: str | None, stream: str | None) -> None:
        self._client = client
        self._device = device
        self._stream = stream
        self._told: set[tuple[str, str, int, int, int]] = set()
        self._gaps: list[Gap] = []

    def page(self, after: Cursor) -> Page[Sample]:
        """Return the samples after a cursor."""
        answer = self._client.get(
            "/v1/telemetry", SamplesAnswer, device=self._device, stream=self._stream, after=after, limit=PAGE_SIZE
        )
        self._gaps = list(answer.gaps)
        return answer.samples, answer.next

    def newest(self, before: Cursor, count: int) -> BackPage[Sample]:
        """Return the last samples before a cursor, or of all."""
        answer = self._client.get(
            "/v1/telemetry",
            SamplesAnswer,
            device=self._device,
            stream=self._stream,
            newest="true",
            before=before,
            limit=count,
        )
        self._gaps = list(answer.gaps)
        return answer.samples, answer.previous, answer.next

    def page_with_gaps(self, after: Cursor) -> Page[Sample | Gap]:
        """Return the samples after a cursor, and then the gaps that are new."""
        samples, following = self.page(after)
        return [*samples, *self.new_gaps()], following

    def new_gaps(self) -> list[Gap]:
        """Return the gaps of the last page that were not returned before."""
        new = []
        for gap in self._gaps:
            key = (gap.device, gap.stream, gap.epoch, gap.first, gap.last)
            if key not in self._told:
                self._told.add(key)
                new.append(gap)
        return new


class LineSource:
    """Pages of log lines."""

    def __init__(
        self, client: Client, *, device: str | None, app: str | None, service: str | None, since_ms: int | None
    ) -> None:
        self._client = client
        self._query: dict[str, str | int | None] = {
            "device": device,
            "app": app,
            "service": service,
            "since_ms": since_ms,
        }

    def page(self, after: Cursor) -> Page[Line]:
        """Return the lines after a cursor."""
        answer = self._client.get("/v1/logs", Lines, **self._query, after=after, limit=PAGE_SIZE)
        return answer.lines, answer.next

    def newest(self, before: Cursor, count: int) -> BackPage[Line]:
        """Return the last lines before a cursor, or of all."""
        answer = self._client.get("/v1/logs", Lines, **self._query, newest="true", before=before, limit=count)
        return answer.lines, answer.previous, answer.next


def audit_lines(audit: Audit) -> list[str]:
    """Return a line for each stream's epoch, and one for all of them."""
    rows = [
        (
            one.stream,
            str(one.epoch),
            str(one.stored.count),
            _lost(one),
            _ranges(one.missing),
            str(one.waiting.count),
            str(one.expired.count),
        )
        for one in audit.streams
    ]
    wrong = [
        f"{one.stream} epoch {one.epoch}: {what} {_ranges(found)}"
        for one in audit.streams
        for what, found in (("stored twice", one.twice), ("acknowledged and not stored", one.unkept))
        if found.count
    ]
    sums = audit.totals
    verdict = "complete" if audit.complete else "NOT complete"
    told = ", ".join(f"{sums.get(kind, 0)} {kind}" for kind in ("stored", "lost", "missing", "waiting", "expired"))
    return [
        *table(("STREAM", "EPOCH", "STORED", "LOST", "MISSING", "WAITING", "EXPIRED"), rows),
        *wrong,
        f"{verdict}: {told}",
    ]


def _lost(one: AuditedStream) -> str:
    return ", ".join(f"{found.count} {printable(cause)}" for cause, found in one.lost.items()) or "-"


def _ranges(found: Ranges) -> str:
    if not found.count:
        return "-"
    shown = " ".join(f"#{first}-{last}" for first, last in found.ranges[:3])
    return f"{found.count} ({shown}{' ..' if found.of > 3 else ''})"


def element_text(name: str, element: Sample | Gap) -> str:
    """Return one line on what the device of this name sent, or could not send any more."""
    if isinstance(element, Gap):
        return printable(f"{'missing':19}  {name}  {element.stream} #{element.first}-{element.last}  {element.cause}")
    binary = [f"{base64.b64decode(name).decode(errors='replace')}=base64:{value}" for name, value in element.binary]
    fields = " ".join([*(f"{key}={value}" for key, value in element.values.items()), *binary])
    return printable(f"{moment(element.at_ms)}  {name}  {element.stream} #{element.seq}  {fields}")


def line_text(name: str, line: Line) -> str:
    """Return one log line, as harmless to a terminal as any other."""
    origin = "/".join(part for part in (line.app, line.service) if part)
    mark = "! " if line.stream == "err" else ""
    return f"{moment(line.at_ms)}  {printable(f'{name}  {origin}')}  {mark}{printable(line.text.rstrip())}"
