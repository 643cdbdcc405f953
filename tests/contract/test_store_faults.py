"""A store that comes back damaged, empty or not at all: it is said, named as a gap, and telemetry goes on."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.messages import StreamHeld
from device.telemetry.redis_files import FAILED_STARTS
from device.telemetry.servers import WORKER_USER
from tests.harness.servers import wait_until
from tests.harness.telemetry import OTHER_STREAM, STREAM, Bench


def incremental(folder: Path) -> Path:
    return max(folder.glob("*.incr.aof"))


def zeros_in_the_middle(folder: Path) -> None:
    content = incremental(folder).read_bytes()
    with incremental(folder).open("r+b") as file:
        file.seek(content.index(b"\n*", len(content) // 2))  # a command; inside of a value they would be its content
        file.write(bytes(64))


def an_unknown_command(folder: Path) -> None:
    content = incremental(folder).read_bytes()
    incremental(folder).write_bytes(content.replace(b"\nXADD\r", b"\nXADE\r", 1))


def a_broken_list_of_files(folder: Path) -> None:
    next(folder.glob("*.manifest")).write_bytes(bytes(80))


def a_missing_file(folder: Path) -> None:
    incremental(folder).unlink()


def fill(bench: Bench) -> None:
    """Three batches of two samples, the first of them acked."""
    for n in range(0, 6, 2):
        bench.write(range(n, n + 2))
        bench.move()
    bench.buffer.note_sent(bench.place(), 6)
    bench.buffer.apply_held(StreamHeld(stream=STREAM, epoch=bench.place().epoch, contiguous=2))


@pytest.mark.parametrize("harm", [zeros_in_the_middle, an_unknown_command, a_broken_list_of_files, a_missing_file])
def test_a_store_that_does_not_start_with_its_files_begins_anew_and_says_so(
    bench: Bench, harm: Callable[[Path], None]
) -> None:
    fill(bench)
    lost = bench.place()
    bench.store_server.child.stop()
    harm(bench.paths.telemetry / "store")
    bench.start_store()
    assert bench.store_server.trouble[0] == "damaged"
    assert (bench.paths.telemetry / "store.broken-1").is_dir()
    bench.write(range(6, 8))
    bench.move()
    assert bench.numbers() == ["6", "7"]
    assert bench.gaps() == [(1, 6, "store_lost")]  # what the cloud holds of them stands: stored wins over a gap
    assert bench.place() != lost
    assert lost in [extent.place for extent in bench.buffer.extents()]


def test_a_store_whose_files_are_gone_names_what_it_had(bench: Bench) -> None:
    fill(bench)
    bench.write(range(3), OTHER_STREAM)
    bench.move(OTHER_STREAM)
    bench.store_server.child.stop()
    shutil.rmtree(bench.paths.telemetry / "store")
    bench.start_store()
    bench.write(range(6, 7))
    bench.move()
    assert bench.gaps() == [(1, 6, "store_lost")]
    assert bench.gaps(OTHER_STREAM) == [(1, 3, "store_lost")]
    assert bench.numbers() == ["6"]


def test_a_store_that_lost_its_tail_names_the_tail_alone(bench: Bench) -> None:
    bench.write(range(2))
    bench.move()
    place = bench.place()
    kept = incremental(bench.paths.telemetry / "store").stat().st_size
    bench.write(range(2, 5))
    bench.move()
    bench.store_server.child.stop()
    os.truncate(incremental(bench.paths.telemetry / "store"), kept + 40)  # Redis cuts off the torn end by itself
    bench.start_store()
    bench.write(range(5, 6))
    bench.move()
    assert bench.gaps() == [(3, 5, "store_lost")]
    assert bench.numbers() == ["0", "1", "5"]
    old = next(extent for extent in bench.buffer.extents() if extent.place == place)
    assert (old.last, old.trimmed) == (5, 0)


def test_a_gap_of_a_lost_store_is_trimmed_like_any_batch_and_told_once(bench: Bench) -> None:
    fill(bench)
    place = bench.place()
    bench.store_server.child.stop()
    shutil.rmtree(bench.paths.telemetry / "store")
    bench.start_store()
    bench.buffer.name_losses()
    bench.buffer.note_sent(place, 6)
    assert bench.buffer.apply_held(StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=6)) == 1
    bench.store_server.child.stop()
    bench.start_store()
    bench.buffer.name_losses()
    assert bench.gaps() == []
    assert bench.intake.hash("marks") == {}


def test_a_store_that_was_only_stopped_loses_and_names_nothing(bench: Bench) -> None:
    fill(bench)
    bench.store_server.child.stop()
    bench.start_store()
    bench.write(range(6, 7))
    bench.move()
    assert (bench.numbers(), bench.gaps()) == ([str(n) for n in range(2, 7)], [])
    assert bench.store_server.trouble == ("", "")


def test_a_store_that_cannot_start_for_another_reason_keeps_its_files(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bench)
    bench.store_server.child.stop()
    with monkeypatch.context() as patch:
        patch.setattr("device.telemetry.servers.store_config", lambda *_: "nonsense yes\n")
        server = bench.new_store()
        starting = threading.Thread(target=server.child.start, kwargs={"needed": False})
        starting.start()
        wait_until(lambda: server.child.starts > FAILED_STARTS + 2, what="it was tried often enough")
        assert server.trouble[0] == "not_running"
        assert "nonsense" in server.trouble[1]
        server.child.stop()
    bench.start_store()
    assert bench.numbers() == ["2", "3", "4", "5"]
    assert bench.gaps() == []
    starting.join()


def test_only_the_newest_broken_files_are_kept(bench: Bench) -> None:
    for _ in range(3):
        bench.write(range(1))
        bench.move()
        bench.store_server.child.stop()
        zeros_in_the_middle(bench.paths.telemetry / "store")
        bench.start_store()
    found = sorted(path.name for path in bench.paths.telemetry.glob("store.broken-*"))
    assert found == ["store.broken-2", "store.broken-3"]


def test_an_intake_that_does_not_start_with_its_files_begins_anew(bench: Bench) -> None:
    bench.write(range(2))
    bench.move()
    bench.intake_server.child.stop()
    zeros_in_the_middle(bench.paths.telemetry / "intake")
    bench.start_intake()
    assert bench.intake_server.trouble[0] == "damaged"
    bench.write(range(2, 4))
    bench.move()
    assert (bench.numbers(), bench.gaps()) == (["0", "1", "2", "3"], [])


@pytest.mark.parametrize("harm", ["the socket's file is deleted", "it hangs"])
def test_an_intake_that_lives_but_answers_nobody_is_started_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    bench.intake_server.child.stop()
    monkeypatch.setattr("device.telemetry.servers.CHECK_EVERY_S", 0.1)
    monkeypatch.setattr("device.telemetry.servers.UNREACHABLE_S", 0.1)
    monkeypatch.setattr("device.telemetry.servers.STOP_TIMEOUT_S", 0.5)
    monkeypatch.setattr("device.telemetry.connection.TIMEOUT_S", 0.2)
    bench.start_intake()
    worker = bench.client(username=WORKER_USER, password=bench.accounts.worker_password)
    worker.config_set("appendfsync", "always")  # by default a kill may take the last second while the disk is busy
    bench.write(range(2))
    child = bench.intake_server.child
    before = child.pid
    if harm == "it hangs":
        child.signal(signal.SIGSTOP)
    else:
        bench.paths.intake_socket.unlink()
    wait_until(lambda: child.is_up and child.pid not in (None, before), what="another server is up")
    bench.write(range(2, 4))
    bench.move()
    assert bench.numbers() == ["0", "1", "2", "3"]
