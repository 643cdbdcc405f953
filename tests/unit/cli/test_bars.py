"""Bars of `deploy --wait`: which devices have one, what it shows, and that the figures come from the feed."""

from __future__ import annotations

import io
import json
import threading

import httpx
from rich.console import Console

from cloud.cli.answers import Target
from cloud.cli.bars import BARS_MAX, Moved, Row, drawn, follow_transfers, rows
from cloud.cli.client import Client


def target(name: str, state: str = "updating", phase: str = "Fetching", *, online: bool = True) -> Target:
    return Target(device=name, name=name, state=state, phase=phase, online=online)


def text_of(shown: list[Row], summary: str) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    with console.capture() as capture:
        console.print(drawn(shown, summary))
    return capture.get()


def test_devices_on_their_way_have_a_row_and_all_are_counted() -> None:
    targets = [target("a"), target("b", "converged"), target("c", online=False), target("d", "failed")]
    shown, summary = rows(targets, {"a": Moved(5, 10), "b": Moved(1, 2)})
    assert shown == [Row("a", "updating Fetching", Moved(5, 10))]
    assert summary == "1 of 4 converged, 1 not reachable"


def test_bytes_are_shown_only_while_an_image_moves() -> None:
    shown, _ = rows([target("a", phase="Switching")], {"a": Moved(10, 10)})
    assert shown == [Row("a", "updating Switching", None)]


def test_no_more_rows_than_a_screen_has_and_the_rest_is_counted() -> None:
    shown, summary = rows([target(f"d{number}") for number in range(BARS_MAX + 3)], {})
    assert len(shown) == BARS_MAX
    assert summary == f"0 of {BARS_MAX + 3} converged, 3 more on their way"


def test_a_row_has_name_bar_bytes_and_state() -> None:
    shown, summary = rows([target("pump-1")], {"pump-1": Moved(3 << 20, 12 << 20, saved=5 << 20)})
    line, last = text_of(shown, summary).splitlines()
    name, bar, *words = line.split()
    assert (name, bar) == ("pump-1", "━" * 7 + "╸")
    assert " ".join(words) == "3.0 MiB of 12.0 MiB, 5.0 MiB saved by patches updating Fetching"
    assert last.strip() == "0 of 1 converged"


def test_names_of_devices_do_nothing_to_the_terminal() -> None:
    shown, _ = rows([target("a\x1b[31m[bold]b")], {})
    assert "\x1b" not in text_of(shown, "")
    assert "[bold]b" in text_of(shown, "")


def test_the_figures_are_those_that_the_feed_tells_of_this_app() -> None:
    told = [
        {"device": "a", "instance": "other", "done": 9, "total": 9},
        {"device": "a", "instance": "mine", "done": 5, "total": 10, "saved": 7},
        {"device": "b", "instance": "mine", "done": "many", "total": None},
    ]
    feed = "".join(f"event: progress\ndata: {json.dumps(one)}\n\n" for one in told)
    answers = [
        httpx.Response(200, text=feed, headers={"Content-Type": "text/event-stream"}),
        httpx.Response(403, json={"error": {"reason": "forbidden", "message": "enough"}}),
    ]
    client = Client("https://cloud:1", transport=httpx.MockTransport(lambda request: answers.pop(0)))
    over, seen = threading.Event(), list[tuple[str, Moved]]()
    follow_transfers(client, "mine", lambda device, moved: seen.append((device, moved)), over)
    assert seen == [("a", Moved(5, 10, 7))]
    assert answers == []
