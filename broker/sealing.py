"""Sealing: a value for the holder of one Ed25519 key and nobody else, as libsodium's sealed boxes do it.

The key is taken to X25519 (crypto_sign_ed25519_pk_to_curve25519), a box is 48 bytes longer than what is in it, and
every box is another. Inside, the value stands behind what it is of: a box in another's place does not open.
"""

from __future__ import annotations

from nacl.exceptions import CryptoError
from nacl.public import SealedBox
from nacl.signing import SigningKey, VerifyKey

from broker.errors import Refused

OVERHEAD_BYTES = 48
ABOUT_CHARS_MAX = 200


def about_secret(app: str, name: str) -> str:
    """Return what a sealed secret is of: an app's id, and the secret's name in the AppSpec."""
    return f"{app}/{name}"


def seal(public: bytes, about: str, value: bytes) -> bytes:
    """Return `value` sealed to the holder of an Ed25519 public key of 32 bytes.

    Raises `Refused` (`bad_key`) for bytes that are none.
    """
    try:
        key = VerifyKey(public).to_curve25519_public_key()
    except (CryptoError, ValueError, TypeError, RuntimeError) as error:
        raise Refused("bad_key", "this is not an Ed25519 public key") from error
    return SealedBox(key).encrypt(_label(about) + value)


class Opener:
    """Opens what was sealed to one key."""

    def __init__(self, seed: bytes) -> None:
        key = SigningKey(seed)
        self.public = bytes(key.verify_key)
        self._box = SealedBox(key.to_curve25519_private_key())

    def open(self, about: str, sealed: bytes) -> bytes:
        """Return the value; raise `Refused` (`not_sealed`) where the key or `about` is not what it was sealed with."""
        try:
            opened = self._box.decrypt(sealed)
        except (CryptoError, ValueError, TypeError) as error:
            raise Refused("not_sealed", f"{about} is not sealed to this key") from error
        if not opened.startswith(_label(about)):
            raise Refused("not_sealed", f"what is sealed as {about} is another secret")
        return opened[len(_label(about)) :]


def _label(about: str) -> bytes:
    """Return what stands before the value; a length in front, so that no label is the beginning of another."""
    text = about.encode()
    assert len(text) <= ABOUT_CHARS_MAX
    return len(text).to_bytes(2, "big") + text
