"""What a deployment would do, as rows for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cloud.cli.answers import PlannedDevice
from cloud.cli.progress import size
from cloud.cli.render import printable

HEADERS = ("DEVICE", "MOVE", "BY PATCH", "PRESENT", "TIME", "FREE AFTER", "SERVICES")
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


def plan_row(device: PlannedDevice) -> Sequence[str]:
    """Return one row; what a device has never said is a question mark."""
    after = device.disk_after_bytes
    return (
        printable(device.name or device.device),
        size(device.size.layers),
        "-" if device.size.delta is None else size(device.size.delta),
        size(device.size.present),
        took(device.seconds) if device.size.layers else "-",
        "?" if after is None else (size(after) if after >= 0 else f"no room: {size(-after)} too few"),
        printable(_services(device)),
    )


def took(seconds: int | None) -> str:
    """Return a duration as people read it, in its two largest units."""
    if seconds is None:
        return "?"
    for number, (unit, length) in enumerate(_UNITS):
        if seconds >= length:
            rest = seconds % length
            smaller, of = (*_UNITS, ("s", 1))[number + 1]
            return f"{seconds // length}{unit}" + (f"{rest // of}{smaller}" if rest // of else "")
    return f"{seconds}s"


def _services(device: PlannedDevice) -> str:
    parts = (("restart", device.restarts), ("start", device.starts), ("stop", device.stops))
    return "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names) or "nothing changes"
