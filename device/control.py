"""The control socket: what `skerry-device` asks of the running worker. One line of JSON in, lines of JSON out.

Only the worker's own user can open it. A bundle is handed over as an open file, so the worker needs no right to its
path; it is a source of images as long as the one who handed it over stays.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from broker.channels import DESIRED, TRUST
from broker.errors import Passing, Refused
from broker.ids import DeviceRef
from broker.messages import AppSection, DesiredState, InstanceStatus
from device.inbox import Handed

log = logging.getLogger(__name__)
LINE_MAX = 64 * 1024
CONNECTIONS_MAX = 4
SILENT_S = 20.0  # of who connects and asks nothing
INBOX_S = 30.0
LOOK_S = 0.5
REST = ("converged", "failed", "degraded")


class Standing(Protocol):
    """What the newest round of reconcile found."""

    @property
    def desired(self) -> DesiredState | None: ...

    @property
    def instances(self) -> tuple[InstanceStatus, ...]: ...


class Blobs(Protocol):
    """Whatever takes a bundle as a source of images."""

    def use_bundle(self, bundle: Any) -> None: ...

    def bundle_trouble(self) -> str: ...


class Control:
    """Owns the socket. `hand` gives envelopes to the inbox, `retry` has failed fetches tried again at once."""

    def __init__(
        self,
        path: Path,
        *,
        device: DeviceRef,
        images: Blobs,
        hand: Callable[[Handed], bool],
        retry: Callable[[], None],
        standing: Callable[[], Standing | None],
        accepted: Callable[[], tuple[int, int] | None],
        status: Callable[[], bytes | None],
    ) -> None:
        self._path = path
        self._device = device
        self._images = images
        self._hand = hand
        self._retry = retry
        self._standing = standing
        self._accepted = accepted
        self._status = status
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._applying = threading.Lock()

    def run(self, stopping: threading.Event) -> None:
        """Answer until `stopping`; poke it to end."""
        self._stopping = stopping
        self._path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            listener.listen(CONNECTIONS_MAX)
            self._listener = listener
            while not stopping.is_set():
                try:
                    link, _ = listener.accept()
                except OSError:
                    break  # shut by `poke`
                self._places.acquire()
                threading.Thread(target=self._answer, args=(link,), name="control-link", daemon=True).start()
        self._path.unlink(missing_ok=True)

    def poke(self) -> None:
        listener = self._listener
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)

    def _answer(self, link: socket.socket) -> None:
        files: list[int] = []
        try:
            with link:
                link.settimeout(SILENT_S)
                line, files, _, _ = socket.recv_fds(link, LINE_MAX, 1)
                self._do(link, line, files)
        except (Refused, Passing) as error:
            log.warning("control: %s", error)
        except OSError as error:  # who asked is gone
            log.info("control: %s", error)
        finally:
            for file in files:
                os.close(file)
            self._places.release()

    def _do(self, link: socket.socket, line: bytes, files: list[int]) -> None:
        try:
            asked = _verb(line)
            if asked == "status":
                say(link, {"status": base64.b64encode(self._sealed_status()).decode()})
            elif asked == "apply" and files:
                self._apply(link, files[0])
            else:
                raise Refused("unknown_request", "this worker does not know that request")
        except (Refused, Passing) as error:
            reason = error.reason if isinstance(error, Refused) else "unavailable"
            say(link, {"error": {"reason": reason, "message": str(error)}})

    def _sealed_status(self) -> bytes:
        sealed = self._status()
        if sealed is None:
            raise Passing("the worker has not looked at the engine yet, or has not tried to connect yet: ask again")
        return sealed

    def _apply(self, link: socket.socket, file: int) -> None:
        from device.images.bundled import BundledBlobs  # the tar reader: hardly any worker ever needs it

        bundle = BundledBlobs(file)
        desired = bundle.envelope(self._device.device, DESIRED.name, size_max=DESIRED.size_max)
        if desired is None:
            raise foreign(bundle.contents.index.devices, self._device)
        trust = bundle.envelope(self._device.device, TRUST.name, size_max=TRUST.size_max)
        if not self._applying.acquire(blocking=False):
            raise Passing("another bundle is being applied")
        try:
            self._images.use_bundle(bundle)  # before it is accepted: reconcile may want the first image at once
            before = self._accepted()
            self._accept(desired, trust)
            self._retry()
            accepted = self._accepted()
            assert accepted is not None
            say(link, {"accepted": accepted, "news": accepted != before})
            self._watch(link, accepted)
        finally:
            self._images.use_bundle(None)
            self._applying.release()

    def _accept(self, desired: bytes, trust: bytes | None) -> None:
        done = threading.Event()
        answers: list[Exception | None] = []

        def answer(error: Exception | None) -> None:
            answers.append(error)
            done.set()

        if not self._hand(Handed(desired, trust, answer)):
            raise Passing("the worker's inbox is full: ask again")
        if not done.wait(INBOX_S):
            raise Passing("the worker's inbox does not answer")
        if answers[0] is not None:
            raise answers[0]

    def _watch(self, link: socket.socket, accepted: tuple[int, int]) -> None:
        """Tell how the apps get on until all rest, or who asked is gone."""
        told: Any = None
        while not self._stopping.wait(LOOK_S):
            standing = self._standing()
            desired = None if standing is None else standing.desired
            if standing is None or desired is None or (desired.era, desired.generation) != accepted:
                say(link, {})  # a sign of life; who is gone is noticed by it
                continue
            state, apps = outcome(desired.apps, standing.instances)
            say(link, {} if apps == told and state == "going" else {"state": state, "apps": apps})
            told = apps
            if state != "going":
                return
            wrong = self._images.bundle_trouble()
            if wrong:
                raise Refused("wrong_bytes", f"the bundle has other bytes under {wrong}: it is damaged, copy it again")


def outcome(
    sections: tuple[AppSection, ...], instances: tuple[InstanceStatus, ...]
) -> tuple[Literal["going", "done", "failed"], list[dict[str, str]]]:
    """Return whether all apps rest, and what each is. Pure."""
    by_instance = {status.instance: status for status in instances}
    apps = []
    for section in sections:
        status = by_instance.get(section.instance)
        state, message = ("updating", "") if status is None else (status.state, status.message)
        apps.append({"name": section.name, "state": state, "message": message})
    states = {app["state"] for app in apps}
    if not states <= set(REST):
        return "going", apps
    return ("done" if states <= {"converged"} else "failed"), apps


def foreign(named: Any, device: DeviceRef) -> Refused:
    """Return what is wrong with a bundle that has nothing for this device."""
    names = ", ".join(f"{entry.name or entry.device} ({entry.device})" for entry in named[:5]) or "no device"
    return Refused("not_for_this_device", f"the bundle is for {names}, not for this device ({device.device})")


def say(link: socket.socket, what: Mapping[str, Any]) -> None:
    link.sendall(json.dumps(what).encode() + b"\n")


def _verb(line: bytes) -> str:
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Refused("malformed", "a request is one line of JSON") from error
    verb = asked.get("verb") if isinstance(asked, dict) else None
    return verb if isinstance(verb, str) else ""
