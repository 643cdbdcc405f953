"""How our services connect to the broker: the services' listener, with certificates of the services' authority."""

from __future__ import annotations

from broker.backoff import Backoff
from broker.mosquitto import INGEST, PUBLISHER
from broker.session import Session, SessionConfig
from broker.tls import client_context
from broker.transport import Events, Transport
from cloud.config import Settings
from cloud.pki import SERVICES, Pki

NEAR = Backoff(first_s=0.1, max_s=5.0)  # the broker is beside us: a restart of it should not be slept through


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

    def _session(
        self, service: str, client_id: str, subscriptions: tuple[tuple[str, int], ...], events: Events
    ) -> Transport:
        pki, name = self._pki, SERVICES[service]
        config = SessionConfig(
            addresses=(self._settings.service_broker,),
            client_id=client_id,
            tls=lambda: client_context(pki.certificate("servers"), pki.certificate(name), pki.key(name)),
            subscriptions=subscriptions,
            backoff=NEAR,
        )
        return Session(config, events)
