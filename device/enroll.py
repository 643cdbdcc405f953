"""Enrolling: keys made here, a token traded for an identity. `cryptography` is loaded by this command only."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.channels import TRUST
from broker.codec import open_sealed
from broker.enrollment import EnrollPending, EnrollRequest, EnrollResponse, parse_token
from broker.errors import Passing, Refused
from broker.files import write_durably
from broker.ids import DeviceRef
from broker.messages import Host
from broker.signing import Signatures, Signer
from broker.tls import fetch_pinned_ca
from device.checked_file import CheckedFile
from device.cloud_client import CloudClient
from device.config import Identity, Paths

SERIAL_FILES = (Path("/proc/device-tree/serial-number"), Path("/sys/class/dmi/id/product_serial"))


def enroll(
    token_text: str,
    paths: Paths,
    *,
    name: str | None,
    host: Host,
    serial: str = "",
    waits: Callable[[EnrollPending], None] = lambda pending: None,
) -> Identity:
    """Make keys, enrol, and write everything the worker needs; return the identity.

    Where somebody has to approve, `waits` is called before each time the cloud is asked again; what it raises ends
    that. The keys stay on the disk, so that whoever enrolls again with the same token goes on with the same request.
    The identity file is written last: a crash before it leaves a device that is simply not enrolled.
    Raises `Refused` when the token, the cloud's authority or the answer is not right, or an identity exists already.
    """
    if paths.identity_file.exists():
        raise Refused("already_enrolled", f"{paths.state} already holds an identity; use another --state folder")
    token = parse_token(token_text)
    paths.prepare()
    address = urlsplit(token.url)
    ca = fetch_pinned_ca(address.hostname or "", address.port or 443, token.ca)
    write_durably(paths.ca, ca.encode(), mode=0o644)
    key, signer = _keys(paths)
    request = EnrollRequest(
        secret=token.secret,
        csr=_csr(key),
        identity_key=base64.b64encode(signer.public).decode(),
        name=name,
        host=host,
        serial=serial,
    )
    client = CloudClient(token.url, ca=paths.ca)
    answer = client.enroll(request)
    while isinstance(answer, EnrollPending):
        waits(answer)
        with contextlib.suppress(Passing):  # a link that goes away meanwhile is no reason to stop waiting
            answer = client.enroll(request)
    return _write(answer, paths, cloud=token.url)


def machine_serial() -> str:
    """Return the serial number that the machine's firmware tells, or nothing."""
    for path in SERIAL_FILES:
        with contextlib.suppress(OSError, ValueError):
            return re.sub("[^!-~]", "", path.read_text())[:64]
    return ""


def _keys(paths: Paths) -> tuple[ec.EllipticCurvePrivateKey, Signer]:
    """Return the keys of an enrollment that was begun, or new ones."""
    with contextlib.suppress(OSError, ValueError):
        kept = serialization.load_pem_private_key(paths.key.read_bytes(), None)
        if isinstance(kept, ec.EllipticCurvePrivateKey):
            return kept, Signer(paths.seed.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    signer = Signer.generate()
    write_durably(paths.key, pem)
    write_durably(paths.seed, signer.seed)
    return key, signer


def _csr(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a signing request; its subject is ignored, as the cloud alone gives names."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _write(answer: EnrollResponse, paths: Paths, *, cloud: str) -> Identity:
    device = DeviceRef(answer.org, answer.device)
    sealed_trust = base64.b64decode(answer.trust)
    open_sealed(TRUST, device, sealed_trust, Signatures((base64.b64decode(answer.root_key),)))
    CheckedFile(paths.ledger / "trust").write(sealed_trust)
    write_durably(paths.certificate, answer.certificate.encode(), mode=0o644)
    identity = Identity(
        org=answer.org,
        device=answer.device,
        name=answer.name,
        cloud=cloud,
        brokers=answer.brokers,
        registry=answer.registry,
        mac_key=answer.mac_key,
        root_key=answer.root_key,
        keepalive_s=answer.keepalive_s,
    )
    write_durably(paths.identity_file, identity.model_dump_json().encode())
    return identity
