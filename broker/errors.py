"""The three kinds of errors: refused, passing, and bugs (which are plain exceptions that rise)."""

from __future__ import annotations


class SkerryError(Exception):
    """Anything Skerry raises on purpose. `str()` is one line a person can act on."""


class Refused(SkerryError):
    """Bad, unsigned or stale input: counted, reported once, never retried.

    `reason` is for machines (snake_case, stable); the message is for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Passing(SkerryError):
    """The network, an engine or a server was not there: retried with backoff, then reported."""


class Waiting(Passing):
    """Nothing is wrong: what was asked for has its time, and that is not now. `reason` as for `Refused`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
