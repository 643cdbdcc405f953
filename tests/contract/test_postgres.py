"""What is PostgreSQL's alone: a server that goes away, writers of several processes, and a cloud that is made on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.channels import BATCH
from broker.errors import Passing, Refused
from cloud import init
from cloud.config import Folder, database_of
from cloud.ranges import Held
from cloud.store import cursors, meta
from cloud.store.cursors import Cursor
from cloud.store.database import Database, checked_url
from tests.contract.test_cloud_store import Cloud, Device
from tests.harness import databases
from tests.harness.postgres import Postgres


@pytest.fixture
def cloud(postgres: Postgres, tmp_path: Path) -> Iterator[Cloud]:
    with databases.used(postgres):
        yield Cloud(tmp_path / "db")


@pytest.fixture
def device(cloud: Cloud) -> Device:
    return Device(cloud, cloud.enroll(cloud.found()))


def test_a_server_that_was_away_is_used_again(postgres: Postgres, cloud: Cloud, device: Device) -> None:
    assert device.send(BATCH, device.batch(1, 5)).streams[0].contiguous == 5
    postgres.restart()
    assert device.send(BATCH, device.batch(6, 9)).streams[0].contiguous == 9
    assert device.stored() == [(1, 5), (6, 9)]


def test_a_server_that_is_away_is_waited_for(cloud: Cloud, device: Device, tmp_path: Path) -> None:
    nowhere = Database(f"postgresql://nobody@/none?host={tmp_path}")
    with pytest.raises(Passing, match="cannot be used"), nowhere.write():
        pass
    nowhere.close()


def test_writers_of_several_processes_take_turns(postgres: Postgres, cloud: Cloud, device: Device) -> None:
    place = (device.ref.device, "app:web", 1)
    url = str(cloud.database.engine.url.render_as_string(hide_password=False))
    with cloud.database.read() as tx:
        before = meta.get(tx)

    def count() -> None:
        own = Database(url)
        for _ in range(30):
            with own.write() as tx:
                known = cursors.get(tx, *place) or Cursor(*place)
                cursors.put(tx, Cursor(*place, Held(), known.stored + 1), now_ms=1)
        own.close()

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with cloud.database.read() as tx:
        found, after = cursors.get(tx, *place), meta.get(tx)
    assert found is not None
    assert before is not None
    assert after is not None
    assert found.stored == after.counter - before.counter == 90


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(cloud: Cloud, device: Device) -> None:
    with cloud.database.read() as reader:
        before = meta.get(reader)
        device.send(BATCH, device.batch(1, 5))
        assert meta.get(reader) == before


def test_a_cloud_is_made_on_a_database_that_is_told(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.create("told")
    folder = Folder(tmp_path / "state")
    made = init.init(folder, org="acme", user="ann", password="-" * 12, now_ms=1, database_url=url)
    assert (made.created, init.exists(folder), database_of(folder)) == (True, True, url)
    assert not folder.database.exists()
    assert folder.database_url.stat().st_mode & 0o077 == 0
    again = init.init(folder, org="acme", user="ann", password="-" * 12, now_ms=1)
    assert not again.created
    postgres.drop("told")


def test_a_folder_with_a_file_takes_no_other_database(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "state")
    init.init(folder, org="acme", user="ann", password="-" * 12, now_ms=1)
    with pytest.raises(Refused, match="another folder"):
        init.init(folder, org="acme", user="ann", password="-" * 12, now_ms=1, database_url="postgresql://a@b/c")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://a@b/c", "postgresql://host", "sqlite:///x", "postgresql://a:b:c@x:y/z"]
)
def test_what_is_no_database_is_refused(url: str) -> None:
    with pytest.raises(Refused) as refused:
        checked_url(url)
    assert refused.value.reason == "bad_database"
