"""What a device proves with its identity key over HTTPS: the right to pull images."""

from __future__ import annotations

import base64
import hmac
import secrets

from fastapi import APIRouter

from broker.enrollment import Nonce, RegistryToken, RegistryTokenRequest, registry_token_proof
from broker.errors import Refused
from broker.signing import ED25519, PROOF_BYTES, Signatures, key_id
from cloud import registry, scopes
from cloud.api.context import Context, Ctx
from cloud.scopes import Grant
from cloud.store import devices

router = APIRouter(tags=["device"])

NONCE_LIFE_MS = 60_000


@router.get("/v1/device/nonce")
def nonce(context: Ctx) -> Nonce:
    """A nonce that any of our processes recognises by its MAC, so that none is stored."""
    plain = f"{context.now_ms}.{secrets.token_hex(8)}"
    return Nonce(nonce=f"{plain}.{_mac(context, plain)}")


@router.post("/v1/device/registry-token")
def registry_token(body: RegistryTokenRequest, context: Ctx) -> RegistryToken:
    """A token to pull images of the device's own organisation, for a minute."""
    _check_nonce(context, body.nonce)
    with context.database.read() as tx:
        device = devices.get(tx, body.org, body.device)
    if device is None:
        raise Refused("bad_proof", "there is no such device, or the signature is not its own")
    _check_signature(device.identity_key, registry_token_proof(body.nonce, body.repositories), body.signature)
    wanted = [Grant(repository, ("pull",)) for repository in body.repositories]
    grants = scopes.granted(body.org, wanted, allowed=("pull",))
    if len(grants) < len(wanted):
        raise Refused("forbidden", "a device pulls only images of its own organisation")
    token = context.registry_tokens.sign(
        f"{body.org}/{body.device}", grants, now_s=context.now_ms // 1000, life_s=registry.DEVICE_S
    )
    return RegistryToken(token=token, expires_s=registry.DEVICE_S)


@router.post("/v1/device/exchange")
def exchange() -> None:
    raise Refused("not_supported", "messages travel over MQTT only, for now")


def _check_nonce(context: Context, text: str) -> None:
    plain, _, mac = text.rpartition(".")
    made_ms = plain.partition(".")[0]
    if not hmac.compare_digest(mac.encode(), _mac(context, plain).encode()):
        raise Refused("bad_proof", "the nonce is not one of ours")
    if not 0 <= context.now_ms - int(made_ms) <= NONCE_LIFE_MS:
        raise Refused("bad_proof", "the nonce is older than a minute")


def _check_signature(public: bytes, signed: bytes, signature: str) -> None:
    try:
        raw = base64.b64decode(signature, validate=True)
        if len(raw) != PROOF_BYTES[ED25519]:
            raise ValueError(f"{len(raw)} bytes")
        Signatures((public,)).verify(ED25519, key_id(public), signed, raw)
    except (ValueError, Refused) as error:
        raise Refused("bad_proof", "there is no such device, or the signature is not its own") from error


def _mac(context: Context, plain: str) -> str:
    return hmac.digest(context.keys.nonce_key, plain.encode(), "sha256")[:16].hex()
