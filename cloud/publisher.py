"""The publisher: copies sealed envelopes from the store to the broker. One thread, one MQTT session, pipelined.

It sends what was never sent; all of it again whenever the broker is there anew, because a broker may have lost its
files; and one device's again when that device shows that it has accepted something else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from broker.channels import DESIRED, TRUST
from broker.clock import Clock
from broker.errors import Passing
from broker.ids import DeviceRef
from broker.transport import Delivery, Publication, Transport
from cloud.resend import Resend
from cloud.store import desired, devices, presence
from cloud.store.database import Database
from cloud.store.desired import Due

log = logging.getLogger(__name__)

WINDOW = 200  # publications on their way: below what the session's outbox takes
PAGE = 200
RETRY_S = 0.5


@dataclass
class _Flight:
    """Publications handed to the session: how many have no answer yet, which were sent, whether one was not."""

    waiting: int = 0
    failed: bool = False

    def __post_init__(self) -> None:
        self.sent: list[Due] = []


class Publisher:
    """`transport` is given after construction, because its events are this object's methods. `also_up` is told as well
    when it is connected.
    """

    def __init__(self, database: Database, *, clock: Clock, also_up: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._clock = clock
        self._also_up = also_up
        self._transport: Transport | None = None
        self._changed = threading.Condition()
        self._work = True
        self._broker_is_new = False
        self._trust_due: list[DeviceRef] = []
        self._resend = Resend()

    def attach(self, transport: Transport) -> None:
        self._transport = transport

    # --- any thread

    def wake(self) -> None:
        """Tell that there may be something unsent."""
        with self._changed:
            self._work = True
            self._changed.notify_all()

    def enrolled(self, device: DeviceRef) -> None:
        """Tell of a device whose trust document the broker does not have yet."""
        with self._changed:
            self._trust_due.append(device)
            self._work = True
            self._changed.notify_all()

    def nudge(self, device: DeviceRef) -> None:
        """Tell that a device has accepted another desired state than the newest: send it again, if that stays so."""
        with self._changed:
            self._resend.want(device, now_s=self._clock.monotonic())
            self._changed.notify_all()

    # --- the session's events

    def opening(self) -> Publication | None:
        return None

    def up(self, resumed: bool) -> None:
        with self._changed:
            self._broker_is_new = self._work = True
            self._changed.notify_all()
        self._also_up()

    def down(self, reason: str, *, taken_over: bool = False) -> None:
        log.warning("publisher: %s", reason)

    def message(self, topic: str, payload: bytes) -> None:
        """Nothing is subscribed."""

    # --- its own thread

    def run(self, stopping: threading.Event) -> None:
        """Publish until `stopping`; wake it to end."""
        while not stopping.is_set():
            with self._changed:
                if not self._work and not self._broker_is_new:
                    self._changed.wait(self._resend.due_in_s(now_s=self._clock.monotonic()))
                work, anew = self._work, self._broker_is_new
                self._work = self._broker_is_new = False
                trust_due, self._trust_due = self._trust_due, []
                again = self._resend.due(now_s=self._clock.monotonic())
            try:
                done = self._turn(stopping, work=work, anew=anew, trust_due=trust_due, again=again)
            except Passing as error:
                log.warning("publisher: %s", error)
                done = False
            if not done:
                with self._changed:
                    self._work, self._broker_is_new = True, self._broker_is_new or anew
                    self._trust_due += trust_due
                stopping.wait(RETRY_S)

    def _turn(
        self,
        stopping: threading.Event,
        *,
        work: bool,
        anew: bool,
        trust_due: list[DeviceRef],
        again: Iterable[DeviceRef],
    ) -> bool:
        """Do what is due; return whether all of it left."""
        if self._transport is None or not self._transport.connected:
            return not work and not anew
        done = True
        if anew:
            done = self._send_everything(stopping)
        elif trust_due:
            done = self._send_trust(stopping, trust_due)
        if work and done:
            done = self._send_unsent(stopping)
        for device in again:
            self._send_again(stopping, device)
        return done

    def _send_everything(self, stopping: threading.Event) -> bool:
        with self._database.read() as tx:
            trust = [
                Publication(TRUST.topic(ref), sealed, TRUST.qos, TRUST.retain) for ref, sealed in devices.all_trust(tx)
            ]
        flight = _Flight()
        for publication in trust:
            self._publish(stopping, flight, publication)
        after = ""
        while not stopping.is_set() and not flight.failed:
            with self._database.read() as tx:
                page = desired.after(tx, after, PAGE)
            if not page:
                break
            after = page[-1].ref.device
            for due in page:
                self._publish(stopping, flight, _publication(due), due)
        return self._land(stopping, flight)

    def _send_trust(self, stopping: threading.Event, due: list[DeviceRef]) -> bool:
        flight = _Flight()
        with self._database.read() as tx:
            found = [devices.get(tx, ref.org, ref.device) for ref in due]
        for device in found:
            if device is not None:
                self._publish(stopping, flight, _trust(device.ref, device.trust))
        return self._land(stopping, flight)

    def _send_unsent(self, stopping: threading.Event) -> bool:
        """Send until nothing newer is left: what was allocated while we sent is found by the next look."""
        while not stopping.is_set():
            with self._database.read() as tx:
                page = desired.unsent(tx, PAGE)
            if not page:
                return True
            flight = _Flight()
            for due in page:
                self._publish(stopping, flight, _publication(due), due)
            if not self._land(stopping, flight):
                return False
        return False

    def _send_again(self, stopping: threading.Event, device: DeviceRef) -> None:
        with self._database.read() as tx:
            due = desired.of_device(tx, device.device)
            accepted = presence.get(tx, device.device).accepted
        if due is None or (accepted is not None and accepted.order >= (due.era, due.generation)):
            with self._changed:
                self._resend.settled(device)
            return
        log.info("sending generation %d.%d to %s again", due.era, due.generation, device)
        flight = _Flight()
        self._publish(stopping, flight, _publication(due), due)
        self._land(stopping, flight)

    def _publish(
        self, stopping: threading.Event, flight: _Flight, publication: Publication, due: Due | None = None
    ) -> None:
        assert self._transport is not None

        def done(delivery: Delivery) -> None:
            with self._changed:
                flight.waiting -= 1
                if delivery is not Delivery.SENT:
                    flight.failed = True
                elif due is not None:
                    flight.sent.append(due)
                self._changed.notify_all()

        with self._changed:
            self._changed.wait_for(lambda: flight.waiting < WINDOW or stopping.is_set(), timeout=30.0)
            flight.waiting += 1
        if flight.failed or not self._transport.publish(publication, done):
            with self._changed:
                flight.waiting -= 1
                flight.failed = True

    def _land(self, stopping: threading.Event, flight: _Flight) -> bool:
        """Wait for the answers, mark what was sent; return whether all was."""
        with self._changed:
            self._changed.wait_for(lambda: flight.waiting == 0 or stopping.is_set(), timeout=30.0)
            sent, complete = list(flight.sent), not flight.failed and flight.waiting == 0
        if sent:
            with self._database.write() as tx:
                desired.mark_sent(tx, sent, now_ms=self._clock.wall_ms())
        return complete


def _publication(due: Due) -> Publication:
    return Publication(DESIRED.topic(due.ref), due.envelope, DESIRED.qos, DESIRED.retain)


def _trust(ref: DeviceRef, sealed: bytes) -> Publication:
    return Publication(TRUST.topic(ref), sealed, TRUST.qos, TRUST.retain)
