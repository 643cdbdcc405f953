"""The MQTT session: paho behind one file. One thread owns paho and its socket; others append to a queue and wake it.

Rules this file keeps, each learnt from a measured fault:
- paho's own loop wakes once a second and its own queue re-sends beside ours: so an own loop, and a fresh client for
  every connection; what was not answered is reported LOST and the owner of the data decides.
- QoS 1 answers prove nothing about storage; a packet over the broker's limit would be cut off for ever: sizes are
  checked before sending; reason codes are read.
- A dead link is found by silence: CONNACK, PINGRESP and PUBACK each have a deadline.
- After a broker restart a whole fleet comes back: backoff is capped, with full jitter. A connection resets it only once
  it has stood for a while; two machines with one identity took each other's connection over four times a second.
"""

from __future__ import annotations

import collections
import logging
import os
import random
import select
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker.backoff import Backoff, Reconnecting
from broker.channels import PACKET_MAX
from broker.errors import Passing
from broker.gathering import GatheringClient
from broker.tls import ResumingContext
from broker.transport import Delivery, Done, Endpoint, Events, Publication

log = logging.getLogger(__name__)

OUTBOX_MAX = 256  # publications waiting for the loop; their owners keep the originals, so a full queue loses nothing
INFLIGHT_MAX = 20  # mosquitto's own default for max_inflight_messages
CONNECT_S_MAX = 5.0
DISCONNECT_WITH_WILL = 0x04  # MQTT 5 section 3.14.2.1
RECONNECT = Backoff(first_s=0.25, max_s=15.0)  # half a window on average: what a link of minutes can afford
TAKEN_OVER = Backoff(first_s=30.0, max_s=300.0)
UNSUPPORTED_VERSION = 0x84  # MQTT 5 section 3.2.2.2
SESSION_TAKEN_OVER = 0x8E  # MQTT 5 section 3.14.2.1


@dataclass(frozen=True)
class SessionConfig:
    """Who connects, where to, and how patient to be. Addresses are tried in turn."""

    addresses: tuple[Endpoint, ...]
    client_id: str
    tls: Callable[[], ResumingContext]  # read anew for every session object, so that a renewed certificate is used
    subscriptions: tuple[tuple[str, int], ...] = ()
    keepalive_s: int = 300
    answer_s: float = 15.0  # for CONNACK, SUBACK, PINGRESP and PUBACK
    session_expiry_s: int = 7 * 24 * 3600
    packet_max: int = PACKET_MAX
    backoff: Backoff = RECONNECT
    taken_over: Backoff = TAKEN_OVER


@dataclass
class _Connection:
    """One connection's state; thrown away with it."""

    client: GatheringClient
    opened_at: float
    received_at: float
    sent_at: float
    up_at: float | None = None
    closing: bool = False
    taken_over: bool = False
    pinged_at: float | None = None
    subscribing: int | None = None
    resumed: bool = False
    packet_max: int = PACKET_MAX
    refused: str = ""

    @property
    def up(self) -> bool:
        return self.up_at is not None

    def stood_s(self, now: float) -> float:
        return 0.0 if self.up_at is None else now - self.up_at


class Session:
    """A `Transport` over TLS to an MQTT 5 broker, or 3.1.1 where it speaks no 5."""

    def __init__(self, config: SessionConfig, events: Events) -> None:
        self._config = config
        self._events = events
        self._outbox: collections.deque[tuple[Publication, Done | None]] = collections.deque()
        self._waiting: dict[int, Done | None] = {}
        self._waiting_since = 0.0
        self._lock = threading.Lock()  # guards the pair (connected, outbox); never held across I/O
        self._connected = False
        self._stopping = threading.Event()
        self._drop = False
        self._protocol = mqtt.MQTTv5
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{config.client_id}"[:32], daemon=True)
        self._context = config.tls()

    # --- any thread

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join(CONNECT_S_MAX + self._config.answer_s)

    def publish(self, publication: Publication, done: Done | None = None) -> bool:
        with self._lock:
            if not self._connected or len(self._outbox) >= OUTBOX_MAX:
                return False
            self._outbox.append((publication, done))
        os.eventfd_write(self._wake, 1)
        return True

    def reconnect(self) -> None:
        self._drop = True
        os.eventfd_write(self._wake, 1)

    @property
    def connected(self) -> bool:
        return self._connected

    # --- the session's own thread

    def _run(self) -> None:
        reconnecting = Reconnecting(self._config.backoff, self._config.taken_over)
        while not self._stopping.is_set():
            address = self._config.addresses[reconnecting.failures % len(self._config.addresses)]
            connection: _Connection | None = None
            try:
                connection = self._open(address)
                self._serve(connection)
                reason = connection.refused or "disconnected"
            except (OSError, ValueError, MQTTException, Passing) as error:
                reason = f"{type(error).__name__}: {error}"
            except Exception as error:  # the paho shim is an edge: log, drop the connection, go on
                log.exception("session %s failed", self._config.client_id)
                reason = f"bug: {type(error).__name__}: {error}"
            stood_s = connection.stood_s(time.monotonic()) if connection is not None else 0.0
            taken_over = connection is not None and connection.taken_over
            self._close(connection, f"{address}: {reason}")
            if not self._stopping.is_set():
                jitter = random.random()  # noqa: S311 - spread, not secrecy
                self._sleep(reconnecting.wait_s(stood_s=stood_s, taken_over=taken_over, jitter=jitter))

    def _open(self, address: Endpoint) -> _Connection:
        client = GatheringClient(
            CallbackAPIVersion.VERSION2,
            self._config.client_id,
            protocol=self._protocol,
            reconnect_on_failure=False,
            clean_session=None if self._protocol == mqtt.MQTTv5 else False,
        )
        client.tls_set_context(self._context)
        client.connect_timeout = CONNECT_S_MAX
        client.max_inflight_messages_set(INFLIGHT_MAX)
        will = self._events.opening()
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        now = time.monotonic()
        connection = _Connection(client, now, now, now, packet_max=self._config.packet_max)
        client.on_connect = lambda _c, _u, flags, code, props: self._on_connect(connection, flags, code, props)
        client.on_subscribe = lambda _c, _u, mid, codes, _p: self._on_subscribe(connection, mid, codes)
        client.on_publish = lambda _c, _u, mid, code, _p: self._on_publish(mid, code)
        client.on_message = lambda _c, _u, message: self._events.message(message.topic, bytes(message.payload))
        client.on_disconnect = lambda _c, _u, _f, code, _p: self._on_disconnect(connection, code)
        options: dict[str, Any] = {}
        if self._protocol == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves this one untyped
            properties.SessionExpiryInterval = self._config.session_expiry_s
            properties.MaximumPacketSize = self._config.packet_max
            options = {"clean_start": False, "properties": properties}
        client.connect_async(address.host, address.port, keepalive=self._config.keepalive_s, **options)
        client.reconnect()  # name look-up, TCP and TLS happen here, each bounded
        return connection

    def _on_connect(self, connection: _Connection, flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            connection.refused = f"the broker refuses the connection: {code}"
            if code.value == UNSUPPORTED_VERSION:
                self._protocol = mqtt.MQTTv311
            return
        self._context.keep_session()
        connection.resumed = bool(flags.session_present)
        limit = getattr(properties, "MaximumPacketSize", None)
        if limit is not None:
            connection.packet_max = min(connection.packet_max, limit)
        if self._config.subscriptions:
            # Also on a resumed session: a retained message arrives only on a subscription, and a broker that lost
            # its files may still remember the session's name.
            result, connection.subscribing = connection.client.subscribe(list(self._config.subscriptions))
            if result != mqtt.MQTT_ERR_SUCCESS:
                connection.refused = f"cannot subscribe: {mqtt.error_string(result)}"
        else:
            self._declare_up(connection)

    def _on_subscribe(self, connection: _Connection, mid: int, codes: list[ReasonCode]) -> None:
        if mid != connection.subscribing:
            return
        failed = [str(code) for code in codes if code.is_failure]
        if failed:
            connection.refused = f"the broker refuses the subscription: {', '.join(failed)}"
            return
        self._declare_up(connection)

    def _declare_up(self, connection: _Connection) -> None:
        connection.up_at = time.monotonic()
        with self._lock:
            self._connected = True
        self._events.up(connection.resumed)

    def _on_publish(self, mid: int, code: ReasonCode) -> None:
        done = self._waiting.pop(mid, None)
        self._waiting_since = time.monotonic()
        if done is not None:
            done(Delivery.DENIED if code.is_failure else Delivery.SENT)

    def _on_disconnect(self, connection: _Connection, code: ReasonCode) -> None:
        if not connection.closing and not connection.refused:
            connection.refused = f"disconnected: {code}"
            connection.taken_over = code.value == SESSION_TAKEN_OVER

    def _serve(self, connection: _Connection) -> None:
        client = connection.client
        with select.epoll() as poll:
            poll.register(self._wake, select.EPOLLIN)
            registered = client.socket()
            if registered is None:
                return
            polled = select.EPOLLIN
            poll.register(registered.fileno(), polled)
            while client.socket() is not None and not connection.refused:
                if self._drop:
                    self._drop = False
                    raise Passing("reconnecting as asked")
                if self._stopping.is_set() and not connection.closing and not (connection.up and self._outbox):
                    self._begin_close(connection)
                    continue
                client.flush()
                wanted = select.EPOLLIN | (select.EPOLLOUT if client.has_unsent or client.want_write() else 0)
                if wanted != polled:
                    poll.modify(registered.fileno(), wanted)
                    polled = wanted
                self._wait(connection, poll)
                if connection.up:
                    self._send(connection)

    def _begin_close(self, connection: _Connection) -> None:
        connection.closing = True
        self._context.keep_session()
        if self._protocol == mqtt.MQTTv5:
            connection.client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=DISCONNECT_WITH_WILL))
        else:
            raise Passing("closed without a farewell, so that the broker publishes the will")

    def _wait(self, connection: _Connection, poll: select.epoll) -> None:
        """Sleep until there is something to do, do paho's part of it, and check the deadlines."""
        due = self._next_deadline(connection)
        client = connection.client
        for descriptor, event in poll.poll(max(0.0, due - time.monotonic())):
            if descriptor == self._wake:
                self._clear_wake()
                continue
            if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                connection.received_at, connection.pinged_at = time.monotonic(), None
                self._check(client.loop_read())
                # TLS may hold decrypted bytes that epoll cannot see, and so may the client.
                while isinstance(sock := client.socket(), ssl.SSLSocket) and (client.has_read or sock.pending()):
                    self._check(client.loop_read())
        if client.socket() is not None and client.want_write():
            self._check(client.loop_write())
        if time.monotonic() >= due:
            self._missed(connection)

    def _next_deadline(self, connection: _Connection) -> float:
        if connection.closing:
            return connection.sent_at + self._config.answer_s
        if not connection.up:
            return connection.opened_at + self._config.answer_s
        if connection.pinged_at is not None:
            return connection.pinged_at + self._config.answer_s
        quiet_since = min(connection.received_at, connection.sent_at)
        due = quiet_since + self._config.keepalive_s
        if self._waiting:
            due = min(due, max(connection.received_at, self._waiting_since) + self._config.answer_s)
        return due

    def _missed(self, connection: _Connection) -> None:
        if not connection.up or connection.closing:
            raise Passing(f"no answer to {'DISCONNECT' if connection.closing else 'CONNECT'}")
        if connection.pinged_at is not None:
            raise Passing("no answer to PINGREQ: the link is dead")
        connection.pinged_at = connection.sent_at = time.monotonic()
        connection.client._send_pingreq()  # loop_misc sends it only once its own keepalive has passed

    def _send(self, connection: _Connection) -> None:
        while len(self._waiting) < INFLIGHT_MAX and connection.client.socket() is not None:
            with self._lock:
                if not self._outbox:
                    return
                publication, done = self._outbox.popleft()
            if len(publication.topic) + len(publication.payload) + 32 > connection.packet_max:
                log.error("%d bytes for %s are over the broker's limit", len(publication.payload), publication.topic)
                if done is not None:
                    done(Delivery.DENIED)
                continue
            if not self._waiting:
                self._waiting_since = time.monotonic()
            info = connection.client.publish(
                publication.topic, publication.payload, publication.qos, publication.retain
            )
            connection.sent_at = time.monotonic()
            if publication.qos:
                self._waiting[info.mid] = done
            elif done is not None:
                done(Delivery.SENT if info.rc == mqtt.MQTT_ERR_SUCCESS else Delivery.LOST)

    def _check(self, result: MQTTErrorCode) -> None:
        if result not in (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_AGAIN):
            raise Passing(mqtt.error_string(result))

    def _close(self, connection: _Connection | None, reason: str) -> None:
        with self._lock:
            self._connected = False
            unsent = list(self._outbox)
            self._outbox.clear()
        if connection is not None:
            self._context.keep_session()
            sock = connection.client.socket()
            if sock is not None:
                sock.close()
        waiting, self._waiting = self._waiting, {}
        for done in [*waiting.values(), *(done for _, done in unsent)]:
            if done is not None:
                done(Delivery.LOST)
        self._events.down(reason, taken_over=connection is not None and connection.taken_over)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with select.epoll() as poll:
            poll.register(self._wake, select.EPOLLIN)
            while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
                if poll.poll(left):
                    self._clear_wake()

    def _clear_wake(self) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return  # another turn has already read it
