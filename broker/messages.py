"""Every message that travels, as a frozen model. Unknown fields are kept, so that an older side can pass them on.

Counters: `n` grows by one with each message a sender authenticates on one connection; a receiver drops what is not
newer. `conn` names the connection: (boot id of the machine, a count that grows with each connection of that boot).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from broker.appspec import SECRET_BYTES_MAX, AppSpec
from broker.appspec_values import later
from broker.canonical import digest_of
from broker.ids import AppId, DeviceId, Digest, InstanceId, Name, OrgId
from broker.policy import Grants, Policy

RANGES_MAX = 32
MIRRORS_MAX = 8
TRUST_CHAIN_MAX = 16
RETIRED = "Retired"  # the condition of a device that has wiped what it was told to; its reason says what
PLAN_LINES_MAX = 64  # of one app: three lines a service cover twenty services; the rest is counted in the last line

Count = Annotated[int, Field(ge=0, lt=2**63)]
Boot = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
_WORD = r"^[A-Za-z0-9._:-]{1,64}$"
Token = Annotated[str, StringConstraints(pattern=_WORD)]
Sentence = Annotated[str, StringConstraints(max_length=2000)]
StreamName = Annotated[str, StringConstraints(pattern=r"^[a-z]+:[a-z0-9][a-z0-9_-]{0,62}$")]
Range = tuple[Count, Count]
Hour = Annotated[int, Field(ge=0, le=24)]
Mirror = Annotated[  # a base URL: /v2/<repository>/blobs/<digest> follows
    str, StringConstraints(max_length=200, pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~-]+)*/?$")
]


def is_token(text: str) -> bool:
    """Return whether a text can stand where a message wants a token."""
    return re.fullmatch(_WORD, text) is not None


class Part(BaseModel):
    """Something inside a message."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Message(Part):
    """Something that travels by itself. `v` is the model's version; another one is refused."""

    v: Literal[1] = 1


class Conn(Part):
    """One connection of one device."""

    boot: Boot
    count: Count

    def supersedes(self, other: Conn | None) -> bool:
        """Return whether this connection is the same as or newer than `other`, of the same boot or of another one."""
        return other is None or self.boot != other.boot or self.count >= other.count


class Generation(Part):
    """Which desired state: order is (era, generation); the digest is over the payload, not the signature."""

    era: Count
    generation: Count
    digest: Digest

    @property
    def order(self) -> tuple[int, int]:
        return (self.era, self.generation)


class Instant(Part):
    """When something was, as far as the device can tell. `wall_ms` is since 1970; `clock` says what it is worth."""

    boot: Boot
    mono_ms: Count
    wall_ms: Count
    clock: Literal["unknown", "local", "synchronised"] = "local"


# --- down: desired, trust, command, sync ---------------------------------------------------------------------------


class LinkPolicy(Part):
    """What the link to the cloud may be used for, and which mirrors are nearer than the cloud's registry.

    `hours` are of UTC, from and to; from 22 to 6 goes over midnight. A window is one stretch of them.
    """

    bytes_per_day: Count | None = None
    bytes_per_window: Count | None = None
    metered: bool = False
    hours: Annotated[tuple[tuple[Hour, Hour], ...], Field(max_length=24)] = ()
    without_clock: Literal["open", "closed"] = "open"
    mirrors: Annotated[tuple[Mirror, ...], Field(max_length=MIRRORS_MAX)] = ()


class SealedSecret(Part):
    """The value of a secret, sealed to the device that gets it, as `broker.sealing` does it. About `APP/NAME`."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")  # in journals; a seal is no text

    version: Annotated[int, Field(ge=1)]
    sealed: Annotated[bytes, Field(max_length=SECRET_BYTES_MAX + 512)] = b""


class AppSection(Part):
    """One app instance of a device: the unit that updates, is judged and is rolled back as a whole."""

    instance: InstanceId
    name: Name
    app: AppId
    release: Digest
    spec: AppSpec
    variables: Mapping[str, str] = {}
    secrets: Mapping[Name, SealedSecret] = {}
    settings: Mapping[str, Any] = {}
    attempt: Count = 0
    grants: Grants = later(Grants())  # beside the owner's policy, as far as he lets them go
    digest: Digest | None = None

    @model_validator(mode="after")
    def _only_what_is_declared(self) -> AppSection:
        """Whoever fills in values may add none that the release does not ask for, nor put others for those it names."""
        if self.secrets.keys() != self.spec.secrets.keys():
            odd = sorted(self.secrets.keys() ^ self.spec.secrets.keys())
            raise ValueError(f"secrets: {odd[0]!r} is not both declared and given")
        for name, declared in self.spec.secrets.items():
            if declared.version not in (None, self.secrets[name].version):
                raise ValueError(f"secrets.{name}: version {declared.version} is declared, another one is given")
        return self

    def computed_digest(self) -> str:
        """Return the digest of everything that can make this section good or bad, `attempt` included.

        Of secrets it is the versions: the same value is sealed for each device anew.
        """
        body = self.model_dump(mode="json", exclude={"digest", "spec", "secrets"}, exclude_none=True)
        secrets = {name: secret.version for name, secret in self.secrets.items()}
        return digest_of(body | {"spec": self.spec.plain(), "secrets": secrets})


class Reference(Part):
    """Where a desired state lies that is too large for a message."""

    digest: Digest
    bytes: Count


class Retire(Part):
    wipe: Literal["secrets", "all"]


class DesiredState(Message):
    """All that one device should run, at one (era, generation)."""

    org: OrgId
    device: DeviceId
    era: Count
    generation: Count
    issued_ms: Count
    apps: tuple[AppSection, ...] = ()
    link: LinkPolicy | None = None
    host: Mapping[str, Any] | None = None
    worker: Mapping[str, Any] | None = None
    retire: Retire | None = None
    reference: Reference | None = None


class TrustKey(Part):
    """An online key and what it may sign."""

    public: Annotated[bytes, Field(min_length=32, max_length=32)]
    roles: tuple[Literal["desired", "command", "release"], ...]


class Trust(Message):
    """Whom a device believes, signed by its root. `chain` carries earlier sealed documents, oldest first."""

    version: Count
    era: Count
    roots: tuple[Annotated[bytes, Field(min_length=32, max_length=32)], ...]
    keys: tuple[TrustKey, ...]
    revoked: tuple[bytes, ...] = ()
    chain: Annotated[tuple[bytes, ...], Field(max_length=TRUST_CHAIN_MAX)] = ()


class Command(Message):
    """A verb for a present device (broker/verbs.py). Obeyed at most once: see the rules in docs/protocol.md."""

    id: Token
    counter: Count
    conn: Conn
    ttl_s: Count
    verb: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]
    args: Mapping[str, Any] = {}


class Refusal(Part):
    """A range the cloud will not store: for ever (`retry_after_s` absent), or not now."""

    first: Count
    last: Count
    reason: Token
    retry_after_s: Count | None = None


class StreamHeld(Part):
    """What the cloud holds of one (stream, epoch): all up to `contiguous`, and `ranges` above it."""

    stream: StreamName
    epoch: Count
    contiguous: Count
    ranges: Annotated[tuple[Range, ...], Field(max_length=RANGES_MAX)] = ()
    refused: Annotated[tuple[Refusal, ...], Field(max_length=RANGES_MAX)] = ()


class Sync(Message):
    """What the cloud holds of a device: the answer to every birth, beat and commit."""

    conn: Conn
    n: Count
    store: Token
    time_ms: Count
    desired: Generation | None = None
    streams: tuple[StreamHeld, ...] = ()
    status: Count = 0
    replies: tuple[Token, ...] = ()


class StreamFrame(Message):
    """A window of an interactive stream (exec, tail, port-forward, file). Reserved."""

    session: Token
    seq: Count
    window: Count = 0
    data: bytes = b""
    end: bool = False


# --- up: presence, status, progress, batch, reply ------------------------------------------------------------------


class StreamKept(Part):
    """What a device keeps of one (stream, epoch): `first` is the oldest not yet trimmed, `last` the newest made."""

    stream: StreamName
    epoch: Count
    first: Count
    last: Count


class Host(Part):
    """The machine, for people and for choosing images."""

    os: str = ""
    kernel: str = ""
    arch: str = ""
    hostname: str = ""
    engine: str = ""
    engine_version: str = ""
    engine_api: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    zone: str = ""


class Birth(Message):
    """Here I am: sent on every connection until a sync answers it."""

    kind: Literal["birth"] = "birth"
    conn: Conn
    n: Count
    instance: Token
    worker: str
    host: Host = Host()
    policy: Policy | None = None  # the owner's, so that an app can be checked before it is deployed
    accepted: Generation | None = None
    streams: tuple[StreamKept, ...] = ()
    status: Count = 0
    store: Token | None = None


class Beat(Message):
    """Still here: in place of a PINGREQ, which nobody but the broker sees."""

    kind: Literal["beat"] = "beat"
    conn: Conn
    n: Count
    era: Count = 0
    generation: Count = 0
    status: Count = 0


class Will(Message):
    """Gone without a word: published by the broker when the connection dies."""

    kind: Literal["will"] = "will"
    conn: Conn


Presence = Annotated[Birth | Beat | Will, Field(discriminator="kind")]


class Condition(Part):
    """One thing that holds or does not, with a reason for machines and a sentence for people."""

    type: str
    status: bool
    reason: str = ""
    message: Sentence = ""


class ServiceStatus(Part):
    """One container of a service as the engine shows it. `image` is what is wanted, `digest` what runs."""

    name: str
    state: Literal["waiting", "created", "running", "restarting", "exited", "missing"]
    health: Literal["none", "starting", "healthy", "unhealthy"] = "none"
    container: str = ""
    image: str = ""
    exit_code: int | None = None
    reason: Sentence = ""
    index: int = later(1)
    restarts: int = later(0)
    started_at_ms: int | None = later(None)
    digest: str = later("")


class InstanceStatus(Part):
    """One app instance: which release runs, whether it has converged, and what each service does."""

    instance: InstanceId
    name: Name
    release: Digest
    section: Digest
    state: Literal["updating", "converged", "degraded", "failed", "removing"]
    message: Sentence = ""
    services: tuple[ServiceStatus, ...] = ()
    conditions: tuple[Condition, ...] = later(())
    plan: Annotated[tuple[Sentence, ...], Field(max_length=PLAN_LINES_MAX)] = later(())


class Status(Message):
    """The whole reported state of a device. A newer revision replaces an older one."""

    conn: Conn
    n: Count
    revision: Count
    accepted: Generation | None = None
    conditions: tuple[Condition, ...] = ()
    instances: tuple[InstanceStatus, ...] = ()
    disk_free_bytes: int | None = None
    link: Mapping[str, Any] = {}


class Progress(Message):
    """How far a transfer is, and how many bytes patches save in it. Never repeated: the next one is better."""

    conn: Conn
    n: Count
    instance: InstanceId
    phase: str
    done: Count
    total: Count
    saved: Count = 0


class Gap(Part):
    """Samples that no longer exist, by number: a range of the stream with the reason for its absence."""

    first: Count
    last: Count
    cause: Token


class Batch(Message):
    """A range of one stream. `payload` was fixed when it was packed and is the same bytes each time it is sent."""

    conn: Conn
    n: Count
    stream: StreamName
    epoch: Count
    first: Count
    last: Count
    at: Instant
    format: Token
    payload: bytes = b""
    gaps: tuple[Gap, ...] = ()


class Reply(Message):
    """An answer that is re-sent until a sync lists its id. `envelope` returns the accepted desired state's bytes."""

    conn: Conn
    n: Count
    id: Token
    about: str
    ok: bool
    reason: str = ""
    message: Sentence = ""
    envelope: bytes | None = None
