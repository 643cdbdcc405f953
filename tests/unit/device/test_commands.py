"""Commands: each obeyed at most once, and answered as often as it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.errors import Refused
from broker.files import StorageUnavailable
from broker.messages import Command, Conn, Reply
from broker.verbs import VERBS
from device.checked_file import CheckedFile
from device.commands import INTERRUPTED, KEPT, Commands
from device.reconcile.requests import LATE, Answer, Prune, Request, Restart, Resync, Start, Stop, Unlock
from device.replies import Replies
from tests.unit.device.fakes import CONN, NEXT_CONN, FakeClock, Line, Script, nothing, uplink_on

APP = "iaaaaaaaaaaa"


class Desk:
    """Commands with what they asked of reconcile, and the replies they gave."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._line = Line()
        self.now_ms = 1_000_000
        self.asked: list[tuple[Request, Answer, Callable[[], bool]]] = []
        self.start()

    def start(self) -> None:
        """Start a worker; what an earlier one knew is on the disk or lost."""
        self._replies = Replies(uplink_on(self._line), clock=FakeClock())
        self.commands = Commands(
            CheckedFile(self._folder / "command"),
            self._replies,
            ask=lambda request, answer, *, is_late: self.asked.append((request, answer, is_late)),
            wake=lambda: None,
            uptime_ms=lambda: self.now_ms,
        )

    def take(
        self,
        counter: int,
        *,
        name: str = "",
        verb: str = "device.resync",
        args: dict[str, Any] | None = None,
        conn: Conn = CONN,
        current: Conn | None = CONN,
        ttl_s: int = 60,
    ) -> str:
        """Return `taken`, or why not."""
        command = Command(
            id=name or f"c-{counter}", counter=counter, conn=conn, ttl_s=ttl_s, verb=verb, args=args or {}
        )
        try:
            self.commands.take(command, conn=current, at_ms=self.now_ms)
        except Refused as error:
            return f"{error.reason}: {error}"
        return "taken"

    def answer(self, ok: bool = True, message: str = "done") -> None:
        self.asked[-1][1](ok, message)
        self.commands.settle()

    def replied(self) -> list[tuple[str, bool, str, str]]:
        self._replies.run(Script([nothing], wake=self._replies.poke))
        replies: list[Reply] = self._line.taken()
        self._replies.held(reply.id for reply in replies)
        assert {reply.about for reply in replies} <= {"command"}
        return [(reply.id, reply.ok, reply.reason, reply.message) for reply in replies]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("verb", "args", "request_"),
    [
        ("app.restart", {"instance": APP}, Restart(APP)),
        ("app.restart", {"instance": APP, "service": "web"}, Restart(APP, "web")),
        ("app.stop", {"instance": APP, "service": "web"}, Stop(APP, "web")),
        ("app.start", {"instance": APP}, Start(APP)),
        ("app.unlock", {"instance": APP}, Unlock(APP)),
        ("device.resync", {}, Resync()),
        ("device.prune", {}, Prune()),
    ],
    ids=str,
)
def test_each_verb_asks_for_one_thing(desk: Desk, verb: str, args: dict[str, Any], request_: Request) -> None:
    assert desk.take(1, verb=verb, args=args) == "taken"
    assert [request for request, _, _ in desk.asked] == [request_]


def test_no_verb_is_left_out_of_the_test_above() -> None:
    assert len(VERBS) == 6


def test_the_reply_is_given_when_the_work_is_done(desk: Desk) -> None:
    desk.take(1)
    assert desk.replied() == []
    desk.answer(True, "3 containers were restarted")
    assert desk.replied() == [("c-1", True, "", "3 containers were restarted")]


def test_what_could_not_be_done_is_told(desk: Desk) -> None:
    desk.take(1)
    desk.answer(False, "there is no such app here")
    assert desk.replied() == [("c-1", False, "failed", "there is no such app here")]


@pytest.mark.parametrize(
    ("verb", "args", "reason"),
    [
        ("dance", {}, "not_supported"),
        ("app.restart", {}, "bad_arguments"),
        ("app.restart", {"instance": "hello"}, "bad_arguments"),
        ("app.restart", {"instance": APP, "gently": True}, "bad_arguments"),
        ("app.unlock", {"instance": APP, "service": "web"}, "bad_arguments"),
        ("device.prune", {"volumes": True}, "bad_arguments"),
    ],
)
def test_what_is_not_understood_is_answered_and_not_done(
    desk: Desk, verb: str, args: dict[str, Any], reason: str
) -> None:
    assert desk.take(1, verb=verb, args=args) == "taken"
    assert desk.asked == []
    ((name, ok, why, message),) = desk.replied()
    assert (name, ok, why) == ("c-1", False, reason)
    assert verb in message


def test_a_command_that_arrives_again_is_not_done_again(desk: Desk) -> None:
    assert [desk.take(5, name="c-a"), desk.take(5, name="c-a"), desk.take(8, name="c-a")] == ["taken"] * 3
    assert len(desk.asked) == 1
    desk.answer()
    assert len(desk.replied()) == 1
    desk.take(9, name="c-a")
    assert desk.replied() == [("c-a", True, "", "done")], "asked again after the answer was held, it is answered again"
    assert len(desk.asked) == 1


def test_a_counter_that_does_not_grow_is_refused(desk: Desk) -> None:
    assert [desk.take(5), desk.take(4), desk.take(5, name="c-x"), desk.take(6)] == [
        "taken",
        "stale_command: command counter 4 is not above 5",
        "stale_command: command counter 5 is not above 5",
        "taken",
    ]
    assert len(desk.asked) == 2


@pytest.mark.parametrize("current", [NEXT_CONN, Conn(boot="1" * 32, count=1), None])
def test_a_command_for_another_connection_is_passed_over_and_does_not_move_the_counter(
    desk: Desk, current: Conn | None
) -> None:
    assert desk.take(9, current=current) == "taken"
    assert (desk.asked, desk.replied()) == ([], [])
    desk.take(1)
    assert len(desk.asked) == 1


def test_what_a_worker_had_begun_when_it_ended_is_told_as_interrupted_and_not_done_again(desk: Desk) -> None:
    desk.take(5, name="c-a")
    desk.start()
    assert desk.take(6, name="c-a", conn=NEXT_CONN, current=NEXT_CONN) == "taken"
    assert len(desk.asked) == 1
    assert desk.replied() == [("c-a", False, "interrupted", INTERRUPTED)]


def test_an_outcome_outlives_the_worker(desk: Desk) -> None:
    desk.take(5, name="c-a")
    desk.answer(True, "done")
    desk.start()
    assert desk.take(5, name="c-b", conn=NEXT_CONN, current=NEXT_CONN).startswith("stale_command")
    desk.take(6, name="c-a", conn=NEXT_CONN, current=NEXT_CONN)
    assert desk.replied() == [("c-a", True, "", "done")]


def test_a_command_whose_time_ran_out_before_it_arrived_or_was_begun_is_expired(desk: Desk) -> None:
    desk.take(1, ttl_s=0)
    assert desk.asked == []
    desk.take(2, ttl_s=60)
    is_late = desk.asked[0][2]
    desk.now_ms += 59_999
    assert not is_late()
    desk.now_ms += 1
    assert is_late()
    desk.answer(False, LATE)
    assert desk.replied() == [("c-1", False, "expired", LATE), ("c-2", False, "expired", LATE)]


def test_a_command_that_cannot_be_remembered_is_not_begun(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageUnavailable("cannot write: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("device.checked_file.write_durably", full)
        with pytest.raises(StorageUnavailable):
            desk.take(1)
    assert (desk.asked, desk.replied()) == ([], [])
    assert desk.take(1) == "taken"
    assert len(desk.asked) == 1


def test_an_outcome_is_told_though_it_cannot_be_remembered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageUnavailable("cannot write: No space left on device")

    desk.take(1)
    monkeypatch.setattr("device.checked_file.write_durably", full)
    desk.answer()
    assert desk.replied() == [("c-1", True, "", "done")]


def test_only_the_newest_commands_are_remembered(desk: Desk) -> None:
    for counter in range(1, KEPT + 3):
        desk.take(counter)
        desk.answer()
    assert desk.take(1) == f"stale_command: command counter 1 is not above {KEPT + 2}"
    assert desk.take(3) == "taken"
    assert len(desk.asked) == KEPT + 2


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"[]", b'{"counter": 5}', b'{"counter": 5, "taken": {"c": {"x": 1}}}']
)
def test_a_record_that_cannot_be_read_stops_no_newer_command(desk: Desk, tmp_path: Path, content: bytes) -> None:
    # A broken one once rose as a ValueError with each command, which ended the inbox thread.
    CheckedFile(tmp_path / "command").write(content)
    assert [desk.take(7), desk.take(7, name="c-x")] == ["taken", "stale_command: command counter 7 is not above 7"]
