"""Where the cloud keeps its state and which addresses it has: read once, frozen, never looked up again."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from broker.errors import Refused
from broker.files import write_durably
from broker.transport import Endpoint

LOOPBACK = "127.0.0.1"
KEEPALIVE_S_RANGE = (2, 3600)


@dataclass(frozen=True)
class Folder:
    """The state folder's places."""

    root: Path

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def broker(self) -> Path:
        return self.root / "broker"

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def patching(self) -> Path:
        """Where patches are made; nothing in it outlives the process."""
        return self.root / "patching"

    @property
    def database(self) -> Path:
        return self.root / "skerry.db"

    @property
    def database_url(self) -> Path:
        """Where it stands which database is used, if not the file."""
        return self.root / "database.url"

    @property
    def sinks(self) -> Path:
        """What the operator writes: where samples are handed on to."""
        return self.root / "sinks.toml"

    @property
    def incarnation(self) -> Path:
        return self.root / "store.json"

    @property
    def addresses(self) -> Path:
        return self.root / "addresses.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    def make(self) -> None:
        """Make what is missing; only our own user may look inside."""
        for folder in (self.root, self.keys, self.pki, self.broker, self.registry, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


class Ports(BaseModel):
    """The ports a cloud has; 0 means: not chosen yet."""

    model_config = ConfigDict(frozen=True)

    api: int = 0
    broker: int = 0
    services: int = 0
    registry: int = 0


@dataclass(frozen=True)
class Settings:
    """Everything `serve` was told, complete."""

    folder: Folder
    host: str
    ports: Ports
    keepalive_s: int
    quota_bytes_per_minute: int = 64 * 1024 * 1024

    @property
    def api(self) -> Endpoint:
        return Endpoint(self.host, self.ports.api)

    @property
    def broker(self) -> Endpoint:
        return Endpoint(self.host, self.ports.broker)

    @property
    def service_broker(self) -> Endpoint:
        return Endpoint(LOOPBACK, self.ports.services)

    @property
    def registry(self) -> Endpoint:
        return Endpoint(self.host, self.ports.registry)

    @property
    def api_url(self) -> str:
        return f"https://{self.api}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach us."""
        return self.host in (LOOPBACK, "localhost")


def database_of(folder: Folder) -> Path | str:
    """Return the database's file, or the URL that it was made with."""
    try:
        return folder.database_url.read_text().strip()
    except FileNotFoundError:
        return folder.database


def settle(folder: Folder, *, host: str, asked: Ports, keepalive_s: int) -> Settings:
    """Return the settings with a port for everything: the asked one, the remembered one, or a free one.

    What was chosen is remembered, because devices and images know these addresses.
    """
    low, high = KEEPALIVE_S_RANGE
    if not low <= keepalive_s <= high:
        raise Refused("bad_keepalive", f"keepalive is {low} to {high} seconds, not {keepalive_s}")
    free_port(host)  # says at once when this is no address of ours
    known = _remembered(folder)
    chosen = {name: getattr(asked, name) or getattr(known, name) or free_port(host) for name in Ports.model_fields}
    ports = Ports(**chosen)
    if len(set(chosen.values())) < len(chosen):
        raise Refused("bad_ports", f"every server needs its own port: {chosen}")
    if ports != known:
        write_durably(folder.addresses, ports.model_dump_json().encode())
    return Settings(folder=folder, host=host, ports=ports, keepalive_s=keepalive_s)


def free_port(host: str) -> int:
    """Return a port that nobody listens on now."""
    try:
        with socket.create_server((host, 0)) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        raise Refused("bad_host", f"cannot listen on {host}: {error}") from error


def _remembered(folder: Folder) -> Ports:
    try:
        return Ports.model_validate(json.loads(folder.addresses.read_text()))
    except FileNotFoundError:
        return Ports()
    except (ValueError, ValidationError) as error:
        raise Refused("bad_state", f"{folder.addresses} is damaged: {error}") from error
