"""What a device and the cloud say over HTTPS: the enrollment token, enrolling, and asking for a registry token."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from broker.errors import Refused
from broker.ids import DeviceId, Digest, Name, OrgId
from broker.messages import Host

TOKEN_PREFIX = "skerry1."  # noqa: S105 - a format mark, not a secret
TOKEN_CHARS_MAX = 2000
# The user name under which a container engine that takes no bearer token shows a registry token as its password.
REGISTRY_TOKEN_USER = "registry-token"  # noqa: S105 - a name, not a secret

Pem = Annotated[str, StringConstraints(max_length=16 * 1024, pattern=r"^-----BEGIN ")]
Base64 = Annotated[str, StringConstraints(max_length=96 * 1024, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
Serial = Annotated[str, StringConstraints(max_length=64, pattern=r"^[!-~]*$")]
Address = Annotated[str, StringConstraints(max_length=260, pattern=r"^\[?[A-Za-z0-9._:-]+\]?:\d{1,5}$")]


def _has_an_address(url: str) -> str:
    parts = urlsplit(url)  # raises ValueError on what is no host; so does `port`
    if not parts.hostname or parts.port == 0 or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("not https://HOST or https://HOST:PORT")
    return url


Url = Annotated[str, StringConstraints(max_length=300, pattern=r"^https://[^/\s]+$"), AfterValidator(_has_an_address)]


class Body(BaseModel):
    """A JSON body; unknown fields are ignored, so that either side may be newer."""

    model_config = ConfigDict(frozen=True)


class EnrollmentToken(Body):
    """What an operator hands over: where the cloud is, how to recognise it, and the right to join."""

    url: Url
    ca: Digest
    secret: Annotated[str, StringConstraints(min_length=16, max_length=200)]

    def text(self) -> str:
        """Return the one string that is copied around."""
        return TOKEN_PREFIX + base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")


def parse_token(text: str) -> EnrollmentToken:
    """Return the parts of a token string; raise `Refused` (`bad_token`) saying what is wrong with it."""
    text = text.strip()
    if not text.startswith(TOKEN_PREFIX) or len(text) > TOKEN_CHARS_MAX:
        raise Refused("bad_token", f"an enrollment token starts with {TOKEN_PREFIX!r}; this text does not")
    try:
        packed = text.removeprefix(TOKEN_PREFIX)
        plain = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        return EnrollmentToken.model_validate(json.loads(plain))
    except (binascii.Error, UnicodeDecodeError, ValueError, RecursionError, ValidationError) as error:
        raise Refused("bad_token", "the enrollment token is damaged: copy the whole string again") from error


class EnrollRequest(Body):
    """`POST /v1/enroll`: a key pair was made on the device; only public halves travel."""

    secret: Annotated[str, StringConstraints(max_length=200)]
    csr: Pem
    identity_key: Base64  # Ed25519 public key, 32 bytes: signs nonces
    name: Name | None = None
    host: Host = Host()
    serial: Serial = ""  # of the machine, as far as it tells


class EnrollPending(Body):
    """The answer with status 202: somebody has to approve first; ask the same again."""

    request: Annotated[str, StringConstraints(max_length=64)]
    retry_after_s: Annotated[int, Field(ge=1, le=3600)] = 5


class EnrollResponse(Body):
    """Everything a worker needs to connect. `mac_key` is shared with ingest only."""

    org: OrgId
    device: DeviceId
    name: str
    certificate: Pem
    brokers: Annotated[tuple[Address, ...], Field(min_length=1, max_length=16)]
    registry: Address
    mac_key: Base64
    root_key: Base64
    trust: Base64  # the sealed dn/trust envelope
    keepalive_s: Annotated[int, Field(ge=2, le=3600)] = 300


class Nonce(Body):
    """`GET /v1/device/nonce`: what the next signature must contain; valid for a minute."""

    nonce: Annotated[str, StringConstraints(max_length=200)]


class RegistryTokenRequest(Body):
    """`POST /v1/device/registry-token`: the right to pull some repositories, proven by the identity key."""

    org: OrgId
    device: DeviceId
    nonce: Annotated[str, StringConstraints(max_length=200)]
    repositories: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]
    signature: Base64


class RegistryToken(Body):
    """A bearer token for the registry; `expires_s` from now."""

    token: str
    expires_s: int


def registry_token_proof(request_nonce: str, repositories: tuple[str, ...]) -> bytes:
    """Return the bytes a device signs to get a registry token."""
    return ("skerry registry token\n" + request_nonce + "\n" + "\n".join(repositories)).encode()
