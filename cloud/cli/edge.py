"""The edge of `skerry`: where every error becomes one line and an exit code. No error gets out but bugs."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable

from broker.errors import Passing, SkerryError
from cloud.cli import exits
from cloud.cli.render import printable

PROGRAM = "skerry"


def exit_code(work: Callable[[], int], *, as_json: bool) -> int:
    """Do the work of a command; return its exit code, or that of the error that ended it."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except SkerryError as error:
        return told(error, as_json=as_json)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # the terminal shows ^C without ending the line
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain once more while it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK


def told(error: SkerryError, *, as_json: bool) -> int:
    """Print an error where people and programs look for it; return its exit code."""
    hint = getattr(error, "hint", "") or ""
    reason = getattr(error, "reason", "") or re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    line = f"{PROGRAM}: {error}" + (f" ({hint})" if hint else "")
    print(printable(line), file=sys.stderr)
    if as_json:
        print(json.dumps({"error": {"reason": reason, "message": str(error), "hint": hint or None}}))
    return exits.UNREACHABLE if isinstance(error, Passing) else exits.REFUSED
