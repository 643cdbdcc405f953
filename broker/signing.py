"""Proofs over bytes as sent: Ed25519 signatures (RFC 8032) and HMAC-SHA256 cut to 128 bits (RFC 2104 section 5).

What is proven is the context (protocol, channel, direction, device), the envelope's header and the body: a valid
envelope of one device or channel is worth nothing on another.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from broker.errors import Refused

ED25519 = 1
HMAC_SHA256_128 = 2
PROOF_BYTES = {ED25519: 64, HMAC_SHA256_128: 16}
KEY_ID_BYTES = 8


def key_id(key: bytes) -> bytes:
    """Return the name of a key: the first 8 bytes of the SHA-256 of the public key, or of a MAC key's own digest."""
    return hashlib.sha256(b"skerry key\n" + key).digest()[:KEY_ID_BYTES]


class Prover(Protocol):
    """Makes proofs."""

    @property
    def algorithm(self) -> int:
        """Return the number of the algorithm."""

    @property
    def key_id(self) -> bytes:
        """Return the name of the key."""

    def prove(self, data: bytes) -> bytes:
        """Return the proof over `data`."""


class Verifier(Protocol):
    """Checks proofs."""

    def verify(self, algorithm: int, key: bytes, data: bytes, proof: bytes) -> None:
        """Return when `proof` holds over `data`; raise `Refused` (`unknown_key`, `bad_signature`) otherwise."""


class Signer:
    """An Ed25519 key."""

    algorithm = ED25519

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.public = bytes(self._key.verify_key)
        self.key_id = key_id(self.public)

    @classmethod
    def generate(cls) -> Signer:
        return cls(bytes(SigningKey.generate()))

    @property
    def seed(self) -> bytes:
        return bytes(self._key)

    def prove(self, data: bytes) -> bytes:
        return self._key.sign(data).signature


class Signatures:
    """Verifies signatures by any of a set of public keys, by key id."""

    def __init__(self, publics: tuple[bytes, ...]) -> None:
        self._keys: Mapping[bytes, VerifyKey] = {key_id(public): VerifyKey(public) for public in publics}

    def verify(self, algorithm: int, key: bytes, data: bytes, proof: bytes) -> None:
        if algorithm != ED25519:
            raise Refused("bad_signature", f"algorithm {algorithm} where a signature is needed")
        verify_key = self._keys.get(key)
        if verify_key is None:
            raise Refused("unknown_key", f"signed by key {key.hex()}, which is not among the trusted ones")
        if len(proof) != PROOF_BYTES[ED25519]:  # a cut-off envelope: the library takes that for a mistake of ours
            raise Refused("bad_signature", f"a signature of {len(proof)} bytes")
        try:
            verify_key.verify(data, proof)
        except BadSignatureError as error:
            raise Refused("bad_signature", f"the signature by key {key.hex()} does not match the bytes") from error


@dataclass(frozen=True)
class MacKey:
    """The key one device shares with ingest; makes and checks MACs."""

    key: bytes
    algorithm: int = HMAC_SHA256_128

    @property
    def key_id(self) -> bytes:
        return key_id(hashlib.sha256(self.key).digest())

    def prove(self, data: bytes) -> bytes:
        return hmac.digest(self.key, data, "sha256")[: PROOF_BYTES[HMAC_SHA256_128]]

    def verify(self, algorithm: int, key: bytes, data: bytes, proof: bytes) -> None:
        if algorithm != HMAC_SHA256_128 or key != self.key_id:
            raise Refused("unknown_key", f"authenticated under key {key.hex()}, not this device's")
        if not hmac.compare_digest(self.prove(data), proof):
            raise Refused("bad_signature", "the authentication code does not match the bytes")
