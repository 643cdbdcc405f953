"""`./run demo`: tell the story, go on until Ctrl-C, stop all of it; or once, with one JSON object at the end."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

from docker.errors import DockerException
from rich.console import Console

from broker.errors import SkerryError
from examples.demo.story import Story
from examples.demo.timeline import Timeline


class _Interrupted(Exception):
    """Ctrl-C or SIGTERM: stop everything and say so."""


def main() -> int:
    arguments = _arguments()
    console = Console(stderr=arguments.json, soft_wrap=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    state = Path(arguments.state or tempfile.mkdtemp(prefix="skerry-demo-")).absolute()
    state.mkdir(parents=True, exist_ok=True)
    timeline = Timeline(console)
    story = Story(state, timeline)
    status, problem = 0, ""
    try:
        story.tell()
        if not arguments.once:
            _stay(story, console)
    except _Interrupted:
        status, problem = 130, "interrupted"
    except (SkerryError, DockerException) as error:
        status, problem = 1, str(error)
        console.print(f"[red]the demo failed:[/red] {error}", highlight=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the tidying up
    console.print("          stopping everything", highlight=False)
    left = _end(story, console)
    if problem in ("", "interrupted") and not left and not arguments.keep:
        shutil.rmtree(state)
    elif state.exists():
        console.print(f"          state and logs are kept in {state}", highlight=False)
    ok = story.result.finished and not left and status in (0, 130)
    if arguments.json:
        print(json.dumps(_report(story, ok=ok, left=left, problem=problem)))
    if problem == "interrupted":
        return 0 if story.result.finished and not arguments.once and not left else 130
    return 0 if ok else status or 1


def _end(story: Story, console: Console) -> list[str]:
    try:
        left = story.end()
    except (SkerryError, DockerException) as error:
        left = [f"unknown: {error}"]
    for item in left:
        console.print(f"          [red]left behind:[/red] {item}", highlight=False)
    return left


def _stay(story: Story, console: Console) -> None:
    facts = story.cloud.facts
    console.print(
        f"\nEverything is up. API {facts['api']} (user ann), the page on port {story.page_port}.\n"
        f"Look around in another terminal:\n"
        f"  export SKERRY_HOME={story.state / 'home'}\n"
        f"  .venv/bin/skerry status\n"
        f"  .venv/bin/skerry watch\n"
        f"  .venv/bin/skerry telemetry --limit 5\n"
        f"Ctrl-C stops and removes all of it.",
        highlight=False,
        markup=False,
    )
    threading.Event().wait()


def _report(story: Story, *, ok: bool, left: list[str], problem: str) -> dict[str, object]:
    result = story.result
    report: dict[str, object] = {
        "ok": ok,
        "release": result.release,
        "steps": story.timeline.steps,
        "converge_seconds": result.converge_seconds,
        "samples": {
            "written": result.audit.written,
            "stored": result.audit.stored,
            "lost": result.audit.lost,
            "duplicated": result.audit.duplicated,
        },
        "link_cut_seconds": result.link_cut_seconds,
        "backlog_at_end_of_cut": result.backlog_at_end_of_cut,
        "worker_kills": result.worker_kills,
        "leftovers": len(left),
    }
    return report | ({"problem": problem} if problem else {})


def _interrupt(_number: int, _frame: object) -> None:
    raise _Interrupted


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run demo", description="The main job of Skerry, live, on real parts.")
    parser.add_argument("--once", action="store_true", help="stop everything after the last step")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line of output")
    parser.add_argument(
        "--state", metavar="DIR", help="where everything of the demo lies (default: a temporary folder)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the state folder and its logs")
    parser.add_argument("--stop-engine", action="store_true", help="stop the engine too, if ./run had to start it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
