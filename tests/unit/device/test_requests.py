"""Requests: handed over from any thread, answered once."""

from __future__ import annotations

from device.reconcile.requests import LATE, WAITING_MAX, Prune, Requests, Resync, Stop


def test_a_request_wakes_the_reader_and_is_taken_once_in_order() -> None:
    woken: list[str] = []
    requests = Requests(lambda: woken.append("woken"))
    requests.ask(Stop("iaaaaaaaaaaa"), lambda ok, message: None)
    requests.ask(Resync(), lambda ok, message: None)
    assert woken == ["woken", "woken"]
    assert [request for request, _ in requests.taken()] == [Stop("iaaaaaaaaaaa"), Resync()]
    assert list(requests.taken()) == []


def test_one_request_too_many_is_answered_at_once_and_not_kept() -> None:
    requests = Requests(lambda: None)
    answers: list[tuple[bool, str]] = []
    for _ in range(WAITING_MAX + 1):
        requests.ask(Prune(), lambda ok, message: answers.append((ok, message)))
    assert answers == [(False, f"{WAITING_MAX} requests are waiting; ask again later")]
    assert len(list(requests.taken())) == WAITING_MAX


def test_a_request_that_is_late_when_its_turn_comes_is_answered_and_not_begun() -> None:
    late = False
    requests, answers = Requests(lambda: None), list[tuple[bool, str]]()
    requests.ask(Prune(), lambda ok, message: answers.append((ok, message)), is_late=lambda: late)
    requests.ask(Resync(), lambda ok, message: None)
    late = True
    assert [request for request, _ in requests.taken()] == [Resync()]
    assert answers == [(False, LATE)]
