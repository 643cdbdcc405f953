"""Passwords (argon2id) and secrets that are looked up by their hash."""

from __future__ import annotations

import hashlib
import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from broker.errors import Passing, Refused

AT_ONCE = 2  # each costs 64 MiB and about 0.3 s of processor time
WAIT_S = 10.0
LENGTH_RANGE = (8, 1000)


class Passwords:
    """Hashes and checks; never more than two at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher if hasher is not None else PasswordHasher()
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """Return the hash to store; raise `Refused` (`bad_password`) for one that is too short."""
        low, high = LENGTH_RANGE
        if not low <= len(password) <= high:
            raise Refused("bad_password", f"a password has {low} to {high} characters")
        return self._hasher.hash(password)

    def check(self, stored: str | None, password: str) -> bool:
        """Return whether the password is right. Without a stored one it takes as long, and is wrong."""
        if not self._turns.acquire(timeout=WAIT_S):
            raise Passing("too many logins at once")
        try:
            return self._hasher.verify(stored or self._nobody, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False
        finally:
            self._turns.release()


def new_secret(prefix: str) -> str:
    """Return 256 random bits as text."""
    return prefix + secrets.token_urlsafe(32)


def secret_hash(secret: str) -> str:
    """Return what is stored of a secret: it is random, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()
