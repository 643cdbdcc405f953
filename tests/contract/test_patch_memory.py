"""What applying a patch holds: a bound that has a margin, whatever the layer's size, beside all that a worker has."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

from broker.layers import Measured
from cloud.patching.making import make
from device.images.store import Store
from tests.harness.images import layer_tar
from tests.harness.servers import ROOT

MB = 10**6
FILES, FILE_BYTES = 3, 16 * 1024**2
APPLY = """
import json, sys
from pathlib import Path
from typing import Any
from broker.oci import Blob, Patch
from broker.patches import read_head
from device import worker
from device.images.patching import Base, Chosen, Lack, Patching
from device.images.store import Store

folder, name, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def held(what):
    return int(Path("/proc/self/status").read_text().partition(what)[2].split()[0]) * 1024

store = Store(folder, boot="")
with store.opened(name) as patch:
    head = read_head(patch)
patching = Patching(store, None, None, use="only", name=lambda kept: "", room=lambda need: True)
lack = Lack(Blob(digest=name, size=size), size, head.result)
known = Patch(digest=name, size=1, base=head.base, result=head.result)
before = held("VmRSS:")
assert patching.applied(Chosen(lack, known, Base(head.base_bytes), head.result_bytes), lambda: None)
print(json.dumps([before, held("VmHWM:"), store.tars()[head.result]]))
"""


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def edited(data: bytes, spread: random.Random) -> bytes:
    """Return bytes with something else at 50 places, so that all of them have to be compressed against the old ones."""
    changed = bytearray(data)
    for place in spread.sample(range(len(data) - 100), 50):
        changed[place : place + 20] = spread.randbytes(20)
    return bytes(changed)


def test_applying_a_patch_with_the_largest_segments_holds_less_than_is_allowed_with_a_margin(tmp_path: Path) -> None:
    spread = random.Random(8)  # noqa: S311 - any bytes
    files = {f"part-{number}": spread.randbytes(FILE_BYTES) for number in range(FILES)}
    tars = [layer_tar(files), layer_tar({name: edited(data, spread) for name, data in files.items()})]
    paths = [tmp_path / name for name in ("old", "new", "patch")]
    for path, tar in zip(paths, tars, strict=False):
        path.write_bytes(tar)
    make(*paths, base_digest=digest(tars[0]), result_digest=digest(tars[1]))
    store = Store(tmp_path / "images", boot="")
    store.prepare()
    name = digest(paths[2].read_bytes())
    store.adopt(paths[0], Measured(digest(tars[0]), digest(tars[0]), len(tars[0])))
    store.adopt(paths[2], Measured(name, name, 1))
    argv = [sys.executable, "-c", APPLY, str(tmp_path / "images"), name, str(len(tars[1]))]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, held, made = json.loads(done.stdout)
    assert digest(b"".join(store.chunks(made))) == made == digest(tars[1])  # noise is kept as it is
    assert held < 115 * MB, f"{held / MB:.0f} MB; 128 are allowed"
    assert held - before < 50 * MB
