"""What telemetry costs: packing on the device, memory, bytes on the link, the drain after an outage, and storing it.

`./run bench telemetry [--rounds N] [--samples N] [--only PART...] [--json]`. Every part measures ours and a plain way
in turns, in one run; told are medians, and the median of each round's ratio. Parts:

- `move`: from the intake into the store, which has all on the disk before it answers; beside redis-py's XADD into the
  same server, one by one. And what a sample takes of the store's memory beside a plain stream entry of the same fields.
- `drain`: samples that gathered without a link, until the cloud has answered for all of them, over TLS; beside paho,
  which sends each as a message of QoS 1 to a mosquitto, over TLS. The kernel counts the bytes of both connections.
- `ingest`: batches of 100 samples from 8 devices into a real cloud until it has answered for them: samples for each
  second of processor time that the cloud's process takes: session, checks, SQLite on disk and answers.
- `postgresql`: the same into a cloud on a PostgreSQL that writes to the disk before it answers; beside who inserts the
  same blobs into a table with nothing else, as many for a commit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.telemetry_cloud import CloudUnderTest, PlainRows
from bench.telemetry_device import Buffered, Peer
from tests.harness.postgres import Postgres
from tests.harness.servers import use_unpacked_servers

PARTS = ("move", "drain", "ingest", "postgresql")
RATIOS = {
    "move_to_xadd": ("move_samples_per_s", "xadd_samples_per_s"),
    "memory_to_plain": ("packed_memory_bytes", "plain_memory_bytes"),
    "drain_to_paho": ("drain_samples_per_s", "paho_samples_per_s"),
    "wire_to_paho": ("drain_wire_bytes", "paho_wire_bytes"),
    "postgresql_to_plain_rows": ("postgresql_samples_per_s", "plain_rows_samples_per_s"),
}
WANTED = {
    "move_to_xadd": "at least 30",
    "memory_to_plain": "at most 0.2",
    "drain_to_paho": "at least 50",
    "wire_to_paho": "at most 0.06",
    "ingest_samples_per_cpu_s": "at least 500,000",
    "postgresql_to_plain_rows": "at least 0.7",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=200_000, help="moved and drained in a round")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    use_unpacked_servers()
    rounds = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skerry-")))
        beside = Beside(stack, folder, asked.only)
        for n in range(asked.rounds):
            rounds.append(one_round(folder / str(n), beside, parts=asked.only, samples=asked.samples))
    told = {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}
    if asked.json:
        print(json.dumps({"medians": told, "rounds": rounds, "wanted": WANTED}))
        return
    for name, value in told.items():
        print(f"{name.replace('_', ' '):32}{value:>16,.4g}   {WANTED.get(name, '')}")


class Beside:
    """What stands through all rounds."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, parts: Sequence[str]) -> None:
        self.cloud = stack.enter_context(CloudUnderTest(folder / "cloud"))
        self.peer = stack.enter_context(Peer(folder / "peer"))
        if "postgresql" in parts:
            server = Postgres(safe=True)
            stack.callback(server.stop)
            self.rows = PlainRows(server.create("plain"))
            stack.callback(self.rows.close)
            self.other_cloud = stack.enter_context(CloudUnderTest(folder / "other", database=server.create("skerry")))


def one_round(folder: Path, beside: Beside, *, parts: Sequence[str], samples: int) -> dict[str, float]:
    """Measure every part once."""
    figures: dict[str, float] = {}
    if "move" in parts or "drain" in parts:
        with Buffered(folder, samples=samples) as device:
            figures |= device.xadd_one_by_one() | device.move() if "move" in parts else {}
            device.move()
            if "drain" in parts:
                figures |= device.drain(beside.cloud.drained, beside.cloud.broker) | beside.peer.send()
    if "ingest" in parts:
        figures |= beside.cloud.ingest()
    if "postgresql" in parts:
        found = beside.other_cloud.ingest()
        figures |= {name.replace("ingest", "postgresql"): value for name, value in found.items()}
        figures["plain_rows_samples_per_s"] = beside.rows.insert(a_commit=round(found["ingest_batches_a_commit"]))
    return figures | {
        name: figures[ours] / figures[theirs] for name, (ours, theirs) in RATIOS.items() if ours in figures
    }


if __name__ == "__main__":
    main()
