"""Samples through link cuts, kills and power cuts: what apps wrote against what the cloud stored, number by number.

`./run chaos telemetry [--samples 1000000] [--scale 1] [--seed S] [--only PART...] [--json]`, as root. Parts: `faults`
(intake with `durability: always`: nothing is lost), `default` (power cuts with the default: only what was written in
the last second before one may be lost), `overflow` (an hour of virtual time without a link, over the buffer's cap:
every missing sample is in a gap record), `series` (CSV files come back bit-equal).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from math import inf
from pathlib import Path
from typing import Any

from tests.chaos.rig import recorder
from tests.chaos.rig.series import crossed
from tests.chaos.rig.shore import App, Shore
from tests.chaos.rig.storm import Storm, drawn
from tests.chaos.rig.xfs import Disk, in_private_mounts
from tests.harness.servers import use_unpacked_servers

COUNTS = {"cut": 200, "worker": 50, "redis": 20, "broker": 10, "broker_files": 10, "cloud": 20, "power": 10}
PARTS = ("faults", "default", "overflow", "series")
DEFAULT_SAMPLES, DEFAULT_CUTS = 50_000, 10
HOUR_MS, HOUR_SAMPLES = 3_600_000, 360_000
HOUR_SAMPLES_MIN = 60_000  # fewer would fit the smallest cap there is
LAST_SECOND_S = 1.0
ALWAYS = '"always"'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--scale", type=float, default=1.0, help="of all counts, e.g. 0.02")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    in_private_mounts("tests.chaos.telemetry")
    use_unpacked_servers()
    told: dict[str, Any] = {"seed": asked.seed, "commit": _commit(), "scale": asked.scale}
    with tempfile.TemporaryDirectory(prefix="skerry-") as name:
        disk = Disk(Path(name))
        disk.begin()
        shore = Shore(Path(name), state=disk.mount / "d0", names=("one", "two"), settings={"durability": ALWAYS})
        try:
            shore.begin()
            parts = {"faults": _faults, "default": _default, "overflow": _overflow, "series": _series}
            for part in PARTS:
                if part in asked.only:
                    began = time.monotonic()
                    told[part] = parts[part](Storm(shore, disk), asked)
                    told[part]["seconds"] = round(time.monotonic() - began)
        finally:
            shore.end()
            disk.end()
    told["held"] = all(told[part]["held"] for part in PARTS if part in told)
    if asked.json:
        print(json.dumps(told))
    else:
        for key, value in told.items():
            print(f"{key:10} {value}")
    return 0 if told["held"] else 1


def _faults(storm: Storm, asked: argparse.Namespace) -> dict[str, Any]:
    """Everything at once, and nothing is lost, doubled or moved out of its place."""
    shore, samples = storm.shore, int(asked.samples * asked.scale)
    counts = {kind: max(1, round(count * asked.scale)) for kind, count in COUNTS.items()}
    storm.blow(drawn(counts, samples=samples // len(shore.apps), seed=asked.seed), samples=samples, seed=asked.seed)
    told = _judged(shore)
    audits = [shore.audit(app) for app in shore.apps]
    told |= {"faults": dict(storm.counts), "audit_complete": all(found["complete"] for found in audits)}
    told["audit_stored"] = sum(_stored(found) for found in audits)
    told["gaps"] = sum(len(recorder.gaps(shore.database, shore.device.id, app.stream)) for app in shore.apps)
    app = shore.apps[0]
    true = shore.verdict(app)
    copies = recorder.planted(shore.database, shore.device.id, app.stream, folder=shore.folder)
    loss, duplicate = (shore.verdict(app, database=copies[what]) for what in ("loss", "duplicate"))
    told["planted_loss_seen"] = len(loss.lost) - len(true.lost)
    told["planted_duplicate_seen"] = duplicate.duplicated - true.duplicated
    told["held"] = (
        told["whole"]
        and told["audit_complete"]
        and told["audit_stored"] == told["stored"]
        and told["planted_loss_seen"] == told["planted_duplicate_seen"] == 1
    )
    return told


def _default(storm: Storm, asked: argparse.Namespace) -> dict[str, Any]:
    """Power cuts with the default durability: what was written in the last second before one may be gone."""
    shore = storm.shore
    shore.set(durability='"everysec"')
    samples, cuts = max(2000, int(DEFAULT_SAMPLES * asked.scale)), max(1, round(DEFAULT_CUTS * asked.scale))
    before = {app.name: set(shore.verdict(app).lost) for app in shore.apps}
    faults = drawn({"power": cuts}, samples=samples // len(shore.apps), seed=asked.seed)
    storm.blow(faults, samples=samples, seed=asked.seed + 100)
    told = _judged(shore)
    ages = [age for app in shore.apps for age in _ages(shore, app, before[app.name], storm.power_cuts)]
    del told["whole"]
    told |= {
        "power_cuts": storm.counts["power"],
        "lost": len(ages),
        "oldest_lost_s": _seconds(max(ages, default=0.0)),
        "lost_else": sum(age > LAST_SECOND_S for age in ages),
    }
    wrong = told["duplicated"] + told["foreign"] + told["altered"] + told["out_of_order"] + told["lost_else"]
    told["held"] = wrong == 0
    return told


def _ages(shore: Shore, app: App, before: set[int], cuts: list[tuple[float, float]]) -> list[float]:
    """Return of each number newly lost how long before the next power cut its answer had come."""
    lost = set(shore.verdict(app).lost) - before
    ended = {
        n: entry.ended
        for entry in recorder.journal(app.journal)
        if entry.kind == "acked"
        for n in range(entry.first, entry.last + 1)
        if n in lost
    }
    return [min((max(0.0, began - at) for began, over in cuts if over >= at), default=inf) for at in ended.values()]


def _seconds(age: float) -> float | None:
    """Return an age for JSON, which has no word for what is endless: no power cut came after the answer."""
    return None if age == inf else round(age, 2)


def _overflow(storm: Storm, asked: argparse.Namespace) -> dict[str, Any]:
    """An hour of samples without a link, more than the buffer may hold."""
    shore = storm.shore
    shore.set(durability=ALWAYS, store_megabytes="8", keep="{ telemetry = { percent = 1 } }")
    app = shore.apps[0]
    samples = max(HOUR_SAMPLES_MIN, int(HOUR_SAMPLES * asked.scale))
    lost_before = set(shore.verdict(app).lost)
    shore.device.link.cut()
    shore.start_writer(app, rate=10_000, seed=asked.seed, step_ms=HOUR_MS // samples)
    last = app.next + samples - 1
    app.allow(last)
    shore.wait_written(app, last)
    shore.stop_writer(app)
    shore.moved(app)
    shore.device.link.restore()
    shore.drain(app)
    verdict, kept = shore.verdict(app), shore.kept(app)
    named = recorder.gaps(shore.database, shore.device.id, app.stream)
    lost = tuple(n for n in verdict.lost if n not in lost_before)
    newest = max(kept, key=lambda sample: int(sample.fields["n"])).epoch
    missing, beyond = recorder.unnamed(lost, kept, named, epoch=newest)
    audit = next(found for found in shore.audit(app)["streams"] if found["epoch"] == newest)
    told = {
        "samples": samples,
        "virtual_minutes": 60,
        "missing": len(lost),
        "missing_not_in_gaps": missing,
        "in_gaps_not_missing": beyond,
        "causes": sorted({cause for epoch, _, _, cause in named if epoch == newest}),
        "audit_lost": sum(part["count"] for part in audit["lost"].values()),
        "audit_complete": audit["complete"],
    }
    told["held"] = bool(lost) and not missing and not beyond and told["audit_lost"] == len(lost) and audit["complete"]
    return told


def _series(storm: Storm, asked: argparse.Namespace) -> dict[str, Any]:
    return crossed(storm.shore, storm.shore.apps[1], seed=asked.seed)


def _judged(shore: Shore) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for app in shore.apps:
        shore.drain(app)
        verdict = shore.verdict(app)
        for name, value in verdict.plain().items():
            told[name] = told.get(name, 0) + value
        told["whole"] = told.get("whole", True) and verdict.whole
    return told


def _stored(audit: dict[str, Any]) -> int:
    return sum(int(found["stored"]["count"]) for found in audit["streams"])


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
