"""What a Redis of an app's own costs: `./run bench app_redis [--json]`. Idle, then full."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from device.platform.app_redis import AppRedis
from device.telemetry.connection import Client

INSTANCE = "iaaaaaaaaaaa"
MEGABYTES = 16
IDLE_S = 20.0


def kilobytes(pid: int) -> dict[str, int]:
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        found[name.rstrip(":")] = int(value)
    return {"resident": found["Rss"], "private": found["Private_Clean"] + found["Private_Dirty"]}


def switches(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").glob("*/status")
    lines = (line for task in tasks for line in task.read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    wants_json = parser.parse_args().json
    folder = Path(tempfile.mkdtemp(prefix="sk-"))
    servers = AppRedis(folder / "redis", megabytes=MEGABYTES)
    try:
        began = time.monotonic()
        servers.ensure([INSTANCE])
        ready_s = time.monotonic() - began
        pid = servers.pid(INSTANCE)
        assert pid is not None, servers.trouble
        idle = kilobytes(pid)
        before = switches(pid)
        time.sleep(IDLE_S)
        wakeups = (switches(pid) - before) / IDLE_S
        client = Client(servers.folder(INSTANCE) / "redis.sock")
        for n in range(200):
            client.transaction([("SET", f"k{n}-{m}", "x" * 1000) for m in range(200)])
        result = {
            "ready_ms": round(ready_s * 1000),
            "idle": idle,
            "full": kilobytes(pid),
            "idle_switches_a_second": round(wakeups, 2),
            "maxmemory_megabytes": MEGABYTES,
        }
    finally:
        servers.close()
        shutil.rmtree(folder)
    if wants_json:
        json.dump(result, sys.stdout)
        print()
        return
    for name, value in result.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
