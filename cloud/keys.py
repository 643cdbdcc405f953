"""The cloud's own keys: root, desired and command sign, ingest is for MACs, vault for secrets. Files of mode 0600."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from broker.channels import TRUST
from broker.codec import seal
from broker.errors import Refused
from broker.files import write_durably
from broker.ids import DeviceRef
from broker.messages import Trust, TrustKey
from broker.signing import MacKey, Signatures, Signer

ERA = 1  # rises only with a trust document that a root key signs; nothing here raises it yet
TRUST_VERSION = 1
SEED_BYTES = 32
_SIGNING = ("root", "desired", "command")
_NAMES = (*_SIGNING, "ingest", "vault")


@dataclass(frozen=True)
class Keys:
    """What proves that a message is ours, and what checks that one is a device's."""

    root: Signer
    desired: Signer
    command: Signer
    ingest: bytes
    vault: bytes

    @property
    def desired_verifier(self) -> Signatures:
        """Return what recognises desired states of our own."""
        return Signatures((self.desired.public,))

    def mac(self, device: DeviceRef, number: int) -> MacKey:
        """Return the key number `number` of a device: a function of the ingest key, so nothing needs to be stored."""
        return MacKey(self._derive(f"{device.cn} {number}"))

    @property
    def nonce_key(self) -> bytes:
        """Return the key that nonces for devices are recognised by."""
        return self._derive("nonce")

    def sealed_trust(self, device: DeviceRef) -> bytes:
        """Return the trust document for a device, sealed by the root key."""
        online = (
            TrustKey(public=self.desired.public, roles=("desired",)),
            TrustKey(public=self.command.public, roles=("command",)),
        )
        document = Trust(version=TRUST_VERSION, era=ERA, roots=(self.root.public,), keys=online)
        return seal(TRUST, device, document, self.root)

    def _derive(self, info: str) -> bytes:
        return HKDF(SHA256(), length=SEED_BYTES, salt=None, info=f"skerry {info}".encode()).derive(self.ingest)


def make(folder: Path) -> None:
    """Make the keys that are missing."""
    for name in _NAMES:
        if not _path(folder, name).exists():
            write_durably(_path(folder, name), secrets.token_bytes(SEED_BYTES))


def load(folder: Path) -> Keys:
    """Read the keys; raise `Refused` when one is missing or damaged."""
    seeds = {name: _seed(_path(folder, name)) for name in _NAMES}
    signers = {name: Signer(seeds[name]) for name in _SIGNING}
    return Keys(**signers, ingest=seeds["ingest"], vault=seeds["vault"])


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.key"


def _seed(path: Path) -> bytes:
    try:
        seed = path.read_bytes()
    except OSError as error:
        raise Refused("bad_state", f"cannot read the key {path}: {error.strerror}") from error
    if len(seed) != SEED_BYTES:
        raise Refused("bad_state", f"{path} is damaged: {len(seed)} bytes, not {SEED_BYTES}")
    return seed
