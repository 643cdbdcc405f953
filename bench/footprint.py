"""What a connected, idle worker costs: memory beside a bare process with the same libraries, and how often it wakes.

`./run bench footprint [--seconds N] [--json]`. The worker runs the peer app (no health checks, no samples) and has a
real broker with a keepalive of 300 s. Its two Redis servers are processes of their own and are counted apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.peer_app import app_section, push_images
from bench.worker_under_test import WorkerUnderTest, installed
from tests.harness.engine import docker_client, registry, remove_images
from tests.harness.servers import use_unpacked_servers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    use_unpacked_servers()
    libraries()  # which also compiles all modules
    with tempfile.TemporaryDirectory(prefix="skerry-") as name, registry(Path(name)) as address:
        client = docker_client()
        try:
            images = push_images(client, address)
            with WorkerUnderTest(Path(name) / "w", address) as worker:
                worker.app = lambda api: app_section(images, instance=worker.instance, api=api)
                try:
                    worker.up(1)
                    worker.until_settled()
                    found = measured(worker.process.pid, asked.seconds)
                finally:
                    worker.end()
        finally:
            remove_images(client, address)
            client.close()
    if asked.json:
        print(json.dumps(found))
    else:
        for what, value in found.items():
            print(f"{what:28} {value}")
    return 0


def measured(pid: int, seconds: int) -> dict[str, object]:
    """Watch the worker for a while without touching it."""
    time.sleep(10)  # what was just started comes to rest: this is a bench, and idleness is what it measures
    before, cpu = switches(pid), cpu_seconds(pid)
    time.sleep(seconds)
    after = switches(pid)
    woken = {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}
    worker, bare = memory_mb(pid), bare_mb()
    return {
        "seconds": seconds,
        "rss_mb": round(worker, 1),
        "rss_of_bare_libraries_mb": round(bare, 1),
        "rss_over_bare": round(worker / bare, 3),
        "rss_of_children_mb": [round(memory_mb(child), 1) for child in children(pid)],
        "voluntary_switches_per_s": round(sum(woken.values()) / seconds, 3),
        "switches_by_thread": dict(sorted(woken.items(), key=lambda item: -item[1])),
        "cpu_percent": round((cpu_seconds(pid) - cpu) / seconds * 100, 3),
    }


def switches(pid: int) -> dict[str, int]:
    """Return the voluntary context switches of every thread, by its name and id."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text()
        name = (task / "comm").read_text().strip()
        found[f"{name}/{task.name}"] = int(_field(status, "voluntary_ctxt_switches"))
    return found


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def memory_mb(pid: int) -> float:
    return int(_field(Path(f"/proc/{pid}/status").read_text(), "VmRSS").split()[0]) / 1024


def children(pid: int) -> list[int]:
    text = "".join((task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir())
    return [int(each) for each in text.split()]


def bare_mb() -> float:
    """Return the memory of a process that imports the worker's libraries and nothing of ours."""
    code = (
        "import sys\n" + "\n".join(f"import {name}" for name in libraries()) + "\nprint(flush=True)\nsys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=installed()
    )
    assert process.stdout is not None
    process.stdout.readline()
    found = memory_mb(process.pid)
    process.communicate()
    return found


def libraries() -> list[str]:
    """Return the modules that importing the worker loads and that are not ours."""
    code = "import sys, device.running\nprint(*sorted(m for m in sys.modules if not m.startswith('_')), sep=chr(10))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=installed())
    ours = ("broker", "device", "compose", "cloud")
    return [name for name in done.stdout.split() if name.partition(".")[0] not in ours and _importable(name)]


def _importable(name: str) -> bool:
    return all(part.isidentifier() for part in name.split(".")) and name not in ("sys", "__main__")


def _field(text: str, name: str) -> str:
    return next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(name + ":"))


if __name__ == "__main__":
    sys.exit(main())
