"""Commands in the cloud, over SQLite: made, kept, sent, sent again, answered, expired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from broker.channels import COMMAND, PRESENCE, REPLY, match
from broker.codec import open_sealed
from broker.errors import Refused
from broker.messages import Birth, Command, Conn, Reply, Will
from broker.signing import Signatures
from cloud import commanding
from cloud.commanding import OPEN_MAX, Ask
from cloud.courier import UNREACHED, Courier
from cloud.live import Feed
from cloud.store import commands, devices, schema
from tests.contract.test_cloud_publisher import Broker
from tests.contract.test_cloud_store import KEYS, Cloud, Device

pytestmark = pytest.mark.usefixtures("database_kind")

MINUTE_S = 60


class Sea:
    """A cloud with one device, the courier, and a broker that only remembers."""

    def __init__(self, path: Path) -> None:
        self.cloud = Cloud(path)
        self.device = Device(self.cloud, self.cloud.enroll(self.cloud.found()))
        self.broker = Broker()
        self.restart()

    def restart(self) -> None:
        """Make the courier anew, as a restart of the cloud does."""
        self.courier = Courier(self.cloud.database, signer=KEYS.command, feed=Feed(first_id=0), clock=self.cloud.clock)
        self.courier.attach(self.broker)

    def ask(self, verb: str = "device.resync", *, wait_for_s: int = MINUTE_S, app: str | None = None) -> str:
        ref = self.device.ref
        ask = Ask(ref.org, "ann", verb, app, None, wait_for_s, 30)
        with self.cloud.database.write() as tx:
            to = devices.get(tx, ref.org, ref.device)
            assert to is not None
            return commanding.order(tx, ask, [to], now_ms=self.cloud.clock.wall_ms())[0].command

    def turn(self) -> list[Command]:
        """Let the courier do what is due; return what went out, believed as a device believes it."""
        self.broker.published.clear()
        while self.courier.turn() == 0.0:
            continue
        trusted = Signatures((KEYS.command.public,))
        assert all(match(item.topic) == (COMMAND, self.device.ref) for item in self.broker.published)
        return [open_sealed(COMMAND, self.device.ref, item.payload, trusted).message for item in self.broker.published]

    def come(self) -> None:
        """Connect anew."""
        self.device.conn = Conn(boot=self.device.conn.boot, count=self.device.conn.count + 1)
        self.device.send(PRESENCE, self.device.birth())

    def go(self) -> None:
        self.cloud.worker.work([self.device.sealed(PRESENCE, Will(conn=self.device.conn))])

    def reply(self, command: str, *, ok: bool = True, reason: str = "", device: Device | None = None) -> None:
        device = device or self.device
        message = Reply(conn=device.conn, n=9, id=command, about="command", ok=ok, reason=reason, message="so it was")
        sync = device.send(REPLY, message)
        assert sync.replies == (command,)

    def state(self, command: str) -> str:
        with self.cloud.database.read() as tx:
            found = commands.get(tx, self.device.ref.org, command)
        assert found is not None
        return " ".join(filter(None, (found.state, found.reason)))

    def later(self, seconds: float) -> None:
        self.cloud.clock.now_ms += int(seconds * 1000)


@pytest.fixture
def sea(tmp_path: Path) -> Any:
    made = Sea(tmp_path / "db")
    yield made
    made.cloud.database.close()


def test_a_command_for_a_device_that_is_there_goes_out_at_once_for_its_connection(sea: Sea) -> None:
    sea.come()
    name = sea.ask("device.prune")
    (sent,) = sea.turn()
    assert (sent.id, sent.conn, sent.verb, sent.args, sent.ttl_s) == (name, sea.device.conn, "device.prune", {}, 30)
    assert sea.state(name) == "sent"
    sea.reply(name)
    assert sea.state(name) == "done"
    assert sea.courier.turn() is None, "nothing is under way any more"


def test_a_command_for_an_absent_device_waits_for_it(sea: Sea) -> None:
    name = sea.ask(wait_for_s=7200)
    assert sea.turn() == []
    sea.later(7000)
    assert sea.turn() == []
    sea.come()
    assert [one.id for one in sea.turn()] == [name]


def test_a_device_that_does_not_come_in_time_never_gets_the_command(sea: Sea) -> None:
    name = sea.ask(wait_for_s=MINUTE_S)
    sea.later(MINUTE_S)
    assert sea.turn() == []
    assert sea.state(name) == "expired unreached"
    sea.come()
    assert sea.turn() == []


def test_a_device_that_comes_at_the_moment_its_time_is_over_does_not_get_it(sea: Sea) -> None:
    name = sea.ask(wait_for_s=MINUTE_S)
    sea.later(MINUTE_S)
    sea.come()
    assert sea.turn() == []
    assert sea.state(name) == "expired unreached"


def test_an_unanswered_command_is_sent_again_under_a_new_number_ever_more_rarely(sea: Sea) -> None:
    sea.come()
    sea.ask(wait_for_s=3600)
    counters, waits = [sea.turn()[0].counter], []
    for _ in range(6):
        waited = 0
        while not (again := sea.turn()):
            sea.later(1)
            waited += 1
        counters.append(again[0].counter)
        waits.append(waited)
    assert waits == [3, 6, 12, 24, 48, 60]
    assert counters == sorted(set(counters))


def test_a_new_connection_gets_an_unanswered_command_at_once(sea: Sea) -> None:
    sea.come()
    name = sea.ask(wait_for_s=3600)
    (first,) = sea.turn()
    sea.go()
    sea.later(2)
    assert sea.turn() == []
    sea.come()
    (second,) = sea.turn()
    assert (second.id, second.conn) == (name, sea.device.conn)
    assert second.counter > first.counter


def test_what_was_sent_and_not_answered_in_time_is_only_asked_after(sea: Sea) -> None:
    # It may have been done: so it does not expire by our clock, and nothing with a TTL of 0 is ever begun.
    sea.come()
    name = sea.ask(wait_for_s=MINUTE_S)
    sea.turn()
    sea.go()
    sea.later(MINUTE_S)
    sea.turn()
    assert sea.state(name) == "sent"
    sea.come()
    (again,) = sea.turn()
    assert (again.id, again.ttl_s) == (name, 0)
    sea.reply(name, ok=False, reason="expired")
    assert sea.state(name) == "expired expired"


def test_a_restart_of_the_cloud_loses_no_command_and_uses_no_number_twice(sea: Sea) -> None:
    waiting = sea.ask(wait_for_s=3600)
    sea.restart()
    sea.come()
    (first,) = sea.turn()
    sea.restart()
    assert sea.turn() == [], "it was sent a moment ago"
    sea.later(3)
    (second,) = sea.turn()
    assert (first.id, second.id) == (waiting, waiting)
    assert second.counter > first.counter


def test_what_is_lost_on_the_way_to_the_broker_is_sent_again(sea: Sea) -> None:
    sea.come()
    name = sea.ask(wait_for_s=3600)
    sea.broker.lost = 1
    assert sea.turn() == []
    sea.later(3)
    assert [one.id for one in sea.turn()] == [name]


def test_nothing_is_marked_as_sent_while_there_is_no_broker(sea: Sea) -> None:
    sea.come()
    name = sea.ask(wait_for_s=3600)
    sea.broker.connected = False
    assert sea.turn() == []
    assert sea.state(name) == "waiting"
    sea.broker.connected = True
    assert len(sea.turn()) == 1


def test_commands_for_one_app_go_out_in_their_order_and_what_lifts_a_lock_at_once(sea: Sea) -> None:
    sea.cloud.deploy(sea.device.ref)
    sea.come()
    stop, start = sea.ask("app.stop", app="web"), sea.ask("app.start", app="web")
    unlock, resync = sea.ask("app.unlock", app="web"), sea.ask()
    assert [one.id for one in sea.turn()] == [stop, unlock, resync]
    sea.reply(stop)
    assert [one.id for one in sea.turn()] == [start]


def test_a_contested_device_gets_no_command(sea: Sea) -> None:
    sea.come()
    sea.device.send(PRESENCE, Birth(conn=Conn(boot="b" * 32, count=1), n=1, instance="x", worker="w"))
    sea.come()
    name = sea.ask()
    assert sea.turn() == []
    sea.later(MINUTE_S)
    sea.turn()
    assert sea.state(name) == "expired unreached"


def test_a_reply_of_another_device_or_a_second_one_changes_nothing(sea: Sea) -> None:
    other = Device(sea.cloud, sea.cloud.enroll(sea.device.ref.org))
    sea.come()
    name = sea.ask()
    sea.turn()
    sea.reply(name, device=other)
    assert sea.state(name) == "sent"
    sea.reply(name, ok=False, reason="failed")
    sea.reply(name)
    assert sea.state(name) == "failed failed"


def test_a_number_is_above_every_earlier_one_also_after_a_restore(sea: Sea) -> None:
    sea.come()
    sea.ask()
    (sent,) = sea.turn()
    sea.reply(sent.id)
    with sea.cloud.database.write() as tx:
        tx.execute(update(schema.commands).values(counter=None))
    sea.later(1)
    sea.ask()
    assert sea.turn()[0].counter > sent.counter


def test_an_outbox_is_bounded(sea: Sea) -> None:
    for _ in range(OPEN_MAX):
        sea.ask()
    with pytest.raises(Refused, match="are open already"):
        sea.ask()


def test_an_app_that_is_not_deployed_there_is_refused(sea: Sea) -> None:
    with pytest.raises(Refused, match="there is no app"):
        sea.ask("app.stop", app="web")


def test_old_commands_are_forgotten_but_the_newest_of_each_device(sea: Sea) -> None:
    for _ in range(5):
        sea.ask(wait_for_s=1)
        sea.later(1)
        sea.turn()
    kept = sea.ask()
    with sea.cloud.database.write() as tx:
        commands.forget(tx, created_before_ms=sea.cloud.clock.wall_ms() + 1, device_keeps=2)
        left = tx.execute(select(func.count()).select_from(schema.commands)).scalar()
    assert left == 2
    assert sea.state(kept) == "waiting"


def test_a_command_that_is_over_is_told_with_a_sentence(sea: Sea) -> None:
    name = sea.ask(wait_for_s=1)
    sea.later(1)
    sea.turn()
    with sea.cloud.database.read() as tx:
        found = commands.get(tx, sea.device.ref.org, name)
    assert found is not None
    assert found.message == UNREACHED
