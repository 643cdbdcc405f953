"""How a program of the device ends on an error of ours: one line, and a status that says of which kind it is."""

from __future__ import annotations

import sys

from broker.errors import Refused, SkerryError

EXIT_REFUSED = 1
EXIT_UNREACHABLE = 3


def told(error: SkerryError) -> int:
    """Tell of an error in one line; return the exit status."""
    print(f"skerry-device: {error}", file=sys.stderr)
    return EXIT_REFUSED if isinstance(error, Refused) else EXIT_UNREACHABLE
