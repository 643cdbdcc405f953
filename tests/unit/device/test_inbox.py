"""What becomes of everything that arrives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.channels import COMMAND, DESIRED, STATUS, STREAM_D, SYNC, TRUST
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import Command, Conn, StreamFrame, Sync
from broker.signing import MacKey
from device.checked_file import CheckedFile
from device.commands import Commands
from device.inbox import DEPTH, Handed, Inbox
from device.ledger import Accepted, Ledger
from device.replies import Replies
from device.trust import Trust
from device.uplink import Uplink
from tests.unit.device.fakes import (
    CONN,
    MAC,
    NEXT_CONN,
    ONLINE,
    OTHER,
    PUMP,
    ROOT,
    SPARE,
    FakeClock,
    Line,
    Script,
    desired,
    nothing,
    sealed_desired,
    sealed_down,
    sealed_trust,
    trust_document,
    uplink_on,
)


@dataclass
class Desk:
    """An inbox with its ledger and trust, and what it told, in order."""

    inbox: Inbox
    uplink: Uplink
    replies: Replies
    line: Line
    ledger: Ledger
    told: list[str]

    def get(self, *messages: tuple[str, bytes]) -> list[str]:
        """Let messages come and be worked on, one by one; return what was told meanwhile."""
        for message in messages:
            self.inbox.put(*message)
        self.told.clear()
        self.inbox.run(Script([nothing] * len(messages)))
        return list(self.told)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    line = Line()
    uplink = uplink_on(line)
    replies = Replies(uplink, clock=FakeClock())
    told: list[str] = []

    def accepted(state: Accepted) -> None:
        told.append(f"accepted {state.desired.era}.{state.desired.generation}")

    def refused(channel: str, error: Refused) -> None:
        told.append(f"refused {channel}: {error.reason}")

    ledger = Ledger(CheckedFile(tmp_path / "accepted"), device=PUMP)
    inbox = Inbox(
        device=PUMP,
        mac=MAC,
        trust=Trust(CheckedFile(tmp_path / "trust"), device=PUMP, root=ROOT.public),
        ledger=ledger,
        commands=Commands(
            CheckedFile(tmp_path / "command"),
            replies,
            ask=lambda request, answer, *, is_late: answer(True, "done"),
            wake=lambda: told.append("woken"),
            uptime_ms=lambda: 0,
        ),
        uplink=uplink,
        uptime_ms=lambda: 0,
        accepted=accepted,
        synced=lambda sync: told.append(f"synced {sync.conn.count}.{sync.n}"),
        refused=refused,
        unwritten=lambda error: told.append(f"unwritten {error.rpartition('/')[2]}"),
    )
    return Desk(inbox, uplink, replies, line, ledger, told)


def trust(version: int = 1, era: int = 1) -> tuple[str, bytes]:
    return TRUST.topic(PUMP), sealed_trust(trust_document(version, ONLINE, era=era))


def state(generation: int, era: int = 1) -> tuple[str, bytes]:
    return DESIRED.topic(PUMP), sealed_desired(desired(generation, era=era))


def sync(n: int, *, conn: Conn = CONN, key: MacKey = MAC) -> tuple[str, bytes]:
    return SYNC.topic(PUMP), sealed_down(SYNC, Sync(conn=conn, n=n, store="s", time_ms=1), key=key)


def command(counter: int, *, conn: Conn = CONN) -> tuple[str, bytes]:
    message = Command(id=f"c-{counter}", counter=counter, conn=conn, ttl_s=1, verb="dance")
    return COMMAND.topic(PUMP), sealed_down(COMMAND, message, key=ONLINE)


def handed(desk: Desk, generation: int, *, version: int | None = None) -> list[str]:
    """Hand a state over as a file; return what was told, its answer last."""
    answers: list[object] = []
    document = None if version is None else sealed_trust(trust_document(version, ONLINE))
    assert desk.inbox.hand(Handed(sealed_desired(desired(generation)), document, answers.append))
    desk.told.clear()
    desk.inbox.run(Script([nothing]))
    (answer,) = answers
    return [*desk.told, getattr(answer, "reason", str(answer))]


def test_what_comes_as_a_file_is_taken_by_the_rules_of_the_link(desk: Desk) -> None:
    assert handed(desk, 3) == ["unknown_key"]
    assert handed(desk, 3, version=2) == ["accepted 1.3", "None"]
    assert handed(desk, 3, version=2) == ["None"]
    assert handed(desk, 2) == ["stale_generation"]
    assert handed(desk, 4, version=1) == ["accepted 1.4", "None"]  # trust that is older than what the link brought


def test_a_full_queue_takes_no_file(desk: Desk) -> None:
    for _ in range(DEPTH):
        desk.inbox.poke()
    assert not desk.inbox.hand(Handed(b"", None, lambda error: None))


def test_each_message_gets_to_where_it_belongs(desk: Desk) -> None:
    assert desk.get(trust(), state(1), sync(1), command(1)) == ["accepted 1.1", "synced 1.1"]
    desk.replies.run(Script([nothing], wake=desk.replies.poke))
    (reply,) = desk.line.taken()
    assert (reply.id, reply.about, reply.ok, reply.reason) == ("c-1", "command", False, "not_supported")


def test_what_is_refused_is_told_with_its_channel_and_the_next_one_is_worked_on(desk: Desk) -> None:
    garbage = (DESIRED.topic(PUMP), b"garbage")
    assert desk.get(trust(), garbage, state(1), (SYNC.topic(PUMP), b"x" * 40), sync(1)) == [
        "refused desired: malformed",
        "accepted 1.1",
        "refused sync: unknown_version",
        "synced 1.1",
    ]


def test_a_state_from_an_untrusted_key_waits_and_is_taken_once_trust_changes(desk: Desk) -> None:
    assert desk.get(state(5)) == ["refused desired: unknown_key"]
    assert desk.get(trust()) == ["accepted 1.5"]
    assert desk.get(trust(version=2)) == []


def test_a_state_of_an_era_that_trust_will_begin_waits_for_it(desk: Desk) -> None:
    assert desk.get(trust(), state(5, era=2)) == ["refused desired: unknown_era"]
    assert desk.get(trust(version=2, era=2)) == ["accepted 2.5"]


def test_trust_that_is_no_news_or_refused_does_not_try_again(desk: Desk) -> None:
    desk.get(trust())
    unknown = (DESIRED.topic(PUMP), sealed_desired(desired(5), signer=SPARE))
    assert desk.get(unknown, trust()) == ["refused desired: unknown_key"]
    wrong = (TRUST.topic(PUMP), sealed_trust(trust_document(2, SPARE), signer=SPARE))
    assert desk.get(wrong) == ["refused trust: unknown_key"]


def test_a_state_whose_signature_is_wrong_is_not_kept_for_later(desk: Desk) -> None:
    desk.get(trust())
    topic, sealed = state(5)
    assert desk.get((topic, sealed[:-1] + b"\xff")) == ["refused desired: bad_signature"]
    assert desk.get(trust(version=2)) == []


def test_a_disk_that_takes_nothing_is_told_and_the_next_message_is_worked_on(desk: Desk, tmp_path: Path) -> None:
    desk.get(trust())
    (tmp_path / "accepted").mkdir()
    assert desk.get(state(5), sync(1)) == ["unwritten accepted: Is a directory", "synced 1.1"]
    (tmp_path / "accepted").rmdir()
    assert desk.get(state(5)) == ["accepted 1.5"]


def test_a_stale_state_is_refused_and_the_held_one_stays(desk: Desk) -> None:
    desk.get(trust(), state(5))
    assert desk.get(state(4), state(5)) == ["refused desired: stale_generation"]
    assert desk.ledger.accepted is not None
    assert desk.ledger.accepted.generation.order == (1, 5)


def test_a_sync_that_is_not_newer_than_the_last_is_ignored(desk: Desk) -> None:
    assert desk.get(sync(2), sync(1), sync(2), sync(3)) == ["synced 1.2", "synced 1.3"]


def test_a_sync_for_another_connection_is_late_and_not_wrong(desk: Desk) -> None:
    assert desk.get(sync(9, conn=NEXT_CONN)) == []
    desk.uplink.open(NEXT_CONN)
    assert desk.get(sync(9), sync(1, conn=NEXT_CONN)) == ["synced 2.1"]


def test_a_sync_under_another_devices_key_is_refused(desk: Desk) -> None:
    assert desk.get(sync(1, key=MacKey(b"other" * 8))) == ["refused sync: unknown_key"]


def test_an_empty_payload_means_nothing(desk: Desk) -> None:
    assert desk.get((DESIRED.topic(PUMP), b""), (TRUST.topic(PUMP), b""), ("no topic", b"")) == []


def test_what_is_for_others_or_goes_the_other_way_is_refused(desk: Desk) -> None:
    def foreign(device: DeviceRef) -> tuple[str, bytes]:
        return DESIRED.topic(device), b"x"

    frame = sealed_down(STREAM_D, StreamFrame(session="s", seq=1))
    assert desk.get(foreign(OTHER), (STATUS.topic(PUMP), b"x"), (STREAM_D.topic(PUMP), frame)) == [
        "refused desired: foreign",
        "refused status: unknown_topic",
        "refused stream: not_supported",
    ]


def test_a_broker_that_makes_up_topics_does_not_make_up_kinds_of_refusals(desk: Desk) -> None:
    # Each kind becomes a condition of the status, which once grew until it fitted no message any more.
    base = DESIRED.topic(PUMP).removesuffix("desired")
    assert desk.get(*((f"{base}{name}", b"x") for name in ("a", "b", "c"))) == ["refused unknown: unknown_topic"] * 3


def test_an_old_command_is_refused_and_one_of_another_connection_or_that_comes_again_is_passed_over(desk: Desk) -> None:
    desk.get(trust())
    assert desk.get(command(2), command(2), command(1), command(3, conn=NEXT_CONN)) == [
        "refused command: stale_command"
    ]


def test_a_command_by_another_key_than_the_command_key_is_refused(desk: Desk) -> None:
    desk.get(trust())
    message = Command(id="c-1", counter=1, conn=CONN, ttl_s=1, verb="device.prune")
    assert desk.get((COMMAND.topic(PUMP), sealed_down(COMMAND, message, key=SPARE))) == ["refused command: unknown_key"]


def test_an_answer_that_comes_later_is_told_as_soon_as_the_inbox_is_woken(desk: Desk) -> None:
    desk.get(trust())
    message = Command(id="c-1", counter=1, conn=CONN, ttl_s=1, verb="device.prune")
    assert desk.get((COMMAND.topic(PUMP), sealed_down(COMMAND, message, key=ONLINE))) == ["woken"]
    desk.inbox.poke()
    desk.inbox.run(Script([nothing]))
    desk.replies.run(Script([nothing], wake=desk.replies.poke))
    (reply,) = desk.line.taken()
    assert (reply.id, reply.ok, reply.message) == ("c-1", True, "done")


def test_a_full_inbox_drops_the_newest_and_counts_them(desk: Desk) -> None:
    for _ in range(DEPTH + 3):
        desk.inbox.put("topic", b"")
    assert desk.inbox.dropped == 3


def test_a_poke_ends_it(desk: Desk) -> None:
    desk.inbox.poke()
    desk.inbox.run(Script([nothing]))
