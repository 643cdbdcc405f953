"""Sinks on a real HTTP server: at least once, in order, over refusals, lost answers and restarts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from broker.channels import BATCH
from broker.errors import Passing, Refused
from cloud import sinks
from cloud.decoded import Bounds
from cloud.store import sinks as states
from tests.contract.test_cloud_store import STREAM, Cloud, Device
from tests.harness.servers import wait_until

pytestmark = pytest.mark.usefixtures("database_kind")


class Receiver(ThreadingHTTPServer):
    """Keeps what it got; answers with the statuses it is told to, 0 for none at all, and then with 204."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, list[int]]] = []
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/samples"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.headers = dict(self.headers)
        numbers = [json.loads(line)["seq"] for line in body.splitlines()]
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        if 200 <= status < 300 or not status:
            self.server.got.append((self.headers["Skerry-Cursor"], numbers))
        if status:
            self.send_response(status)
            self.end_headers()
        else:
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's word
        return


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path / "db")
    yield made
    made.database.close()


@pytest.fixture
def device(cloud: Cloud) -> Device:
    return Device(cloud, cloud.enroll(cloud.found()))


def made(folder: Path, text: str) -> list[sinks.Made]:
    path = folder / "sinks.toml"
    path.write_text(text)
    return sinks.read(path)


@pytest.fixture
def feeder(cloud: Cloud, receiver: Receiver, tmp_path: Path) -> sinks.Feeder:
    (one,) = made(
        tmp_path,
        f'[[sink]]\nname = "plant"\nkind = "http"\norg = "main"\nurl = "{receiver.url}"\nheaders = {{ X-Key = "k" }}\n',
    )
    return sinks.Feeder(cloud.database, one, cloud.clock)


def test_samples_are_handed_on_once_and_in_order_while_all_is_well(
    device: Device, feeder: sinks.Feeder, receiver: Receiver
) -> None:
    device.send(BATCH, device.batch(1, 10), device.batch(11, 20))
    assert not feeder.feed()
    device.send(BATCH, device.batch(21, 25))
    feeder.feed()
    feeder.feed()
    assert [numbers for _, numbers in receiver.got] == [list(range(1, 21)), list(range(21, 26))]
    assert receiver.headers["X-Key"] == "k"


@pytest.mark.parametrize("status", [0, 302, 400, 503])
def test_what_was_not_taken_comes_again_under_the_same_name(
    device: Device, feeder: sinks.Feeder, receiver: Receiver, status: int
) -> None:
    device.send(BATCH, device.batch(1, 5))
    receiver.statuses = [status]
    with pytest.raises(Passing):
        feeder.feed()
    device.send(BATCH, device.batch(6, 9))
    feeder.feed()
    assert receiver.got[-1] == ("0.0", list(range(1, 10)))
    assert {name for name, _ in receiver.got} == {"0.0"}


def test_what_fails_is_told_until_it_works(
    cloud: Cloud, device: Device, feeder: sinks.Feeder, receiver: Receiver
) -> None:
    def error() -> str:
        with cloud.database.read() as tx:
            return "".join(state.error for state in states.states(tx))

    device.send(BATCH, device.batch(1, 5))
    receiver.statuses = [500] * 1000
    stopping = threading.Event()
    thread = threading.Thread(target=feeder.run, args=(stopping,))
    thread.start()
    wait_until(lambda: "answered 500" in error(), what="the failure is told")
    receiver.statuses = []
    wait_until(lambda: receiver.got and not error(), what="it works again")
    stopping.set()
    thread.join()


def test_much_is_handed_on_in_parts(
    device: Device, feeder: sinks.Feeder, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "BOUNDS", Bounds(elements=7, batches=100, size=1000))
    device.send(BATCH, device.batch(1, 20))
    while feeder.feed():
        pass
    assert [numbers for _, numbers in receiver.got] == [list(range(1, 8)), list(range(8, 15)), list(range(15, 21))]


def test_streams_are_chosen_by_how_they_begin(cloud: Cloud, device: Device, receiver: Receiver, tmp_path: Path) -> None:
    text = '[[sink]]\nname = "{}"\nkind = "http"\norg = "main"\nurl = "{}"\nstreams = "{}"\n'
    found = made(tmp_path, "".join(text.format(name, receiver.url, name) for name in ("events", STREAM[:3])))
    device.send(BATCH, device.batch(1, 5))
    for one in found:
        sinks.Feeder(cloud.database, one, cloud.clock).feed()
    assert [numbers for _, numbers in receiver.got] == [[1, 2, 3, 4, 5]]


SINK = '[[sink]]\nname = "a"\nkind = "http"\norg = "main"\nurl = "http://x/"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[sink", "sinks.toml"),
        ("[[sinks]]", "Extra inputs"),
        (SINK + SINK, "the same name"),
        (SINK.replace('"http"', '"kafka"'), "there is no kind 'kafka', only http"),
        (SINK.replace("http://", "ftp://"), "sink a: url"),
        (SINK + "ur = 1\n", "sink a: ur: Extra inputs"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        made(tmp_path, text)
    assert refused.value.reason == "bad_sinks"
    assert said in str(refused.value)


def test_without_a_file_there_are_no_sinks(tmp_path: Path) -> None:
    assert sinks.read(tmp_path / "none.toml") == []
