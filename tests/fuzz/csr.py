"""Fuzz certificate requests: PEM damaged as text, and DER damaged inside of it."""

from __future__ import annotations

import base64
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from cloud.pki import key_hash, read_request
from tests.fuzz.fuzzing import damaged, main


def _request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "svc.publisher")])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, digest)
    return made.public_bytes(serialization.Encoding.DER)


DERS = (
    _request(ec.derive_private_key(7, ec.SECP256R1())),
    _request(ec.derive_private_key(7, ec.SECP384R1())),
    _request(ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)),
    _request(rsa.generate_private_key(65537, 2048)),
)


def pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"


PEMS = tuple(pem(der) for der in DERS)


def make(random: Random) -> str:
    if random.random() < 0.3:
        return damaged(random, PEMS).decode("latin-1")
    return pem(damaged(random, DERS)).decode()


def attempt(text: str) -> None:
    assert len(key_hash(read_request(text))) == 64


if __name__ == "__main__":
    main(make, attempt)
