"""Commands: each obeyed at most once."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.errors import Refused
from broker.messages import Command, Conn, Reply
from device.commands import Commands
from device.replies import Replies
from tests.unit.device.fakes import CONN, NEXT_CONN, FakeClock, Line, Script, nothing, uplink_on


class Desk:
    """Commands with the replies they gave."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = Line()
        self._replies = Replies(uplink_on(self._line), clock=FakeClock())
        self.commands = Commands(path, self._replies)

    def restart(self) -> None:
        self.commands = Commands(self._path, self._replies)

    def take(self, counter: int, *, conn: Conn = CONN, current: Conn | None = CONN) -> str:
        """Return `taken`, or why not."""
        command = Command(id=f"c-{counter}", counter=counter, conn=conn, ttl_s=1, verb="dance")
        try:
            self.commands.take(command, conn=current)
        except Refused as error:
            return f"{error.reason}: {error}"
        return "taken"

    def replied(self) -> list[Reply]:
        self._replies.run(Script([nothing], wake=self._replies.poke))
        return self._line.taken()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "command")


def test_a_verb_that_is_not_known_is_answered_by_name(desk: Desk) -> None:
    assert desk.take(1) == "taken"
    (reply,) = desk.replied()
    assert (reply.id, reply.about, reply.ok, reply.reason, reply.message) == (
        "c-1",
        "command:1",
        False,
        "not_supported",
        "this worker does not know the verb 'dance'",
    )


def test_a_command_is_taken_once(desk: Desk) -> None:
    assert [desk.take(5), desk.take(5), desk.take(4), desk.take(6)] == [
        "taken",
        "stale_command: command counter 5 is not above 5",
        "stale_command: command counter 4 is not above 5",
        "taken",
    ]


def test_a_command_is_not_taken_again_after_a_restart(desk: Desk) -> None:
    desk.take(5)
    desk.restart()
    assert desk.take(5) == "stale_command: command counter 5 is not above 5"


@pytest.mark.parametrize("current", [NEXT_CONN, Conn(boot="1" * 32, count=1), None])
def test_a_command_for_another_connection_is_refused_and_does_not_move_the_counter(
    desk: Desk, current: Conn | None
) -> None:
    assert desk.take(9, current=current) == "expired_command: command c-9 was sent to another connection"
    assert desk.replied() == []
    assert desk.take(1) == "taken"


def test_the_counter_is_durable_before_the_command_is_obeyed(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("device.commands.write_durably", full)
    with pytest.raises(OSError, match="No space left"):
        desk.take(1)
    assert desk.replied() == []


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff"])
def test_a_broken_counter_stops_neither_the_inbox_nor_a_newer_command(
    desk: Desk, tmp_path: Path, content: bytes
) -> None:
    # It once rose as a ValueError with each command, which ended the inbox thread.
    (tmp_path / "command").write_bytes(content)
    assert [desk.take(3), desk.take(3)] == ["taken", "stale_command: command counter 3 is not above 3"]
