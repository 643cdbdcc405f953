"""What the API answers instead of a result, as our kinds of errors. `hint` says what to do about it."""

from __future__ import annotations

from broker.errors import Passing, Refused


class RequestRefused(Refused):
    """The API, or this command, will not do it; asking again changes nothing. `status` is 0 without an answer."""

    def __init__(self, reason: str, message: str, *, hint: str = "", status: int = 0) -> None:
        super().__init__(reason, message)
        self.hint = hint
        self.status = status


class CloudUnreachable(Passing):
    """Nobody answers, or the one that answers cannot do it now."""

    def __init__(self, message: str, *, reason: str = "cloud_unreachable", hint: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.hint = hint
