"""Who may write to the intake: one account for each app instance, its rights spelt out, its password kept on disk."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from broker.files import write_durably
from broker.messages import AppSection
from device.reconcile.wanted import IntakeAccess
from device.telemetry.connection import Client


class _Kept(BaseModel):
    worker: str
    tcp_port: int
    passwords: dict[str, str] = {}


class Accounts:
    """Owns accounts.json. Passwords stay the same over restarts: they are part of what containers are made from."""

    def __init__(self, path: Path, *, socket_folder: Path) -> None:
        self._path = path
        self._socket_folder = socket_folder
        self._streams: dict[str, str] = {}
        self._kept = self._load()

    @property
    def worker_password(self) -> str:
        return self._kept.worker

    @property
    def tcp_port(self) -> int:
        return self._kept.tcp_port

    @property
    def streams(self) -> dict[str, str]:
        """Return the stream name of each instance that may write: what the mover reads."""
        return dict(self._streams)

    def access_for(self, sections: Sequence[AppSection]) -> dict[str, IntakeAccess]:
        """Return the accounts of `sections` by instance, made and kept where they are new."""
        using = [s for s in sections if any(x.telemetry.access != "none" for x in s.spec.services.values())]
        new = [section.instance for section in using if section.instance not in self._kept.passwords]
        for instance in new:
            self._kept.passwords[instance] = secrets.token_hex(16)
        if new:
            self._save()
        self._streams = {section.instance: stream_of(section.name) for section in using}
        return {
            section.instance: IntakeAccess(
                user=user_of(section.instance),
                password=self._kept.passwords[section.instance],
                stream=stream_of(section.name),
                socket_folder=str(self._socket_folder),
                tcp_port=self._kept.tcp_port,
            )
            for section in using
        }

    def apply(self, client: Client) -> None:
        """Make the server's accounts these: after each of its starts, and after each change."""
        for instance, stream in self._streams.items():
            client.set_user(user_of(instance), self._rights(instance, stream))
        for user in client.users():
            if user.startswith("app-") and user.removeprefix("app-") not in self._streams:
                client.delete_user(user)

    def _rights(self, instance: str, stream: str) -> list[str]:
        """Append to its own stream; read, set and delete its own lock: nothing else, of nobody else.

        Selectors are a must: one flat rule with set and del would let an app delete its own unsent samples.
        """
        name = stream.partition(":")[2]
        return [
            "reset", "on", f">{self._kept.passwords[instance]}", "resetchannels",
            f"%W~{stream}", f"%W~{stream}:*", "+xadd", "+ping", "+hello", "+auth", "+quit",
            "+client|setname", "+client|id",
            f"(%RW~lock:{name} +get +set +del +pexpire)",
        ]  # fmt: skip

    def _load(self) -> _Kept:
        try:
            return _Kept.model_validate_json(self._path.read_bytes())
        except (FileNotFoundError, ValidationError):
            kept = _Kept(worker=secrets.token_hex(16), tcp_port=_free_port())
            self._kept = kept
            self._save()
            return kept

    def _save(self) -> None:
        write_durably(self._path, self._kept.model_dump_json().encode())


def user_of(instance: str) -> str:
    return f"app-{instance}"


def stream_of(name: str) -> str:
    return f"telemetry:{name}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))  # noqa: S104 - only to ask the kernel for a free number; nothing listens
        return int(probe.getsockname()[1])
