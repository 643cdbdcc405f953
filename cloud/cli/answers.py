"""The API's answers, as far as the command line reads them. Fields it does not know are kept, for `--json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Base of all: frozen, and newer servers may say more."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def plain(self) -> dict[str, Any]:
        """Return the answer as it came, for `--json`."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


class Login(Answer):
    token: str
    org: str
    org_name: str = ""
    user: str = ""
    expires_ms: int | None = None


class Me(Answer):
    user: str
    org: str
    org_name: str = ""
    scopes: tuple[str, ...] = ()
    expires_ms: int | None = None
    registry: str = ""


class Fleet(Answer):
    fleet: str
    name: str
    devices: int = 0


class Fleets(Answer):
    fleets: tuple[Fleet, ...]


class Link(Answer):
    """What is set for a fleet or a device; `holds` is what a device has of both."""

    link: Mapping[str, Any] = {}
    holds: Mapping[str, Any] | None = None


class Pending(Answer):
    """A machine that waits for an approval."""

    request: str
    name: str | None = None
    fleet: str = ""
    serial: str = ""
    host: Mapping[str, Any] = {}
    created_ms: int | None = None
    state: str = ""


class AllPending(Answer):
    pending: tuple[Pending, ...] = ()


class EnrollToken(Answer):
    token: str
    needs_approval: bool = False
    fleet: str = ""
    uses: int = 1
    expires_ms: int | None = None


class Generation(Answer):
    era: int = 0
    generation: int = 0
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.era}.{self.generation}"


class Service(Answer):
    name: str
    state: str = ""
    health: str = "none"
    reason: str = ""
    exit_code: int | None = None
    index: int = 1
    restarts: int = 0
    started_at_ms: int | None = None
    digest: str = ""

    @property
    def label(self) -> str:
        return self.name if self.index == 1 else f"{self.name}-{self.index}"


class Condition(Answer):
    type: str
    status: bool
    reason: str = ""
    message: str = ""


class Instance(Answer):
    instance: str = ""
    name: str
    release: str = ""
    section: str = ""
    state: str = ""
    message: str = ""
    services: tuple[Service, ...] = ()
    conditions: tuple[Condition, ...] = ()
    plan: tuple[str, ...] = ()


class Status(Answer):
    revision: int = 0
    accepted: Generation | None = None
    instances: tuple[Instance, ...] = ()
    conditions: tuple[Condition, ...] = ()
    disk_free_bytes: int | None = None


class Stream(Answer):
    stream: str
    epoch: int = 0
    contiguous: int = 0
    stored: int = 0
    gaps: int = 0


class Device(Answer):
    device: str
    name: str = ""
    fleet: str = ""
    enrolled_ms: int | None = None
    online: bool = False
    last_seen_ms: int | None = None
    worker: str | None = None
    host: Mapping[str, Any] | None = None
    policy: Mapping[str, Any] | None = None
    desired: Generation | None = None
    accepted: Generation | None = None
    status: Status | None = None
    status_at_ms: int | None = None
    streams: tuple[Stream, ...] = ()
    contested: bool = False
    retire: str | None = None


class Wanted(Answer):
    """One app of a desired state."""

    instance: str
    name: str
    release: str = ""
    section: str = ""
    attempt: int = 0
    settings: Mapping[str, Any] = {}
    grants: Mapping[str, Any] = {}
    services: tuple[str, ...] = ()


class Desired(Answer):
    """What a device should run."""

    era: int = 0
    generation: int = 0
    issued_ms: int | None = None
    sent_ms: int | None = None
    apps: tuple[Wanted, ...] = ()

    def __str__(self) -> str:
        return f"{self.era}.{self.generation}"


class Devices(Answer):
    devices: tuple[Device, ...]


class AppRow(Answer):
    app: str
    name: str
    releases: int = 0
    latest: Any = None  # the newest release: its digest, or more about it

    @property
    def latest_text(self) -> str:
        latest = self.latest.get("release") if isinstance(self.latest, dict) else self.latest
        return str(latest or "-")[:19]


class Apps(Answer):
    apps: tuple[AppRow, ...]


class ReleaseRow(Answer):
    release: str
    version: str | None = None
    created_ms: int | None = None
    by: str | None = None


class Placed(Answer):
    instance: str
    fleet: str = ""
    release: str | None = None
    devices: int = 0


class App(Answer):
    app: str
    name: str
    namespace: str
    releases: tuple[ReleaseRow, ...] = ()
    instances: tuple[Placed, ...] = ()


class Token(Answer):
    token: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    created_ms: int | None = None
    expires_ms: int | None = None


class NewToken(Token):
    secret: str = Field(repr=False)


class Tokens(Answer):
    tokens: tuple[Token, ...]


class Change(Answer):
    id: int
    at_ms: int
    by: str = ""
    action: str = ""
    subject: str = ""
    detail: str = ""


class Changes(Answer):
    changes: tuple[Change, ...]


class VaultKey(Answer):
    key: str


class SecretSet(Answer):
    name: str
    version: int
    changed: bool = True


class SecretRow(Answer):
    name: str
    version: int
    pinned: bool = False
    fleet: str | None = None
    created_ms: int | None = None
    by: str = ""


class Secrets(Answer):
    secrets: tuple[SecretRow, ...]


class Released(Answer):
    release: str
    version: str | None = None
    created: bool = True


class RegistryToken(Answer):
    token: str
    expires_s: int = 0


class Issued(Answer):
    """A device that was given a new generation."""

    device: str


class Deployed(Answer):
    deployment: str
    instance: str = ""
    release: str
    devices: tuple[Issued, ...] = ()


class PlannedBytes(Answer):
    present: int = 0
    layers: int = 0
    delta: int | None = None


class PlannedDevice(Answer):
    """What a deployment would do to one device."""

    device: str
    name: str = ""
    online: bool = False
    size: PlannedBytes = Field(default=PlannedBytes(), alias="bytes")
    seconds: int | None = None
    rate_bytes_s: int | None = None
    disk_free_bytes: int | None = None
    disk_after_bytes: int | None = None
    starts: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()


class Planned(Answer):
    app: str
    release: str
    fleet: str = ""
    devices: tuple[PlannedDevice, ...] = ()


class Target(Answer):
    """One device of a deployment."""

    device: str
    name: str = ""
    generation: int | None = None
    state: str = "pending"
    phase: str = ""
    message: str | None = None
    online: bool = False
    last_seen_ms: int | None = None

    @property
    def label(self) -> str:
        return self.name or self.device


class Deployment(Answer):
    deployment: str
    app: str = ""
    release: str = ""
    fleet: str = ""
    devices: tuple[Target, ...] = ()


class Command(Answer):
    """A command for one device, as far as it is known by now."""

    command: str
    device: str
    name: str = ""
    verb: str = ""
    app: str | None = None
    service: str | None = None
    state: str = "waiting"
    reason: str = ""
    message: str = ""
    by: str = ""
    created_ms: int | None = None
    until_ms: int | None = None
    sent_ms: int | None = None
    tries: int = 0
    finished_ms: int | None = None

    @property
    def label(self) -> str:
        return self.name or self.device


class Commands(Answer):
    commands: tuple[Command, ...]
    request: str | None = None


class Sample(Answer):
    device: str
    stream: str
    epoch: int = 0
    seq: int
    at_ms: int | None = None
    values: Mapping[str, Any] = Field(default={}, alias="fields")
    binary: tuple[tuple[str, str], ...] = ()  # fields that are no text: names and values in base64


class Gap(Answer):
    device: str
    stream: str
    epoch: int = 0
    first: int
    last: int
    cause: str = ""


class Samples(Answer):
    samples: tuple[Sample, ...]
    gaps: tuple[Gap, ...] = ()
    next: str | int | None = None
    previous: str | int | None = None


class Stretch(Answer):
    samples: tuple[Sample, ...]
    next: str
    more: bool


class Ranges(Answer):
    count: int
    ranges: tuple[tuple[int, int], ...] = ()
    of: int = 0


class AuditedStream(Answer):
    stream: str
    epoch: int
    complete: bool
    stored: Ranges
    lost: dict[str, Ranges] = {}
    missing: Ranges
    twice: Ranges
    unkept: Ranges
    waiting: Ranges
    expired: Ranges = Ranges(count=0)


class Org(Answer):
    org: str
    name: str
    keep_days: int | None = None


class Audit(Answer):
    device: str
    complete: bool
    totals: dict[str, int] = {}
    streams: tuple[AuditedStream, ...] = ()


class Line(Answer):
    device: str
    app: str | None = None
    service: str | None = None
    at_ms: int | None = None
    stream: str = ""
    text: str = ""
    seq: int | None = None


class Lines(Answer):
    lines: tuple[Line, ...]
    next: str | int | None = None
    previous: str | int | None = None


class Image(Answer):
    repository: str
    digest: str
    unpacked_bytes: int = 0


class Bundled(Answer):
    """What a bundle has for one device: envelopes as they are sent, in base64."""

    org: str
    device: str
    name: str = ""
    era: int = 0
    generation: int = 0
    desired: str
    trust: str
    images: tuple[Image, ...] = ()
    holds: tuple[Image, ...] = ()


class Bundle(Answer):
    release: str
    devices: tuple[Bundled, ...]


class Carried(Answer):
    """What became of a status that was carried as a file."""

    device: str
    news: bool
    accepted: Generation | None = None
