"""The broker killed with its files, the cloud killed while it stores, its database put back from a backup."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from pathlib import Path

from tests.harness.stage import Stage


def test_a_broker_killed_with_its_files_deleted_gets_the_desired_state_back(stage: Stage) -> None:
    pid = stage.child_pid("mosquitto.conf")
    stage.device.link.cut()
    stage.until(lambda: not stage.show()["online"], "the cloud notices that the device is gone")
    stage.deploy(greeting="two")
    os.kill(pid, signal.SIGKILL)
    for file in (stage.cloud.state / "broker").glob("mosquitto.db*"):
        file.unlink()
    stage.until(lambda: stage.child_pid("mosquitto.conf") != pid, "the broker is started again")
    stage.device.link.restore()
    stage.settle("two")
    assert stage.audited().holds


def test_the_cloud_killed_while_it_stores_loses_nothing_and_doubles_nothing(stage: Stage) -> None:
    for _ in range(3):
        stored = stage.stored()
        stage.until(lambda at=stored: stage.stored() > at, "the cloud is storing")  # type: ignore[misc]
        stage.cloud.process.kill()
        stage.cloud.start()
    stage.until(lambda: stage.show()["online"], "the device is back")
    stage.deploy_and_settle(greeting="three")
    assert stage.audited().holds


def test_a_database_from_a_backup_adopts_what_the_device_has_and_names_what_it_lost(stage: Stage) -> None:
    """Generations go on from the device's; what was acked after the backup is a gap; deploying works."""
    backup = _backed_up(stage)
    stage.deploy_and_settle(greeting="four")
    stage.deploy_and_settle(greeting="five")
    newest = stage.show()["desired"]["generation"]
    stored_in_backup = stage.stored()
    stage.until(lambda: stage.stored() > stored_in_backup + 10, "samples are acked that the backup does not have")
    stage.cloud.process.stop()
    store_before = stage.cloud.facts["store"]
    _put_back(stage, backup)
    stage.cloud.start()
    assert stage.cloud.facts["store"] != store_before
    stage.until(lambda: stage.show()["online"], "the device is back")
    stage.until(
        lambda: (stage.show()["desired"] or {}).get("generation") == newest, "the device's generation is adopted"
    )
    assert stage.page() == "five"
    stage.until(lambda: "store_restored" in stage.gap_causes(), "the loss is named in a gap")
    stage.deploy_and_settle(greeting="six")
    assert stage.show()["desired"]["generation"] > newest
    written = stage.written()
    stage.until(lambda: stage.covered() >= written, "every sample is stored or named in a gap")
    assert stage.audited_with_gaps() == (0, 0), "numbers that are neither stored nor in a gap, and numbers stored twice"


def _backed_up(stage: Stage) -> Path:
    target = stage.folder / "backup.db"
    source = sqlite3.connect(stage.cloud.database)
    with sqlite3.connect(target) as copy:
        source.backup(copy)
    copy.close()
    source.close()
    return target


def _put_back(stage: Stage, backup: Path) -> None:
    database = stage.cloud.database
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, database)
