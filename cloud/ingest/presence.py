"""Births, beats and wills: which connection is the latest, whether the device is there, whether two claim to be it."""

from __future__ import annotations

import logging
from dataclasses import replace

from broker.ids import DeviceRef
from broker.messages import Beat, Birth, Conn, Will
from cloud.adoption import Adopter
from cloud.ingest.turn import Turn
from cloud.store import desired, presence
from cloud.store.presence import Presence

log = logging.getLogger(__name__)

BOOTS_KEPT = 32


def after_birth(known: Presence, birth: Birth, *, now_ms: int) -> Presence | None:
    """Return what is known after a birth; None when the birth is older than one already heard of the same boot.

    A boot, or an installation of the worker, that returns after another one means that two have this identity.
    """
    boots = dict(known.boots or {})
    place, who = (birth.conn.count, birth.n), f"{birth.conn.boot} {birth.instance}"
    last = boots.pop(who, None)
    if last is not None and place <= tuple(last):
        return None
    if known.conn is not None and known.conn.boot == birth.conn.boot and known.conn.count > birth.conn.count:
        return None
    returned = last is not None and list(known.boots or {})[-1] != who
    boots[who] = place
    claimed = birth.accepted.order if birth.accepted else (0, 0)
    return replace(
        known,
        conn=birth.conn,
        n=birth.n,
        online=True,
        last_seen_ms=now_ms,
        birth=birth,
        boots=dict(list(boots.items())[-BOOTS_KEPT:]),
        contested=known.contested or returned,
        accepted=birth.accepted,
        reported=max(known.reported, claimed),
    )


def after_beat(known: Presence, beat: Beat, *, now_ms: int) -> Presence | None:
    """Return what is known after a beat; None when it is of a connection whose birth is not held, or not newer."""
    if known.conn != beat.conn or beat.n <= known.n:
        return None
    return replace(known, n=beat.n, online=True, last_seen_ms=now_ms)


def after_will(known: Presence, will: Will) -> Presence | None:
    """Return what is known after a will; None when it is of another connection than the latest."""
    if known.conn != will.conn or not known.online:
        return None
    return replace(known, online=False)


def is_past(known: Presence, conn: Conn) -> bool:
    """Return whether a connection is known to be over: a newer one of its boot was heard, or a newer boot."""
    if known.conn is None or known.conn == conn:
        return False
    if known.conn.boot == conn.boot:
        return conn.count < known.conn.count
    return any(who.startswith(conn.boot + " ") for who in known.boots or {})


class PresenceHandler:
    """Writes presence, and has the newest desired state sent again to who has accepted another one."""

    def __init__(self, adopter: Adopter) -> None:
        self._adopter = adopter

    def handle(self, turn: Turn, device: DeviceRef, message: Birth | Beat | Will) -> None:
        known = presence.get(turn.tx, device.device)
        match message:
            case Birth():
                after = after_birth(known, message, now_ms=turn.now_ms)
            case Beat():
                after = after_beat(known, message, now_ms=turn.now_ms)
            case Will():
                after = after_will(known, message)
        if not isinstance(message, Will):
            turn.touch(device).everything |= isinstance(message, Birth)
        if after is None:
            return
        presence.put(turn.tx, after)
        if after.contested and not known.contested:
            log.error(
                "%s is contested: a boot or installation came back after another; it gets no more desired states",
                device,
            )
        if isinstance(message, Birth):
            turn.issued |= self._adopter.diverged(turn.tx, device, now_ms=turn.now_ms)
        if isinstance(message, Birth | Beat):
            self._compare(turn, device, message)
        if isinstance(message, Birth) or after.online != known.online:
            turn.touch(device).changed = True

    def _compare(self, turn: Turn, device: DeviceRef, message: Birth | Beat) -> None:
        newest = desired.named(turn.tx, device.device)
        if newest is None:
            return
        if isinstance(message, Beat):
            accepted = (message.era, message.generation)
        else:
            accepted = message.accepted.order if message.accepted else (0, 0)
        if accepted < newest[0].order:
            turn.nudged.append(device)
