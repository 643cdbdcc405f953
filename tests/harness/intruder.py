"""Somebody inside the broker: with the services' certificates, and none of the signing keys."""

from __future__ import annotations

import queue

from broker.channels import SYNC, Channel
from broker.ids import DeviceRef
from broker.session import Session, SessionConfig
from broker.tls import client_context
from broker.transport import Delivery, Publication
from tests.harness.stage import Stage


class Silent:
    """Takes what a session tells; only its coming up is of interest."""

    def __init__(self) -> None:
        self.ups: queue.Queue[bool] = queue.Queue()

    def opening(self) -> None:
        return None

    def up(self, resumed: bool) -> None:
        self.ups.put(resumed)

    def down(self, reason: str, *, taken_over: bool = False) -> None:
        return

    def message(self, topic: str, payload: bytes) -> None:
        return


class Intruder:
    """Somebody with the services' certificates and none of the signing keys."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._sessions = {name: self._session(name) for name in ("publisher", "ingest")}

    def _session(self, name: str) -> Session:
        pki = self._stage.cloud.state / "pki"
        events = Silent()
        config = SessionConfig(
            (self._stage.service_endpoint(),),
            f"intruder-{name}",
            lambda: client_context(pki / "servers.crt", pki / f"{name}.crt", pki / f"{name}.key"),
        )
        session = Session(config, events)
        session.start()
        events.ups.get(timeout=20)
        return session

    def send(self, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        """Publish on a channel of the device and wait until the broker has taken it."""
        sent: queue.Queue[Delivery] = queue.Queue()
        session = self._sessions["ingest" if channel is SYNC else "publisher"]
        assert session.publish(Publication(channel.topic(ref(self._stage)), payload, 1, retain), sent.put)
        assert sent.get(timeout=20) is Delivery.SENT

    def stop(self) -> None:
        for session in self._sessions.values():
            session.stop()


def ref(stage: Stage) -> DeviceRef:
    return DeviceRef(stage.device.identity["org"], stage.device.id)
