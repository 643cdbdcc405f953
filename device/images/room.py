"""Whether an image has room: how much will move and how much will lie on the disk, before the first byte. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from broker.errors import Refused

RESERVE_BYTES = 64 * 1024 * 1024  # stays free for the worker: its ledger, telemetry, the engine's own files
MIB = 1024 * 1024


@dataclass(frozen=True)
class Need:
    """What fetching one image takes: bytes over the link, bytes in the store, bytes on the engine once unpacked."""

    to_move: int
    to_store: int
    to_unpack: int

    def fits(self, free_bytes: int) -> bool:
        needed = self.to_store + self.to_unpack
        return not needed or needed + RESERVE_BYTES <= free_bytes

    def check(self, free_bytes: int) -> None:
        """Raise `Refused` (`no_room`) with the figures when the disk cannot take it."""
        needed = self.to_store + self.to_unpack
        if not self.fits(free_bytes):
            raise Refused(
                "no_room",
                f"needs {_mib(needed)} of disk ({_mib(self.to_store)} to fetch, {_mib(self.to_unpack)} unpacked) and "
                f"{_mib(RESERVE_BYTES)} in reserve; {_mib(free_bytes)} are free",
            )


def _mib(size: int) -> str:
    return f"{-(-size // MIB)} MiB"
