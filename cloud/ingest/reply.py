"""Replies: held so that the device stops sending them. They end commands, or bring a desired state to adopt."""

from __future__ import annotations

import logging

from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import Reply
from cloud import command_view
from cloud.adoption import Adopter
from cloud.ingest.turn import Seen, Turn
from cloud.store import commands, replies

log = logging.getLogger(__name__)


class ReplyHandler:
    """Writes replies and offers envelopes for adoption."""

    def __init__(self, adopter: Adopter) -> None:
        self._adopter = adopter

    def handle(self, turn: Turn, device: DeviceRef, message: Reply) -> None:
        """Hold the reply even when its envelope is refused: sending it again would not make it better."""
        message = _storable(message)
        if message.envelope is not None:
            try:
                turn.issued |= self._adopter.offer(turn.tx, device, message.envelope, now_ms=turn.now_ms)
            except Refused as error:
                log.warning("%s returned a desired state that is refused: %s: %s", device, error.reason, error)
        replies.hold(turn.tx, device.device, message, now_ms=turn.now_ms)
        self._end_command(turn, device, message)
        touched = turn.touch(device)
        touched.replies.append(message.id)
        touched.changed = True

    def _end_command(self, turn: Turn, device: DeviceRef, message: Reply) -> None:
        state = commands.DONE if message.ok else commands.EXPIRED if message.reason == "expired" else commands.FAILED
        ended = commands.finish(
            turn.tx,
            device.device,
            message.id,
            state=state,
            reason=message.reason[:64],
            message=message.message,
            now_ms=turn.now_ms,
        )
        if ended is not None:
            log.info("command %s of %s: %s %s", ended.command, device, state, message.message)
            turn.seen += [Seen(device, "command", view) for view in command_view.views(turn.tx, device.org, [ended])]


def _storable(message: Reply) -> Reply:
    """Return a reply whose texts have no zero byte: PostgreSQL takes none."""
    texts = {"about": message.about, "reason": message.reason, "message": message.message}
    if not any("\0" in text for text in texts.values()):
        return message
    return message.model_copy(update={name: text.replace("\0", "\ufffd") for name, text in texts.items()})
