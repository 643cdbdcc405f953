"""The three certificate authorities (devices, services, servers) and everything they issue.

A certificate's name is made here from ids; what a certificate request says about its subject is never looked at.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.errors import Refused
from broker.files import write_durably
from broker.ids import DeviceRef
from broker.mosquitto import INGEST, PUBLISHER

LIFE = dt.timedelta(days=3650)  # renewal is not there yet, and a date must never stop a device
BACKDATED = dt.timedelta(hours=1)  # the broker's clock may be a little behind ours
AUTHORITIES = ("devices", "services", "servers")
SERVICES = {INGEST: "ingest", PUBLISHER: "publisher"}


class Authority:
    """One certificate authority."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @property
    def pem(self) -> str:
        return _pem(self.certificate)

    def issue(
        self, public: ec.EllipticCurvePublicKey, cn: str, *, now: dt.datetime, hosts: Iterable[str] = ()
    ) -> x509.Certificate:
        """Return a certificate for `public`: a server's when `hosts` are given, else a client's."""
        names = [_general_name(host) for host in hosts]
        usage = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(cn, public, self.certificate.subject, now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def revocations(self, serials: Iterable[int], *, now: dt.datetime) -> bytes:
        """Return the revocation list as PEM. Its number is the time, so that it grows even over a restored state."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - BACKDATED)
            .next_update(now + LIFE)
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class RevocationList:
    """What the list on disk says."""

    serials: frozenset[int]
    made: dt.datetime

    def age_s(self, now: dt.datetime) -> float:
        return (now - self.made).total_seconds()


class Pki:
    """The authorities and the files that servers and services read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.devices, self.services, self.servers = (_load(folder, name) for name in AUTHORITIES)

    def issue_device(self, device: DeviceRef, public: ec.EllipticCurvePublicKey, *, now: dt.datetime) -> str:
        """Return the device's certificate as PEM."""
        return _pem(self.devices.issue(public, device.cn, now=now))

    def revocation_list(self) -> RevocationList | None:
        """Return what the list on disk says; None when there is none of ours."""
        try:
            listed = x509.load_pem_x509_crl(self.device_crl.read_bytes())
            if not listed.is_signature_valid(self.devices.certificate.public_key()):  # type: ignore[arg-type]
                return None
        except (FileNotFoundError, ValueError, UnsupportedAlgorithm):
            return None
        serials = frozenset(entry.serial_number for entry in listed)
        return RevocationList(serials, listed.last_update_utc + BACKDATED)

    def write_revocations(self, serials: Iterable[int], *, now: dt.datetime) -> None:
        """Write the revocation list. What was on it stays: a database from a backup must not let anybody in again."""
        listed = self.revocation_list()
        all_serials = frozenset(serials) | (listed.serials if listed is not None else frozenset())
        write_durably(self.device_crl, self.devices.revocations(sorted(all_serials), now=now))

    def renew_files(self, host: str, *, now: dt.datetime, revoked: Iterable[int] = ()) -> None:
        """Write the revocation list anew, and the server's and services' certificates where missing or unfit."""
        self.write_revocations(revoked, now=now)
        hosts = tuple(dict.fromkeys(("localhost", "127.0.0.1", host)))
        if not _covers(self.certificate("server"), hosts, now):
            self._renew("server", "skerry-cloud", self.servers, hosts, now)
        for cn, name in SERVICES.items():
            if not _covers(self.certificate(name), (), now):
                self._renew(name, cn, self.services, (), now)

    @property
    def device_crl(self) -> Path:
        return self.folder / "devices.crl"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def _renew(self, name: str, cn: str, authority: Authority, hosts: tuple[str, ...], now: dt.datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        write_durably(self.key(name), _key_pem(key))
        write_durably(
            self.certificate(name), _pem(authority.issue(key.public_key(), cn, now=now, hosts=hosts)).encode()
        )


def make(folder: Path, *, now: dt.datetime) -> None:
    """Make the authorities that are missing, and the key that signs registry tokens."""
    for name in (*AUTHORITIES, "registry-token"):
        if (folder / f"{name}.crt").exists():
            continue
        key = ec.generate_private_key(ec.SECP256R1())
        write_durably(folder / f"{name}.key", _key_pem(key))
        write_durably(folder / f"{name}.crt", _pem(_self_signed(f"skerry {name}", key, now)).encode())


def read_request(pem: str) -> ec.EllipticCurvePublicKey:
    """Return the public key of a certificate request whose signature holds; raise `Refused` (`bad_csr`) otherwise."""
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        valid = request.is_signature_valid
        public = request.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion) as error:
        raise Refused("bad_csr", f"not a certificate request: {error}"[:200]) from error
    if not valid:
        raise Refused("bad_csr", "the certificate request is not signed by its own key")
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise Refused("bad_csr", "the key of a certificate request must be of the curve P-256")
    return public


def serial_of(certificate: str) -> int:
    """Return the serial number of a certificate of ours."""
    return x509.load_pem_x509_certificate(certificate.encode()).serial_number


def key_hash(public: ec.EllipticCurvePublicKey) -> str:
    """Return the hexadecimal SHA-256 of a public key."""
    return hashlib.sha256(spki(public)).hexdigest()


def spki(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return a private key from its file."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise Refused("bad_state", f"cannot read the key {path}: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refused("bad_state", f"{path} holds another kind of key")
    return key


def _load(folder: Path, name: str) -> Authority:
    path = folder / f"{name}.crt"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Refused("bad_state", f"cannot read the authority {path}: {error}") from error
    return Authority(certificate, load_key(folder / f"{name}.key"))


def _covers(path: Path, hosts: tuple[str, ...], now: dt.datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    if certificate.not_valid_after_utc < now + LIFE / 10:
        return False
    if not hosts:
        return True
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names) == {_general_name(host) for host in hosts}


def _self_signed(cn: str, key: ec.EllipticCurvePrivateKey, now: dt.datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    return (
        _builder(cn, key.public_key(), subject, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _builder(
    cn: str, public: ec.EllipticCurvePublicKey, issuer: x509.Name, now: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)]))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFE)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs_certificates, crl_sign=signs_certificates, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
