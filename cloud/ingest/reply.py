"""Replies: held so that the device stops sending them; an envelope inside is a desired state to adopt."""

from __future__ import annotations

import logging

from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import Reply
from cloud.adoption import Adopter
from cloud.ingest.turn import Turn
from cloud.store import replies

log = logging.getLogger(__name__)


class ReplyHandler:
    """Writes replies and offers envelopes for adoption."""

    def __init__(self, adopter: Adopter) -> None:
        self._adopter = adopter

    def handle(self, turn: Turn, device: DeviceRef, message: Reply) -> None:
        """Hold the reply even when its envelope is refused: sending it again would not make it better."""
        if message.envelope is not None:
            try:
                turn.issued |= self._adopter.offer(turn.tx, device, message.envelope, now_ms=turn.now_ms)
            except Refused as error:
                log.warning("%s returned a desired state that is refused: %s: %s", device, error.reason, error)
        replies.hold(turn.tx, device.device, message, now_ms=turn.now_ms)
        touched = turn.touch(device)
        touched.replies.append(message.id)
        touched.changed = True
