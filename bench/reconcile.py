"""What the worker costs beside the engine's own API and beside Compose, interleaved in one run.

`./run bench reconcile [--rounds N] [--json] [--compose-v2 PROGRAM]`. Each round brings the peer app up, asks for
the same again, changes one service and takes all down, with each contender in turn. A time ends at the engine's own
event of the last container that started, or of the network that went. The ratios count, never the times.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker

from bench.contenders import Compose, Raw, RawAtOnce, Watch
from bench.peer_app import CHAIN, Images, app_section, push_images
from bench.worker_under_test import WorkerUnderTest
from tests.harness.engine import docker_client, registry, remove_images
from tests.harness.servers import use_unpacked_servers

KILLS_OF_ONE = 5  # the engine doubles its pause before each restart of a container
Samples = dict[str, dict[str, list[float]]]  # what was done -> who did it -> seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--compose-v2", help="the plugin's program; by default the one that docker itself finds")
    asked = parser.parse_args()
    use_unpacked_servers()
    with tempfile.TemporaryDirectory(prefix="skerry-") as name, registry(Path(name)) as address:
        client = docker_client()
        try:
            samples, facts = measure(Path(name), address, client, asked.rounds, asked.compose_v2)
        finally:
            remove_images(client, address)
            client.close()
    ratios = against_raw(samples)
    if asked.json:
        print(json.dumps({"rounds": asked.rounds, "seconds": medians(samples), "ratios": ratios} | facts))
    else:
        print(table(samples, ratios, facts))
    return 0


def measure(
    folder: Path, address: str, client: docker.APIClient, rounds: int, compose_v2: str | None
) -> tuple[Samples, dict[str, Any]]:
    """Run all contenders in turn, `rounds` times after one that is not counted."""
    images = push_images(client, address)
    samples: Samples = defaultdict(lambda: defaultdict(list))
    facts: dict[str, Any] = {"down_in_an_update": {}}
    raws = (Raw(images, f"{folder.name}0"), RawAtOnce(images, f"{folder.name}9"))
    contenders: list[Any] = [*raws, *composes(folder, images, compose_v2)]
    with WorkerUnderTest(folder / "w", address) as worker:
        worker.app = lambda api: app_section(images, instance=worker.instance, api=api)
        contenders.append(worker)
        try:
            for round_number in range(rounds + 1):
                progress(round_number, rounds)
                for contender in contenders:
                    one_round(contender, samples if round_number else defaultdict(lambda: defaultdict(list)), facts)
                if round_number:
                    no_ops(contenders, worker, samples)
                    print(json.dumps(against_raw(samples)), file=sys.stderr, flush=True)
            deaths(worker, samples, rounds * 3)
        finally:
            for contender in contenders:
                contender.end()
    return samples, facts


def one_round(contender: Any, samples: Samples, facts: dict[str, Any]) -> None:
    """Up, change one service, take down."""
    watch = Watch(contender)
    try:
        began = time.time()
        contender.up(1)
        started(watch, set(CHAIN))
        samples["up"][contender.name].append(max(watch.times("container start").values()) - began)
        settle(contender)
        watch.forget()
        began = time.time()
        contender.up(2)
        started(watch, {"api"})
        samples["update"][contender.name].append(watch.times("container start")["api"] - began)
        settle(contender)
        facts["down_in_an_update"][contender.name] = sorted(watch.times("container die"))
        watch.forget()
        began = time.time()
        contender.down()
        watch.until(lambda events: any(e[1] == "network destroy" for e in events), f"{contender.name} down")
        samples["down"][contender.name].append(max(watch.times("network destroy").values()) - began)
        if isinstance(contender, WorkerUnderTest):
            contender.until_gone()
    finally:
        watch.close()


def started(watch: Watch, services: set[str]) -> None:
    watch.until(
        lambda events: services <= {name for _, action, name in events if action == "container start"},
        f"the start of {sorted(services)}",
    )


def settle(contender: Any) -> None:
    """Let a contender that works by itself come to rest, so that its afterwork is not in the next one's time."""
    if isinstance(contender, WorkerUnderTest):
        contender.until_settled()


def no_ops(contenders: list[Any], worker: WorkerUnderTest, samples: Samples) -> None:
    """Ask for what runs already: Compose as a command, the worker's round in this process, one list by hand."""
    for contender in contenders:
        if isinstance(contender, Compose):
            contender.up(1)
            samples["no-op"][contender.name].append(timed(contender.no_op))
            contender.down()
    worker.up(1)
    worker.until_settled()
    for _ in range(20):
        worker.converged_reconciler()
        samples["no-op"]["raw"].append(timed(worker.raw_list))
        samples["no-op"][worker.name].append(timed(worker.no_op))
    worker.down()
    worker.until_gone()


def deaths(worker: WorkerUnderTest, samples: Samples, count: int) -> None:
    """Kill a container's process, and remove one by hand: when the engine tells, and when the worker has acted."""
    worker.up(1)
    worker.until_settled()
    watch = Watch(worker)
    try:
        for number in range(1, count + 1):
            if number % KILLS_OF_ONE == 0:
                worker.down()
                worker.until_gone()
                worker.up(1)
                worker.until_settled()
            event, status = worker.kill_one(watch)
            samples["death told"]["raw"].append(event)
            samples["death told"][worker.name].append(status)
            worker.until_settled()
        for _ in range(max(3, count // 3)):
            watch.forget()
            again, by_hand = worker.remove_one(watch)
            samples["back again"]["raw"].append(by_hand)
            samples["back again"][worker.name].append(again)
            worker.until_settled()
    finally:
        watch.close()
    worker.down()
    worker.until_gone()


def composes(folder: Path, images: Images, v2: str | None) -> list[Compose]:
    """Return the generations of Compose that this machine has."""
    found = []
    if (v1 := shutil.which("docker-compose")) is not None:
        found.append(("compose 1", [v1]))
    if (
        v2 is None
        and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        found.append(("compose 2", ["docker", "compose"]))
    if v2 is not None:
        found.append(("compose 2", [v2]))
    made = []
    for name, command in found:
        place = folder / f"{folder.name}{name[-1]}"
        place.mkdir()
        made.append(Compose(name, command, place, images))
    return made


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def medians(samples: Samples) -> dict[str, dict[str, float]]:
    return {what: {who: round(statistics.median(each), 5) for who, each in by.items()} for what, by in samples.items()}


def against_raw(samples: Samples) -> dict[str, dict[str, float]]:
    """Return the worker's median over each other one's."""
    of = medians(samples)
    return {
        what: {who: round(by["worker"] / value, 3) for who, value in by.items() if who != "worker"}
        for what, by in of.items()
        if "worker" in by
    }


def table(samples: Samples, ratios: dict[str, dict[str, float]], facts: dict[str, Any]) -> str:
    lines = []
    for what, by in medians(samples).items():
        each = ", ".join(f"{who} {value * 1000:.1f} ms" for who, value in by.items())
        over = ", ".join(f"{value:.2f} x {who}" for who, value in ratios.get(what, {}).items())
        lines.append(f"{what:11} {each}  ->  {over}")
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in facts.items())])


def progress(done: int, total: int) -> None:
    print(f"round {done} of {total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
