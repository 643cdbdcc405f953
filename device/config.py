"""The worker's settings, read once: the state folder, the owner's device.toml, and the identity from enrollment."""

from __future__ import annotations

import base64
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from broker.codec import first_error
from broker.enrollment import Base64
from broker.errors import Refused
from broker.ids import DeviceId, DeviceRef, OrgId
from broker.policy import Policy, policy_of
from broker.signing import MacKey, Signer
from broker.transport import Endpoint

PERCENT_MAX = 90
CONTAINERS_EVERY_S_MIN = 10  # each asks the engine once for every container
WhenFull = Literal["oldest", "newest", "thin"]
SOCKET_PATH_MAX = 107  # sun_path of unix(7), less its terminating zero


class Keep(BaseModel):
    """What one class of streams may hold of the store, and what goes when it holds more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    percent: Annotated[int, Field(ge=1, le=90)]
    when_full: WhenFull = "oldest"


class Keeps(BaseModel):
    """The `[telemetry.keep]` tables, one for each class of streams. The store needs the rest for its own work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: Keep = Keep(percent=5)
    telemetry: Keep = Keep(percent=50)
    metrics: Keep = Keep(percent=10, when_full="thin")
    logs: Keep = Keep(percent=25)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        total = sum(keep.percent for _, keep in self)
        if total > PERCENT_MAX:
            raise ValueError(f"{total} percent of the store are given to streams, at most {PERCENT_MAX} can be")
        return self


class TelemetrySettings(BaseModel):
    """The `[telemetry]` table: sizes of the two Redis children and how long samples gather before they are packed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intake_megabytes: Annotated[int, Field(ge=8, le=4096)] = 32
    store_megabytes: Annotated[int, Field(ge=8, le=65536)] = 256
    linger_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    app_samples_per_s: Annotated[int, Field(ge=0, le=10_000_000)] = 50_000
    durability: str = Field(default="everysec", pattern="^(everysec|always)$")
    keep: Keeps = Keeps()


class MetricsSettings(BaseModel):
    """The `[metrics]` table: how often the machine itself is measured, and each container; 0 for never."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every_s: Annotated[int, Field(ge=0, le=86_400)] = 300
    containers_every_s: Annotated[int, Field(ge=0, le=86_400)] = 0

    @field_validator("containers_every_s")
    @classmethod
    def _not_often(cls, seconds: int) -> int:
        if 0 < seconds < CONTAINERS_EVERY_S_MIN:
            raise ValueError(f"containers are asked after every {CONTAINERS_EVERY_S_MIN} s at most, or never: 0")
        return seconds


class PlatformSettings(BaseModel):
    """The `[platform]` table: what apps may have beside containers. A display is allowed by the policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lock_max_s: Annotated[int, Field(ge=0, le=30 * 86_400)] = 86_400
    redis_servers: Annotated[int, Field(ge=0, le=256)] = 4
    redis_megabytes: Annotated[int, Field(ge=4, le=4096)] = 16
    x11: Annotated[str, Field(pattern=r"^(:[0-9]{1,5}(\.[0-9]+)?)?$")] = ""
    wayland: Annotated[str, Field(pattern="^(/.*)?$")] = ""
    xauthority: Annotated[str, Field(pattern="^(/.*)?$")] = ""


class ImageSettings(BaseModel):
    """The `[images]` table: the port of the registry on the loopback address, if blobs stay, what patches are for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    keep_blobs: bool = True
    patches: Literal["use", "only", "off"] = "use"


class Owner(BaseModel):
    """device.toml: what the owner of the device decides. Unknown keys are errors, so that a typo cannot open a door."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str | None = None
    zone: str = ""
    policy: Policy = Policy()
    telemetry: TelemetrySettings = TelemetrySettings()
    metrics: MetricsSettings = MetricsSettings()
    platform: PlatformSettings = PlatformSettings()
    images: ImageSettings = ImageSettings()


class Identity(BaseModel):
    """What enrollment gave; identity.json. The keys lie in files beside it."""

    model_config = ConfigDict(frozen=True)

    org: OrgId
    device: DeviceId
    name: str
    cloud: str
    brokers: tuple[str, ...]
    registry: str
    mac_key: Base64
    root_key: Base64
    keepalive_s: int

    @property
    def ref(self) -> DeviceRef:
        return DeviceRef(self.org, self.device)

    @property
    def mac(self) -> MacKey:
        return MacKey(base64.b64decode(self.mac_key))

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(endpoint(text) for text in self.brokers)


@dataclass(frozen=True)
class Paths:
    """Where everything of one worker lies, below its state folder."""

    state: Path

    @property
    def owner(self) -> Path:
        return self.state / "device.toml"

    @property
    def identity(self) -> Path:
        return self.state / "identity"

    @property
    def identity_file(self) -> Path:
        return self.identity / "identity.json"

    @property
    def ca(self) -> Path:
        return self.identity / "ca.crt"

    @property
    def certificate(self) -> Path:
        return self.identity / "device.crt"

    @property
    def key(self) -> Path:
        return self.identity / "device.key"

    @property
    def seed(self) -> Path:
        return self.identity / "identity.seed"

    @property
    def ledger(self) -> Path:
        return self.state / "ledger"

    @property
    def images(self) -> Path:
        return self.state / "images"

    @property
    def files(self) -> Path:
        return self.state / "files"

    @property
    def telemetry(self) -> Path:
        return self.state / "telemetry"

    @property
    def locks(self) -> Path:
        return self.state / "locks"

    @property
    def locks_file(self) -> Path:
        return self.state / "locks.json"

    @property
    def app_redis(self) -> Path:
        return self.state / "redis"

    @property
    def display(self) -> Path:
        return self.state / "display"

    @property
    def intake_folder(self) -> Path:
        return self.state / "intake"

    @property
    def intake_socket(self) -> Path:
        return self.intake_folder / "redis.sock"

    @property
    def store_socket(self) -> Path:
        return self.telemetry / "store.sock"

    @property
    def control_socket(self) -> Path:
        return self.state / "control.sock"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    def prepare(self) -> None:
        """Make the folders; raise `Refused` when a socket's path would be too long for the kernel."""
        for folder in (self.state, self.identity, self.ledger, self.telemetry, self.images):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.intake_folder.mkdir(exist_ok=True)
        self.intake_folder.chmod(0o755)  # apps get this folder, read-only; it holds nothing but the socket
        for path in (self.intake_socket, self.store_socket, self.control_socket):
            if len(str(path)) > SOCKET_PATH_MAX:
                raise Refused("path_too_long", f"{path} is too long for a socket: choose a shorter state folder")


def read_owner(path: Path) -> Owner:
    """Return the owner's settings; defaults where there is no file; `Refused` names the key that is wrong."""
    try:
        settings = tomllib.loads(path.read_text())
        return Owner.model_validate(settings | {"policy": policy_of(settings.get("policy", {}))})
    except FileNotFoundError:
        return Owner()
    except Refused as error:
        raise Refused("bad_config", f"{path}: {error}") from error
    except ValidationError as error:
        raise Refused("bad_config", f"{path}: {first_error(error)}") from error
    except (ValueError, RecursionError) as error:  # tomllib also raises both bare: long numbers, deep brackets
        raise Refused("bad_config", f"{path}: {error}") from error


def read_identity(paths: Paths) -> tuple[Identity, Signer]:
    """Return who this device is; raise `Refused` (`not_enrolled`) when it has never been told."""
    try:
        identity = Identity.model_validate_json(paths.identity_file.read_bytes())
        base64.b64decode(identity.mac_key, validate=True), base64.b64decode(identity.root_key, validate=True)
        return identity, Signer(paths.seed.read_bytes())
    except FileNotFoundError as error:
        raise Refused(
            "not_enrolled", f"{paths.state} holds no identity: run `skerry-device enroll TOKEN --state {paths.state}`"
        ) from error
    except (ValidationError, ValueError) as error:
        raise Refused("bad_identity", f"{paths.identity_file} is broken: enroll again") from error


def endpoint(text: str) -> Endpoint:
    """Return the parts of `host:port`; raise `Refused` when it is something else."""
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise Refused("bad_address", f"{text!r} is not host:port")
    return Endpoint(host.strip("[]"), int(port))
