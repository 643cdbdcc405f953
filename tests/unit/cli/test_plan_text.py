"""Plans as rows."""

from __future__ import annotations

import pytest

from cloud.cli.answers import PlannedDevice
from cloud.cli.plan_text import plan_row, took


def test_a_row_says_everything_and_a_question_mark_where_nothing_is_known() -> None:
    known = {"present": 2048, "layers": 3 << 20, "delta": 1024}
    told = PlannedDevice.model_validate(
        {"device": "d1", "name": "pump", "bytes": known, "seconds": 200, "disk_after_bytes": -5000, "restarts": ["web"]}
    )
    assert plan_row(told) == (
        "pump", "3.0 MiB", "1.0 KiB", "2.0 KiB", "3m20s", "no room: 4.9 KiB too few", "restart web"
    )  # fmt: skip
    silent = PlannedDevice.model_validate({"device": "d1", "bytes": {"layers": 5}, "starts": ["a", "b"]})
    assert plan_row(silent) == ("d1", "5 B", "-", "0 B", "?", "?", "start a, b")
    assert plan_row(PlannedDevice(device="d2"))[4:] == ("-", "?", "nothing changes")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3601, "1h"), (7260, "2h1m"), (90_000, "1d1h"), (None, "?")],
)
def test_durations_are_told_in_their_two_largest_units(seconds: int | None, text: str) -> None:
    assert took(seconds) == text
