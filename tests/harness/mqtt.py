"""A real mosquitto with the configuration the product generates, and certificates for it."""

from __future__ import annotations

import datetime as dt
import getpass
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.mosquitto import BrokerFiles, acl_text, config_text
from broker.tls import ResumingContext, client_context
from broker.transport import Endpoint
from tests.harness.servers import Server, accepts, free_port, program

BEGIN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)


class Authority:
    """A small CA for tests."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / f"{name}.crt"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.crl = folder / f"{name}.crl"
        crl = x509.CertificateRevocationListBuilder(self._name, BEGIN, END).sign(self._key, hashes.SHA256())
        self.crl.write_bytes(crl.public_bytes(serialization.Encoding.PEM))

    def issue(self, cn: str, *, server: bool = False) -> tuple[Path, Path]:
        """Return certificate and key files for a name."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
        builder = self._builder(subject, key.public_key()).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if server:
            names: list[x509.GeneralName] = [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        stem = self._folder / cn.replace("/", "-")
        files = stem.with_suffix(".crt"), stem.with_suffix(".key")
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(END)
        )


@dataclass
class Mosquitto:
    """A running broker with its authorities."""

    server: Server
    devices: Endpoint
    services: Endpoint
    folder: Path
    device_ca: Authority
    service_ca: Authority
    server_ca: Authority

    def context(self, authority: Authority, cn: str) -> ResumingContext:
        certificate, key = authority.issue(cn)
        return client_context(self.server_ca.file, certificate, key)


def start_mosquitto(folder: Path) -> Mosquitto:
    """Start a broker with two listeners in `folder`."""
    device_ca, service_ca, server_ca = (Authority(folder, name) for name in ("devices", "services", "servers"))
    certificate, key = server_ca.issue("broker", server=True)
    files = BrokerFiles(
        folder=folder,
        server_certificate=certificate,
        server_key=key,
        device_ca=device_ca.file,
        device_crl=device_ca.crl,
        service_ca=service_ca.file,
    )
    devices, services = Endpoint("127.0.0.1", free_port()), Endpoint("127.0.0.1", free_port())
    files.acl.write_text(acl_text())
    files.acl.chmod(0o600)
    files.config.write_text(
        config_text(files, devices=devices, services=services, user=getpass.getuser(), keepalive_s_max=900)
    )
    server = Server(
        [program("mosquitto"), "-c", str(files.config)],
        log=folder / "mosquitto.log",
        ready=lambda: accepts(devices.port) and accepts(services.port),
    )
    server.start()
    return Mosquitto(server, devices, services, folder, device_ca, service_ca, server_ca)
