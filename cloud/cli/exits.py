"""The exit codes of `skerry`; docs/cli.md promises them to scripts."""

from __future__ import annotations

OK = 0
REFUSED = 1
USAGE = 2
UNREACHABLE = 3
FAILED = 4
TIMED_OUT = 5
INTERRUPTED = 130
