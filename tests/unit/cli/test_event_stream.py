"""Lines to events, and a stream that goes on over dropped connections."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import httpx
import pytest

from broker.errors import Passing, Refused
from cloud.cli.client import Client
from cloud.cli.event_stream import DATA_CHARS_MAX, Event, Reader, follow
from tests.unit.cli.cloud import lines_of


def read(text: str) -> list[Event]:
    reader = Reader()
    return [event for line in text.split("\n") if (event := reader.take(line))]


def test_an_event_has_type_id_and_data() -> None:
    assert read('event: device\nid: 7\ndata: {"a": 1}\n\n') == [Event("device", '{"a": 1}', "7")]


def test_comments_and_unknown_fields_are_nothing() -> None:
    assert read(": ping\n\nretry: 5\nfoo: bar\nfoo\n\n") == []


def test_data_lines_are_joined() -> None:
    assert read("data: a\ndata:b\ndata:\n\n") == [Event("message", "a\nb\n")]


def test_an_id_holds_for_later_events() -> None:
    assert [event.id for event in read("id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n")] == ["1", "1", ""]


def test_the_end_in_the_middle_of_an_event_is_no_event() -> None:
    assert read("event: device\ndata: {}") == []


def test_an_event_without_an_end_does_not_fill_the_memory() -> None:
    reader = Reader()
    for _ in range(5):
        reader.take("data: " + "x" * DATA_CHARS_MAX)
    assert sum(len(part) for part in reader._data) <= DATA_CHARS_MAX
    assert reader.take("") is None
    reader.take("data: y")
    assert reader.take("") == Event("message", "y")


def test_data_that_is_no_json_object_is_an_empty_document() -> None:
    assert Event("x", "nonsense").document() == Event("x", "[1]").document() == {}


def client(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("https://cloud:1", token="t0", transport=httpx.MockTransport(answer))


def test_after_a_drop_it_goes_on_after_the_last_event() -> None:
    asked: list[tuple[str | None, str | None]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.headers.get("last-event-id"), request.url.params.get("since")))
        if len(asked) == 2:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, text="".join(lines_of([("device", len(asked) * 10, {"n": len(asked)})])))

    pauses: list[float] = []
    lost: list[str] = []
    events = itertools.islice(follow(client(answer), pause=pauses.append, lost=lost.append), 2)
    assert [event.document() for event in events] == [{"n": 1}, {"n": 3}]
    assert asked == [(None, None), ("10", "10"), ("10", "10")]
    assert lost == ["the cloud ended the stream"]  # told once for one outage
    assert len(pauses) == 2


def test_a_cloud_that_does_not_answer_at_first_is_an_error() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Passing, match="no answer from https://cloud:1"):
        next(follow(client(answer), pause=lambda _: None, lost=lambda _: None))


def test_a_login_that_is_over_ends_it() -> None:
    answers = [
        httpx.Response(200, text="data: {}\n\n"),
        httpx.Response(401, json={"error": {"reason": "not_logged_in", "message": "over", "hint": None}}),
    ]
    events = follow(client(lambda _: answers.pop(0)), pause=lambda _: None, lost=lambda _: None)
    assert next(events).data == "{}"
    with pytest.raises(Refused, match="over"):
        next(events)
