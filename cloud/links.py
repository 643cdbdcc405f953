"""How our services connect to the broker: the services' listener, with certificates of the services' authority."""

from __future__ import annotations

import threading

from broker.backoff import Backoff
from broker.errors import Passing
from broker.ids import DeviceRef
from broker.mosquitto import INGEST, PUBLISHER
from broker.session import Session, SessionConfig
from broker.tls import client_context
from broker.transport import Events, Publication, Transport
from cloud.config import Settings
from cloud.pki import SERVICES, Pki

NEAR = Backoff(first_s=0.1, max_s=5.0)  # the broker is beside us: a restart of it should not be slept through
TAKE_OVER_S = 10.0


class _Up:
    """Hears that a session stands."""

    def __init__(self) -> None:
        self.happened = threading.Event()

    def opening(self) -> Publication | None:
        return None

    def up(self, resumed: bool) -> None:
        self.happened.set()

    def down(self, reason: str, *, taken_over: bool = False) -> None:
        """The device comes back as long as its certificate opens the door: not our doing here."""

    def message(self, topic: str, payload: bytes) -> None:
        """What waited for the device ends here."""


class Links:
    """Makes the sessions."""

    def __init__(self, settings: Settings, pki: Pki) -> None:
        self._settings = settings
        self._pki = pki

    def ingest(self, shard: int, subscriptions: tuple[tuple[str, int], ...], events: Events) -> Transport:
        """Return the session of one shard, not yet started."""
        return self._session(INGEST, f"ingest-{shard}", subscriptions, events)

    def publisher(self, events: Events) -> Transport:
        """Return the publisher's session, not yet started."""
        return self._session(PUBLISHER, "publisher", (), events)

    def end_session(self, device: DeviceRef) -> None:
        """End the session of a device: take it over, as the broker knows no other way, and let it end for good.

        Raises `Passing` when the broker does not answer.
        """
        up = _Up()
        session = self._session(PUBLISHER, device.cn, (), up, session_expiry_s=0)
        session.start()
        try:
            if not up.happened.wait(TAKE_OVER_S):
                raise Passing(f"the session of {device} could not be ended: the broker does not answer")
        finally:
            session.stop()

    def _session(
        self,
        service: str,
        client_id: str,
        subscriptions: tuple[tuple[str, int], ...],
        events: Events,
        session_expiry_s: int = SessionConfig.session_expiry_s,
    ) -> Transport:
        pki, name = self._pki, SERVICES[service]
        config = SessionConfig(
            addresses=(self._settings.service_broker,),
            client_id=client_id,
            tls=lambda: client_context(pki.certificate("servers"), pki.certificate(name), pki.key(name)),
            subscriptions=subscriptions,
            session_expiry_s=session_expiry_s,
            backoff=NEAR,
        )
        return Session(config, events)
