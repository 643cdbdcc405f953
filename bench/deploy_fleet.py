"""How long a deployment to a large fleet takes in the cloud, and for how long it keeps others from writing.

A database on disk as the cloud runs it, an app of three services, and a second thread that asks for the write lock all
the time, as ingest does: what it waits at most is what a deployment costs everybody else.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from broker.appspec import AppSpec
from broker.canonical import canonical
from broker.clock import SystemClock
from broker.ids import DeviceRef, new_id
from broker.signing import Signer
from cloud import deploying, founding
from cloud.deploying import Wish
from cloud.dispatcher import Dispatcher
from cloud.issuing import Issuer
from cloud.store import apps, deployments, devices, fleets, meta, releases
from cloud.store.database import Connection, Database
from cloud.store.migrate import migrate
from cloud.vault import Vault

ERA = 1


def spec(namespace: str) -> AppSpec:
    """Return an app of three services, as small apps are."""
    image = {"repository": f"{namespace}/web", "digest": "sha256:" + "0" * 64}
    health = {"test": ["CMD", "/bin/true"], "interval_ms": 1000}
    service = {"image": image, "healthcheck": health, "environment": {"MODE": "sea"}, "mem_limit": 1 << 26}
    return AppSpec.model_validate({"name": "web", "services": dict.fromkeys(("web", "db", "sensor"), service)})


def fill(tx: Connection, count: int) -> tuple[str, str, str, str]:
    """Make an organisation, its devices and a release; return organisation, app, fleet and release."""
    meta.create(tx, store="s-1", era=ERA)
    org = founding.found(tx, name="main", user="ann", password="-", system=True, now_ms=1).org  # noqa: S106 - no login
    fleet = fleets.named(tx, org, "default")
    assert fleet is not None
    for _ in range(count):
        ref = DeviceRef(org, new_id("d"))
        devices.add(tx, devices.Device(ref.device, org, ref.device, fleet.fleet, 1, 1, b"", "", "", b"", ""))
    app = apps.App(new_id("a"), org, "web")
    apps.add(tx, app, now_ms=1)
    made = spec(app.namespace)
    releases.push(tx, releases.Release(app.app, made.digest, "1", canonical(made.plain()), 1, 1, "ann"))
    return org, app.app, fleet.fleet, made.digest


class Other:
    """Somebody else who writes: waits for the lock again and again, and remembers the longest wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.longest_s = 0.0
        self.writes = 0
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.005):
            began = time.monotonic()
            with self._database.write():
                pass
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            self.writes += 1

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def measure(folder: Path, count: int) -> dict[str, Any]:
    database = Database(folder / "db")
    migrate(database)
    with database.write() as tx:
        org, app, fleet, release = fill(tx, count)
    issuer = Issuer(Signer.generate(), Vault(b"v" * 32), era=ERA, store="s-1")
    dispatcher = Dispatcher(database, issuer, issued=lambda: None, clock=SystemClock())
    other = Other(database)
    began = time.monotonic()
    with database.write() as tx:
        wish = Wish(org, app, fleet, release, {}, False, "ann")
        deployment = deploying.deploy(tx, issuer, wish, now_ms=1).deployment
        deploying.issue_page(tx, issuer, now_ms=1, fleet=fleet, strict=True)
    answered_s = time.monotonic() - began
    for _ in itertools.takewhile(lambda _: dispatcher.page(), itertools.count()):
        time.sleep(0.05)  # as the dispatcher's own thread does
    took_s = time.monotonic() - began
    other.stop()
    began = time.monotonic()
    with database.read() as tx:
        seen = len(deployments.reached(tx, deployment))
    looked_s = time.monotonic() - began
    database.close()
    assert seen == count
    return {
        "devices": count,
        "answered_ms": round(answered_s * 1000),
        "issued_to_all_s": round(took_s, 1),
        "devices_a_second": round(count / took_s),
        "longest_wait_of_another_writer_ms": round(other.longest_s * 1000),
        "writes_of_another_writer": other.writes,
        "asked_for_its_progress_ms": round(looked_s * 1000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    for count in chosen.devices:
        with tempfile.TemporaryDirectory(prefix="skerry-bench-", dir=os.environ.get("TMPDIR")) as folder:
            found = measure(Path(folder), count)
        if chosen.json:
            print(json.dumps(found))
        else:
            for name, value in found.items():
                print(f"{name.replace('_', ' '):36}{value}")


if __name__ == "__main__":
    main()
