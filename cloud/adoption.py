"""Adopts a desired state that a device returns: the way back for a database that was restored from a backup."""

from __future__ import annotations

import logging
from dataclasses import replace

from broker.channels import DESIRED
from broker.codec import Opened, open_sealed
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import AppSection, DesiredState
from broker.signing import Signatures
from cloud.desired import content
from cloud.issuing import Issuer
from cloud.store import desired, presence
from cloud.store.database import Connection

log = logging.getLogger(__name__)


class Adopter:
    """Believes only envelopes that carry our own signature; a claimed number without one changes nothing."""

    def __init__(self, verifier: Signatures, issuer: Issuer, *, store: str) -> None:
        self._verifier = verifier
        self._issuer = issuer
        self._store = store

    def offer(self, tx: Connection, device: DeviceRef, envelope: bytes, *, now_ms: int) -> bool:
        """Adopt the envelope when it is ours and newer than what is stored; return whether anything changed.

        What was issued since the restore is the operator's newer wish: it is issued again above the adopted one.
        """
        opened = open_sealed(DESIRED, device, envelope, self._verifier)
        message: DesiredState = opened.message
        if (message.org, message.device) != (device.org, device.device):
            raise Refused("foreign", f"a desired state for {message.org}/{message.device}, returned by {device}")
        newest = desired.newest(tx, device.device)
        if newest is not None and newest.named.order >= (message.era, message.generation):
            return False
        desired.add(tx, self._row(device, opened, envelope, now_ms))
        log.warning("adopted generation %d.%d of %s", message.era, message.generation, device)
        if newest is not None and newest.store == self._store:
            self._issuer.issue(tx, device, self._apps_of(device, newest), now_ms=now_ms)
        return True

    def diverged(self, tx: Connection, device: DeviceRef, *, now_ms: int) -> bool:
        """Issue the newest state again when the device holds another one of the same number; return whether it does."""
        accepted = presence.get(tx, device.device).accepted
        newest = desired.newest(tx, device.device)
        if accepted is None or newest is None or accepted.order != newest.named.order:
            return False
        if accepted.digest == newest.digest:
            return False
        self._issuer.issue(tx, device, self._apps_of(device, newest), now_ms=now_ms, anew=True)
        return True

    def _apps_of(self, device: DeviceRef, row: desired.Desired) -> tuple[AppSection, ...]:
        message: DesiredState = open_sealed(DESIRED, device, row.envelope, self._verifier).message
        return message.apps

    def _row(self, device: DeviceRef, opened: Opened, envelope: bytes, now_ms: int) -> desired.Desired:
        message: DesiredState = opened.message
        row = desired.Desired(
            device=device.device,
            era=message.era,
            generation=message.generation,
            digest=opened.digest,
            content=content(message.apps, message.link, message.retire),
            envelope=envelope,
            issued_ms=message.issued_ms,
            store="",  # of an incarnation before this one
        )
        return replace(row, sent_ms=now_ms)  # the device has it: nothing is due
