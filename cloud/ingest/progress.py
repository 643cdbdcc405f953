"""Progress of transfers: shown to who watches, never stored."""

from __future__ import annotations

from broker.ids import DeviceRef
from broker.messages import Progress
from cloud.ingest.turn import Seen, Turn


class ProgressHandler:
    """Hands progress on to the live feed."""

    def handle(self, turn: Turn, device: DeviceRef, message: Progress) -> None:
        shown: dict[str, object] = {
            "device": device.device,
            "instance": message.instance,
            "phase": message.phase,
            "done": message.done,
            "total": message.total,
            "saved": message.saved,
        }
        turn.seen.append(Seen(device, "progress", shown))
