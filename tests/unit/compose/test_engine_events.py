"""What is read out of an engine's events."""

from __future__ import annotations

import pytest

from compose.engine_events import Events, is_unauthorized, is_unreachable


def test_bytes_add_up_over_layers() -> None:
    events = Events()
    events.take({"status": "Pushing", "id": "a", "progressDetail": {"current": 10, "total": 100}})
    events.take({"status": "Pushing", "id": "b", "progressDetail": {"current": 5, "total": 50}})
    assert (events.done_bytes, events.total_bytes) == (15, 150)
    events.take({"status": "Pushed", "id": "a"})
    assert (events.done_bytes, events.total_bytes) == (105, 150)


def test_extracting_does_not_count_again() -> None:
    events = Events()
    events.take({"status": "Downloading", "id": "a", "progressDetail": {"current": 100, "total": 100}})
    assert not events.take({"status": "Extracting", "id": "a", "progressDetail": {"current": 1, "total": 100}})
    assert events.done_bytes == 100


def test_a_failed_step_keeps_its_last_lines() -> None:
    events = Events()
    for text in ("Step 1/2 : FROM x\n", "early\n", "Step 2/2 : RUN make\n", " ---> Running in 1\n", "one\ntwo\n"):
        events.take({"stream": text})
    events.take({"error": "code: 2", "errorDetail": {"message": "code: 2"}})
    assert (events.step, list(events.lines), events.error) == ("Step 2/2 : RUN make", ["one", "two"], "code: 2")


def test_results_are_kept() -> None:
    events = Events()
    events.take({"aux": {"ID": "sha256:1"}})
    events.take({"aux": {"Tag": "t", "Digest": "sha256:2", "Size": 3}})
    assert (events.image_id, events.digest) == ("sha256:1", "sha256:2")


@pytest.mark.parametrize(
    "message", ["unauthorized: authentication required", "denied: requested access to the resource is denied"]
)
def test_a_failure_of_rights_is_known(message: str) -> None:
    assert is_unauthorized(message)


@pytest.mark.parametrize(
    "message", ["dial tcp 127.0.0.1:1: connect: connection refused", "x509: certificate signed by"]
)
def test_a_failure_of_the_way_is_known(message: str) -> None:
    assert is_unreachable(message)
