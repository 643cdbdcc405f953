"""The lock of a state folder: one process at a time changes what is in it."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

from broker.errors import Refused
from device.config import Paths


@contextlib.contextmanager
def alone(paths: Paths) -> Iterator[None]:
    """Be the only one that changes what is in the state folder; raise `Refused` (`running`) while another is."""
    paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with paths.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused("running", f"another process works in {paths.state}") from error
        yield
