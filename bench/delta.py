"""What a patch saves between layers that follow each other, and what making and applying it costs.

`./run bench delta [--rounds N] [--only PAIR] [--json]`. Every making and applying is a process of its own;
applying, `tar x` of the same layer, and all that a device does (unpack the kept blob of the base and check it, apply,
check, pack and keep the result) take turns. The last pair is of 1 GiB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backports import zstd

from bench.delta_pairs import PAIRS, Pair, pair
from broker.layers import Measured
from broker.oci import Blob, Patch
from broker.patches import applied, read_head
from cloud.patching.making import main as make_patch
from cloud.patching.making import reading
from device.images.patching import Base, Chosen, Lack, Patching
from device.images.store import Store

LARGE_BYTES, LARGE_FILES, LARGE_CHANGED = 1024**3, 16, 3


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        return child(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=[*PAIRS, "large"], action="append", help="some pairs; all without")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skerry-") as name:
        folder = Path(name)
        found = []
        for short in asked.only or (*PAIRS, "large"):
            made = large(folder) if short == "large" else pair(folder, short)
            found.append(measured(made, folder, rounds=asked.rounds))
            print(f"measured: {made.name}", file=sys.stderr)
    if asked.json:
        print(json.dumps(found))
        return 0
    for row in found:
        print(row.pop("pair"))
        for what, value in row.items():
            print(f"  {what:28} {value}")
    return 0


def measured(two: Pair, folder: Path, *, rounds: int) -> dict[str, object]:
    patch, out, tree = folder / "patch", folder / "out.tar", folder / "tree"
    digests = [digest(path) for path in (two.old, two.new)]
    child = [sys.executable, "-m", "bench.delta", "--child"]
    making = [*child, "make", str(two.old), digests[0], str(two.new), digests[1], str(patch)]
    made_s, made_mb = min(run(making) for _ in range(min(rounds, 3)))
    gzip_bytes, blob = keep_base(folder / "store", two, digests[0])
    on_device = [*child, "device", str(folder / "store"), str(patch), str(gzip_bytes)]
    applying, device, unpacking, memory, worker = [], [], [], [], []
    for _ in range(rounds):
        seconds, mb = run([*child, "apply", str(two.old), str(patch), str(out)])
        applying.append(seconds)
        memory.append(mb)
        assert digest(out) == digests[1]
        out.unlink()
        tree.mkdir()
        unpacking.append(run(["tar", "x", "-f", str(two.new), "-C", str(tree)])[0])
        shutil.rmtree(tree)
        seconds, mb = run(on_device)
        device.append(seconds)
        worker.append(mb)
    shutil.rmtree(folder / "store")
    tar_s = statistics.median(unpacking)
    row: dict[str, object] = {
        "pair": two.name,
        "tar_bytes": two.new.stat().st_size,
        "gzip_bytes": gzip_bytes,
        "base_blob_bytes": blob,
        "patch_bytes": patch.stat().st_size,
        "of_gzip": round(patch.stat().st_size / gzip_bytes, 4),
        "made_s": round(made_s, 2),
        "made_rss_mb": round(made_mb),
        "applied_s": round(statistics.median(applying), 2),
        "tar_x_s": round(tar_s, 2),
        "applied_of_tar_x": round(statistics.median(applying) / tar_s, 2),
        "applied_rss_mb": round(max(memory)),
        "on_device_s": round(statistics.median(device), 2),
        "on_device_of_tar_x": round(statistics.median(device) / tar_s, 2),
        "on_device_rss_mb": round(max(worker)),
    }
    if two.changed:
        changed = len(zstd.compress(two.changed, level=19))
        row |= {"changed_zstd19_bytes": changed, "allowed_bytes": int(max(0.005 * gzip_bytes, 2048 + 1.1 * changed))}
    two.old.unlink()
    two.new.unlink()
    return row


def keep_base(folder: Path, two: Pair, base: str) -> tuple[int, int]:
    """Have the base in a store as it was pushed; return the sizes of the new layer and of the base as pushed."""
    store = Store(folder, boot="")
    store.prepare()
    packed = folder / "packed"
    sizes = []
    for path in (two.new, two.old):
        with packed.open("wb") as file:
            subprocess.run(["gzip", "-6", "-c", str(path)], check=True, stdout=file)
        sizes.append(packed.stat().st_size)
    store.adopt(packed, Measured(digest(packed), base, two.old.stat().st_size))
    return sizes[0], sizes[1]


def run(argv: Sequence[str]) -> tuple[float, float]:
    """Run a program; return its seconds and megabytes as it says them, else the seconds from its start to its end."""
    began = time.monotonic()
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    return (float(said[0]), float(said[1])) if said else (time.monotonic() - began, 0.0)


def child(deed: str, arguments: Sequence[str]) -> int:
    """Make or apply in a process of its own, and say how long that took and its largest resident memory."""
    if deed == "device":
        from device import worker  # what a worker has loaded is part of what it holds

        assert worker
    began = time.monotonic()
    if deed == "make":
        make_patch(arguments)
    elif deed == "device":
        began = apply_on_device(Path(arguments[0]), Path(arguments[1]), int(arguments[2]))
    else:
        apply(*(Path(each) for each in arguments))
    status = Path("/proc/self/status").read_text()
    print(time.monotonic() - began, int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6)
    return 0


def apply(base: Path, patch: Path, out: Path) -> None:
    with base.open("rb", buffering=0) as old, patch.open("rb") as file, out.open("wb") as made:
        head = read_head(file)
        for piece in applied(file, reading(old.fileno()), head=head):
            made.write(piece)


def apply_on_device(folder: Path, patch: Path, blob_bytes: int) -> float:
    """Do all that a worker does with a patch that has arrived, in a process that has loaded what a worker loads.

    Return when it began to. It ends when the engine can be given the layer; the sync comes after that.
    """
    store = Store(folder, boot="")
    nowhere: Any = None
    patching = Patching(store, nowhere, nowhere, use="only", name=lambda kept: "", room=lambda need: True)
    name = digest(patch)
    copy = folder / "patch"
    shutil.copyfile(patch, copy)
    with patch.open("rb") as file:
        head = read_head(file)
    store.adopt(copy, Measured(name, name, patch.stat().st_size))
    lack = Lack(Blob(digest=name, size=blob_bytes), blob_bytes, head.result)
    known = Patch(digest=name, size=patch.stat().st_size, base=head.base, result=head.result)
    began = time.monotonic()
    assert patching.applied(Chosen(lack, known, Base(head.base_bytes), head.result_bytes), lambda: None)
    ended = time.monotonic()
    store.discard(store.tars()[head.result])
    return began + time.monotonic() - ended


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def large(folder: Path) -> Pair:
    """Return a layer of 1 GiB in large files, of which some changed all over, and its successor."""
    paths = folder / "large-old.tar", folder / "large-new.tar"
    for new, path in enumerate(paths):
        spread = random.Random(1)  # noqa: S311 - the same everywhere
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(LARGE_FILES):
                data = spread.randbytes(LARGE_BYTES // LARGE_FILES)
                if new and number < LARGE_CHANGED:
                    data = _edited(data, random.Random(number))  # noqa: S311 - the same everywhere
                info = tarfile.TarInfo(f"model/part-{number:02}")
                info.size, info.mtime = len(data), new
                with tempfile.TemporaryFile() as file:
                    file.write(data)
                    file.seek(0)
                    tar.addfile(info, file)
    return Pair("a layer of 1 GiB", *paths)


def _edited(data: bytes, spread: random.Random) -> bytes:
    """Return bytes with 200 places changed, some of them longer than before."""
    parts, at = [], 0
    for place in sorted(spread.sample(range(len(data) - 100), 200)):
        if place > at:
            parts += [data[at:place], spread.randbytes(spread.randint(1, 60))]
            at = place + 20
    return b"".join([*parts, data[at:]])


if __name__ == "__main__":
    sys.exit(main())
