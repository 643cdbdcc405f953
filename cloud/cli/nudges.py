"""Nudges: a pause that ends when the cloud tells of news, so that what is followed shows at once."""

from __future__ import annotations

import threading
import time

from broker.errors import SkerryError
from cloud.cli.client import Client
from cloud.cli.event_stream import follow

ALONE_S = 5.0  # after the cloud refused to tell, or stopped: whoever pauses asks by itself meanwhile


class Nudges:
    """Watches the live feed on a thread of its own, for batches of streams of one kind, e.g. `logs`, or of all."""

    def __init__(self, client: Client, *, kind: str) -> None:
        self._client = client
        self._prefix = f"{kind}:" if kind else ""
        self._news = threading.Event()
        threading.Thread(target=self._watch, name="nudges", daemon=True).start()

    def pause(self, seconds: float) -> None:
        """Wait until there is news, but not longer than told."""
        self._news.wait(seconds)
        self._news.clear()

    def _watch(self) -> None:
        while True:
            try:
                for event in follow(self._client, pause=time.sleep, lost=lambda why: None):
                    if event.type == "telemetry" and str(event.document().get("stream")).startswith(self._prefix):
                        self._news.set()
            except SkerryError:  # who asks for what is followed hears why, and says so
                time.sleep(ALONE_S)
