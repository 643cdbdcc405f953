"""Ids, names and the identity of a device in topics and certificates.

Ids are random and never reused; names are labels for people. Only ids travel.
"""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

from broker.errors import Refused

SHARDS = 64  # fixed for ever: the shard is part of every certificate; 64 lets ingest spread over many processes
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648 base32, lower case, no padding
_TAIL = "[a-z2-7]{11}"

OrgId = Annotated[str, StringConstraints(pattern=f"^o{_TAIL}$")]
DeviceId = Annotated[str, StringConstraints(pattern=f"^d{_TAIL}$")]
InstanceId = Annotated[str, StringConstraints(pattern=f"^i{_TAIL}$")]
AppId = Annotated[str, StringConstraints(pattern=f"^a{_TAIL}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]

NAME_RULE = "lower-case letters, digits, '-' and '_', at most 63, starting with a letter or digit"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_CN = re.compile(rf"(0|[1-9][0-9]?)/(o{_TAIL})/(d{_TAIL})")


def new_id(kind: str) -> str:
    """Return a fresh id: `kind` (`o` org, `d` device, `a` app, `i` instance ..) and 11 base32 characters."""
    assert len(kind) == 1
    return kind + "".join(secrets.choice(_ALPHABET) for _ in range(11))


def checked_name(text: str, what: str) -> str:
    """Return `text` if it is a valid name; raise `Refused` naming `what` otherwise."""
    if not _NAME.fullmatch(text):
        raise Refused("bad_name", f"{what} {text[:80]!r} is not a valid name: use {NAME_RULE}")
    return text


@functools.lru_cache(65536)  # asked for with each message
def shard_of(org: str, device: str) -> int:
    """Return the shard of a device: a function of its ids alone, so both sides can check it."""
    return int.from_bytes(hashlib.sha256(f"{org}/{device}".encode()).digest()[:8], "big") % SHARDS


@dataclass(frozen=True, order=True)
class DeviceRef:
    """Where a device lives: its organisation, its id, and with them its shard."""

    org: str
    device: str

    @property
    def shard(self) -> int:
        return shard_of(self.org, self.device)

    @property
    def cn(self) -> str:
        """Common name, user name and MQTT client id alike: `<shard>/<org>/<device>`, 28 characters at most."""
        return f"{self.shard}/{self.org}/{self.device}"

    def __str__(self) -> str:
        return f"{self.org}/{self.device}"


def parse_cn(cn: str) -> DeviceRef:
    """Return the device a common name stands for; raise `Refused` when it has another form or the wrong shard."""
    match = _CN.fullmatch(cn)
    if match is None:
        raise Refused("bad_identity", f"{cn[:80]!r} is not <shard>/<org>/<device>")
    ref = DeviceRef(match[2], match[3])
    if ref.shard != int(match[1]):
        raise Refused("wrong_shard", f"{cn!r} names shard {match[1]}, but its ids belong to shard {ref.shard}")
    return ref
