"""Time as a parameter: monotonic for deadlines, wall for people, the boot id to tell reboots apart."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What deciding code is given instead of the `time` module."""

    def monotonic(self) -> float:
        """Return seconds that never go back while the machine is up."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 as this machine believes; may jump."""


def uptime_ms() -> int:
    """Return milliseconds since the machine booted, sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


def boot_id(path: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """Return the kernel's random id of this boot as 32 hexadecimal digits."""
    return path.read_text().strip().replace("-", "")
