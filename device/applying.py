"""What `skerry-device apply` and `export-status` do: ask the running worker, or take a bundle in while none runs."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from broker.appspec import Image
from broker.bundle import Entry, Index, Writer
from broker.channels import DESIRED, STATUS, TRUST
from broker.codec import open_sealed
from broker.errors import Passing, Refused
from device import control
from device.checked_file import CheckedFile
from device.config import Identity, Paths
from device.host import disk_free
from device.images.bundled import BundledBlobs, keep
from device.images.room import Need
from device.images.store import Store
from device.ledger import Ledger
from device.state_lock import alone
from device.trust import Trust

SILENT_S = 60.0  # the worker says something twice a second

Tell = Callable[[str], None]


def apply(file: Path, paths: Paths, identity: Identity, *, timeout_s: float, tell: Tell) -> dict[str, Any]:
    """Apply a bundle; return what became of it. `state`: `done`, `failed`, or `kept` where no worker runs."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused("no_bundle", f"cannot read {file}: {error.strerror}") from error
    try:
        link = _connected(paths)
        if link is None:
            return _taken(descriptor, paths, identity, tell=tell)
        with link:
            return _handed(link, descriptor, timeout_s=timeout_s, tell=tell)
    finally:
        os.close(descriptor)


def export_status(file: Path, paths: Paths, identity: Identity) -> None:
    """Write the status of the running worker, as it would send it, as a bundle."""
    link = _connected(paths)
    if link is None:
        raise Refused("not_running", "no worker runs here: only it knows its status; start it: skerry-device run")
    with link:
        control.say(link, {"verb": "status"})
        answer = next(_lines(link))
    sealed = base64.b64decode(answer["status"])
    entry = Entry(org=identity.org, device=identity.device, name=identity.name)
    temporary = file.with_name(file.name + ".new")
    try:
        with temporary.open("wb") as output:
            writer = Writer(output, Index(made_ms=time.time_ns() // 1_000_000, devices=(entry,)))
            writer.envelope(identity.device, STATUS, sealed)
            writer.finish()
            output.flush()
            os.fsync(output.fileno())
        temporary.replace(file)
    except OSError as error:
        raise Refused("not_written", f"cannot write {file}: {error.strerror}") from error


# --- with a worker


def _connected(paths: Paths) -> socket.socket | None:
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(SILENT_S)
    try:
        link.connect(str(paths.control_socket))
    except (FileNotFoundError, ConnectionRefusedError):
        link.close()
        return None
    except OSError as error:
        link.close()
        raise Passing(f"the worker at {paths.control_socket} cannot be asked: {error.strerror}") from error
    return link


def _handed(link: socket.socket, descriptor: int, *, timeout_s: float, tell: Tell) -> dict[str, Any]:
    until = time.monotonic() + timeout_s
    socket.send_fds(link, [json.dumps({"verb": "apply"}).encode()], [descriptor])
    found: dict[str, Any] = {}
    for answer in _lines(link):
        if "accepted" in answer:
            era, generation = answer["accepted"]
            found |= {"accepted": {"era": era, "generation": generation}, "news": answer["news"]}
            tell(f"{'accepted' if answer['news'] else 'has already accepted'} generation {era}.{generation}")
        for app in answer.get("apps", ()):
            tell(f"{app['name']}  {app['state']}" + (f": {app['message']}" if app["message"] else ""))
        if "state" in answer:
            found |= {"state": answer["state"], "apps": answer["apps"]}
        if found.get("state") not in ("done", "failed") and time.monotonic() > until:
            raise Passing(f"after {timeout_s:.0f} s the apps are not yet as they are asked; apply it again to go on")
    if found.get("state") not in ("done", "failed"):
        raise Passing("the worker ended before its apps were as they are asked; it goes on when it is started")
    return found


def _lines(link: socket.socket) -> Iterator[dict[str, Any]]:
    """Yield the worker's answers; raise what it was refused by."""
    try:
        with link.makefile("rb") as lines:
            for line in lines:
                answer: dict[str, Any] = json.loads(line)
                error = answer.get("error")
                if error is not None and error["reason"] == "unavailable":
                    raise Passing(error["message"])
                if error is not None:
                    raise Refused(error["reason"], error["message"])
                yield answer
    except OSError as error:
        raise Passing(f"the worker does not answer: {error}") from error


# --- without


def _taken(descriptor: int, paths: Paths, identity: Identity, *, tell: Tell) -> dict[str, Any]:
    """Accept the envelope and keep the blobs, as the worker finds both when it starts."""
    paths.prepare()
    with alone(paths):
        bundle = BundledBlobs(descriptor)
        sealed = bundle.envelope(identity.device, DESIRED.name, size_max=DESIRED.size_max)
        if sealed is None:
            raise control.foreign(bundle.contents.index.devices, identity.ref)
        held, news = _accepted(bundle, sealed, paths, identity)
        era, generation = held.generation.order
        tell(f"{'accepted' if news else 'has already accepted'} generation {era}.{generation}")
        images = {
            service.image.digest: service.image for app in held.desired.apps for service in app.spec.services.values()
        }
        absent = _kept(bundle, list(images.values()), paths, tell=tell)
        if absent:
            tell(f"{absent} blobs are not in the bundle: they have to be here already")
        tell("no worker runs here: it takes this up when it is started")
        return {"accepted": {"era": era, "generation": generation}, "news": news, "state": "kept", "absent": absent}


def _accepted(bundle: BundledBlobs, sealed: bytes, paths: Paths, identity: Identity) -> tuple[Any, bool]:
    """Hold trust and desired state by the rules of the inbox; return what is accepted, and whether that is news."""
    trust = Trust(CheckedFile(paths.ledger / "trust"), device=identity.ref, root=base64.b64decode(identity.root_key))
    trust.load()
    document = bundle.envelope(identity.device, TRUST.name, size_max=TRUST.size_max)
    if document is not None:
        try:
            trust.offer(document)
        except Refused as error:
            if error.reason != "stale_trust":
                raise
    ledger = Ledger(CheckedFile(paths.ledger / "accepted"), device=identity.ref)
    ledger.load(trust.verifier_for_desired())
    news = ledger.offer(open_sealed(DESIRED, identity.ref, sealed, trust.verifier(DESIRED)), sealed, era=trust.era)
    assert ledger.accepted is not None
    return ledger.accepted, news is not None


def _kept(bundle: BundledBlobs, images: list[Image], paths: Paths, *, tell: Tell) -> int:
    size = sum(member.size for member in bundle.blobs.values())
    free = disk_free(paths.state)
    if free is not None:
        Need(to_move=size, to_store=size, to_unpack=0).check(free)
    store = Store(paths.images, boot="")
    said = 0

    def told(done: int, total: int) -> None:
        nonlocal said
        if total and done * 10 // total > said:
            said = done * 10 // total
            tell(f"kept {done} of {total} bytes")

    return keep(bundle, images, store, told=told)
