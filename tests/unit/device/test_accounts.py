"""Accounts of the intake: what is handed out is on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from broker.files import StorageUnavailable
from device.telemetry.accounts import Accounts
from tests.harness.apps import section, service

APP = section({"web": service(telemetry={"access": "socket"})})


def test_an_account_that_could_not_be_written_is_not_handed_out(tmp_path: Path) -> None:
    folder = tmp_path / "telemetry"
    folder.mkdir()
    accounts = Accounts(folder / "accounts.json", socket_folder=tmp_path)
    shutil.rmtree(folder)  # stands for a disk that takes nothing
    with pytest.raises(StorageUnavailable):
        accounts.access_for([APP])
    assert accounts.streams == {}
    folder.mkdir()
    access = accounts.access_for([APP])[APP.instance]
    again = Accounts(folder / "accounts.json", socket_folder=tmp_path)
    assert again.access_for([APP])[APP.instance] == access


def test_passwords_and_ports_stay_the_same_over_restarts(tmp_path: Path) -> None:
    first = Accounts(tmp_path / "accounts.json", socket_folder=tmp_path)
    access = first.access_for([APP])
    second = Accounts(tmp_path / "accounts.json", socket_folder=tmp_path)
    assert (second.access_for([APP]), second.worker_password) == (access, first.worker_password)
