"""The epoch: a random number for each start of the store, durable before the first write of that start.

(epoch, number) then never names two different samples, also when the store lost its tail in a power cut or an old disk
image came back: the numbers may repeat, the epoch does not.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from broker.files import write_durably

EPOCH_BITS = 62


def new_epoch(path: Path) -> int:
    """Return a fresh epoch, written down before it is returned."""
    epoch = secrets.randbits(EPOCH_BITS) | 1
    write_durably(path, str(epoch).encode())
    return epoch
