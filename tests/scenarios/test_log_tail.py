"""Who follows a log sees every line once, over cuts of the device's link."""

from __future__ import annotations

from pathlib import Path

from bench.log_tail import measured
from tests.harness.stage import Stage


def test_a_followed_log_misses_no_line_and_shows_none_twice(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    try:
        found = measured(stage, lines=5, cuts=2)
    finally:
        stage.end()
    assert found["lines_shown"] > 5
    assert (found["missed"], found["shown_twice"], found["lost_in_the_store"]) == (0, 0, 0)
