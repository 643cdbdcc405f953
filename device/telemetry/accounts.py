"""Who may write to the intake: one account for each app instance, its rights spelt out, its password kept on disk."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from broker.files import write_durably
from broker.messages import AppSection
from device.reconcile.wanted import IntakeAccess
from device.telemetry.connection import Client


class _Account(BaseModel):
    name: str
    password: str


class _Kept(BaseModel):
    worker: str
    tcp_port: int
    apps: dict[str, _Account] = {}


class Accounts:
    """Owns accounts.json. Passwords stay the same over restarts: they are part of what containers are made from.

    What has an account has a line in the file, from before it may write until all that it wrote is moved.
    """

    def __init__(self, path: Path, *, socket_folder: Path) -> None:
        self._path = path
        self._socket_folder = socket_folder
        self._kept = self._load()
        self._present: frozenset[str] = frozenset()
        self._retired: frozenset[str] = frozenset()
        self._cut_off: frozenset[str] = frozenset()
        self._applying = threading.Lock()  # of the server's list: two threads must not make it from two states

    @property
    def worker_password(self) -> str:
        return self._kept.worker

    @property
    def tcp_port(self) -> int:
        return self._kept.tcp_port

    @property
    def streams(self) -> dict[str, str]:
        """Return the stream name of each instance that may write or has written: what the mover reads."""
        return {instance: stream_of(account.name) for instance, account in self._kept.apps.items()}

    @property
    def writing(self) -> dict[str, str]:
        """Return the stream name of each instance that may write now."""
        silent = self._retired | self._cut_off
        return {instance: stream for instance, stream in self.streams.items() if instance not in silent}

    @property
    def leaving(self) -> dict[str, str]:
        """Return the stream name of each instance that has an account and was not in the last sections."""
        return {instance: stream for instance, stream in self.streams.items() if instance not in self._present}

    def access_for(self, sections: Sequence[AppSection]) -> dict[str, IntakeAccess]:
        """Return the accounts of `sections` by instance, made and kept where they are new."""
        using = [s for s in sections if any(x.telemetry.access != "none" for x in s.spec.services.values())]
        apps = dict(self._kept.apps)
        for section in using:
            known = apps.get(section.instance)
            password = known.password if known is not None else secrets.token_hex(16)
            apps[section.instance] = _Account(name=section.name, password=password)
        self._keep(apps)
        self._present = frozenset(section.instance for section in using)
        self._retired -= self._present
        return _access(self._kept, using, self._socket_folder)

    def retire(self, instance: str) -> None:
        """Let an instance write no more from the next `apply` on. Its stream is still among `streams`."""
        self._retired |= {instance}

    def cut_off(self, instances: frozenset[str]) -> None:
        """Let exactly these write no more from the next `apply` on, until it is said otherwise."""
        self._cut_off = instances

    def forget(self, instance: str) -> None:
        """Forget an instance, all of whose samples are moved."""
        self._keep({known: account for known, account in self._kept.apps.items() if known != instance})
        self._retired -= {instance}

    def apply(self, client: Client) -> None:
        """Make the server's accounts these: after each of its starts, and after each change."""
        with self._applying:
            writing = self.writing
            for instance, stream in writing.items():
                client.set_user(user_of(instance), self._rights(instance, stream))
            for user in client.users():
                if user.startswith("app-") and user.removeprefix("app-") not in writing:
                    client.delete_user(user)  # and with it its connections

    def _rights(self, instance: str, stream: str) -> list[str]:
        """Append to its own stream; read, set and delete its own lock: nothing else, of nobody else.

        Selectors are a must: one flat rule with set and del would let an app delete its own unsent samples. The lock is
        one text of 1 MB at most: the server takes no longer one, and nothing that makes one grow is allowed.
        """
        return [
            "reset", "on", f">{self._kept.apps[instance].password}", "resetchannels",
            f"%W~{stream}", "+xadd", "+ping", "+hello", "+auth", "+quit",
            "+client|setname", "+client|id",
            f"(%RW~{lock_key_of(instance)} +set +get +del +expire +pexpire +persist +ttl +pttl)",
        ]  # fmt: skip

    def _load(self) -> _Kept:
        try:
            return _Kept.model_validate_json(self._path.read_bytes())
        except (FileNotFoundError, ValidationError):
            kept = _Kept(worker=secrets.token_hex(16), tcp_port=_free_port())
            self._write(kept)
            return kept

    def _keep(self, apps: dict[str, _Account]) -> None:
        """Write first, believe then: what a full disk did not take must not be handed out."""
        if apps != self._kept.apps:
            kept = self._kept.model_copy(update={"apps": apps})
            self._write(kept)
            self._kept = kept

    def _write(self, kept: _Kept) -> None:
        write_durably(self._path, kept.model_dump_json().encode())


def known_access(path: Path, sections: Sequence[AppSection], socket_folder: Path) -> dict[str, IntakeAccess]:
    """Return the accounts that sections have already, by instance, from a file that is only read."""
    try:
        kept = _Kept.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return {}
    return _access(kept, [section for section in sections if section.instance in kept.apps], socket_folder)


def _access(kept: _Kept, sections: Sequence[AppSection], socket_folder: Path) -> dict[str, IntakeAccess]:
    return {
        section.instance: IntakeAccess(
            user=user_of(section.instance),
            password=kept.apps[section.instance].password,
            stream=stream_of(section.name),
            socket_folder=str(socket_folder),
            tcp_port=kept.tcp_port,
        )
        for section in sections
    }


def user_of(instance: str) -> str:
    return f"app-{instance}"


def stream_of(name: str) -> str:
    return f"telemetry:{name}"


def lock_key_of(instance: str) -> str:
    """Return the key that an instance locks itself with."""
    return f"lock:{instance}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))  # noqa: S104 - only to ask the kernel for a free number; nothing listens
        return int(probe.getsockname()[1])
