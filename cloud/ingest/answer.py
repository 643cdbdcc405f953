"""Syncs: what the cloud holds of a device, read in the transaction that has just changed it."""

from __future__ import annotations

from broker.channels import SYNC
from broker.codec import seal
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import RANGES_MAX, StreamHeld, Sync
from broker.signing import MacKey
from cloud.ingest.turn import NO_CONN, Stream, Touched, Turn
from cloud.store import desired, presence, status
from cloud.store.cursors import Cursor
from cloud.store.presence import Presence
from cloud.store.status import Held

STREAMS_MAX = 256


def syncs_for(turn: Turn, *, store: str) -> dict[DeviceRef, Sync]:
    """Return the syncs that the touched devices get. Their `n` grow also over a restored database, as time does."""
    ids = [device.device for device in turn.touched]
    heard = presence.of_devices(turn.tx, ids)
    newest, reported = desired.named_of(turn.tx, ids), status.held_of(turn.tx, ids)
    syncs: dict[DeviceRef, Sync] = {}
    for device, touched in turn.touched.items():
        known = heard.get(device.device) or Presence(device.device)
        syncs[device] = Sync(
            conn=known.conn or NO_CONN,
            n=max(known.sync_n + 1, turn.now_ms),
            store=store,
            time_ms=turn.now_ms,
            desired=None if known.contested else newest.get(device.device),
            streams=_streams(turn, device, touched, known),
            status=_revision(reported.get(device.device), known),
            replies=tuple(dict.fromkeys(touched.replies)),
        )
    numbers = {device.device: sync.n for device, sync in syncs.items()}
    presence.count_syncs(turn.tx, numbers, never_heard=numbers.keys() - heard.keys())
    return syncs


def sealed(device: DeviceRef, sync: Sync, key: MacKey) -> bytes:
    """Return the envelope. When a sync is too large, the streams at its end wait for another one."""
    while True:
        try:
            return seal(SYNC, device, sync, key)
        except Refused:
            if not sync.streams:
                raise
            sync = sync.model_copy(update={"streams": sync.streams[: len(sync.streams) // 2]})


def _streams(turn: Turn, device: DeviceRef, touched: Touched, known: Presence) -> tuple[StreamHeld, ...]:
    """The touched ones come first; the others only for a birth: what a lost sync said, a batch sent again asks anew."""
    wanted: dict[Stream, None] = dict.fromkeys(touched.streams)
    if touched.everything and known.birth is not None:
        wanted |= dict.fromkeys((kept.stream, kept.epoch) for kept in known.birth.streams)
    return tuple(_held(turn, device, place, touched) for place in list(wanted)[:STREAMS_MAX])


def _held(turn: Turn, device: DeviceRef, place: Stream, touched: Touched) -> StreamHeld:
    stream, epoch = place
    place_held = turn.intake.cursor((device.device, stream, epoch))
    cursor = place_held or Cursor(device.device, stream, epoch)
    return StreamHeld(
        stream=stream,
        epoch=epoch,
        contiguous=cursor.held.contiguous,
        ranges=cursor.held.ranges,
        refused=tuple(touched.streams.get(place, ()))[:RANGES_MAX],
    )


def _revision(held: Held | None, known: Presence) -> int:
    """A revision of an earlier connection counts only while the device does not say that its own are smaller."""
    if held is None:
        return 0
    if held.conn == known.conn or (known.birth is not None and held.revision <= known.birth.status):
        return held.revision
    return 0
