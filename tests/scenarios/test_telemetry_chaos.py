"""The story of samples through faults at a fiftieth of its scale, with a fixed seed; and what its recorder sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.rig.recorder import Entry, Kept, judge
from tests.chaos.rig.writer import value_of
from tests.harness.servers import program

ACKED = [Entry(1, 4, "acked", 0.0, 1.0)]


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system to cut its power")
    program("mkfs.xfs")
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.telemetry", "--scale", "0.02", "--seed", "7", "--json"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(600)
def test_samples_cross_cuts_kills_and_power_cuts_once_each_and_in_order(told: dict[str, Any]) -> None:
    faults = told["faults"]
    assert set(faults["faults"]) == {"cut", "worker", "redis", "broker", "broker_files", "cloud", "power"}
    assert faults["acked"] >= 20_000
    wrong = ("lost", "duplicated", "foreign", "altered", "out_of_order")
    assert {name: faults[name] for name in wrong} == dict.fromkeys(wrong, 0)


def test_the_audit_agrees_with_the_recorder(told: dict[str, Any]) -> None:
    assert told["faults"]["audit_complete"]
    assert told["faults"]["audit_stored"] == told["faults"]["stored"]


def test_the_recorder_sees_a_planted_loss_and_a_planted_duplicate(told: dict[str, Any]) -> None:
    assert (told["faults"]["planted_loss_seen"], told["faults"]["planted_duplicate_seen"]) == (1, 1)


def test_a_power_cut_takes_at_most_the_last_second_where_the_owner_asks_for_no_more(told: dict[str, Any]) -> None:
    assert told["default"]["held"], told["default"]


def test_what_does_not_fit_the_buffer_in_an_hour_without_a_link_is_named(told: dict[str, Any]) -> None:
    overflow = told["overflow"]
    assert overflow["missing"] > 0
    assert (overflow["missing_not_in_gaps"], overflow["in_gaps_not_missing"]) == (0, 0)
    assert (overflow["audit_lost"], overflow["audit_complete"]) == (overflow["missing"], True)


def test_a_csv_file_comes_back_bit_by_bit(told: dict[str, Any]) -> None:
    assert (told["series"]["equal_by_rows"], told["series"]["equal_by_command"]) == (True, True)


def test_bytes_that_are_no_text_come_back_bit_by_bit(told: dict[str, Any]) -> None:
    assert (told["series"]["blobs_equal_by_rows"], told["series"]["blobs_equal_by_command"]) == (True, True)


def kept(*numbers: int, epoch: int = 9) -> list[Kept]:
    return [Kept(epoch, place + 1, {"n": str(n), "v": value_of(n)}) for place, n in enumerate(numbers)]


def test_the_recorder_finds_all_well() -> None:
    assert judge(ACKED, kept(1, 2, 3, 4)).whole


def test_the_recorder_finds_what_stands_in_another_order() -> None:
    assert judge(ACKED, kept(1, 3, 2, 4)).out_of_order == 1
    assert judge(ACKED, kept(1, 3) + kept(2, 4, epoch=10)).out_of_order == 1


def test_the_recorder_finds_what_was_never_acknowledged_and_what_was_changed() -> None:
    assert judge([*ACKED, Entry(5, 5, "refused", 1.0, 1.0)], kept(1, 2, 3, 4, 5)).foreign == 1
    changed = [*kept(1, 2, 3), Kept(9, 4, {"n": "4", "v": "else"})]
    assert judge(ACKED, changed).altered == 1


def test_the_recorder_takes_what_was_unsure_either_way() -> None:
    entries = [*ACKED, Entry(5, 6, "unsure", 1.0, 2.0)]
    assert judge(entries, kept(1, 2, 3, 4, 6)).whole
    assert judge(entries, kept(1, 2, 4, 6)).lost == (3,)
