"""The registry's tokens and configuration."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from cloud.config import Folder, Ports, Settings
from cloud.registry import ISSUER, SERVICE, RegistryTokens, config_text, key_name
from cloud.scopes import Grant


def settings(host: str) -> Settings:
    ports = Ports(api=1, broker=2, services=3, registry=4)
    return Settings(folder=Folder(Path("state")), host=host, ports=ports, keepalive_s=300)


def test_the_name_of_a_key_has_the_form_that_the_registry_computes() -> None:
    assert key_name(b"any key") == "YDI4:G6UI:FUO5:LGMW:QBLT:VIBX:TGJ3:CHTL:EARS:FOGE:PZDI:OVNM"


def test_a_token_says_what_was_granted_and_nothing_else() -> None:
    key = ec.derive_private_key(7, ec.SECP256R1())
    token = RegistryTokens(key).sign("ann", (Grant("o/a/web", ("pull",)),), now_s=1000, life_s=60)
    claims = jwt.decode(token, key.public_key(), ["ES256"], audience=SERVICE, options={"verify_exp": False})
    assert claims["access"] == [{"type": "repository", "name": "o/a/web", "actions": ["pull"]}]
    assert (claims["iss"], claims["sub"], claims["exp"]) == (ISSUER, "ann", 1060)


def test_plain_http_is_only_for_the_loopback_address() -> None:
    paths = {name: Path(name) for name in ("token_certificate", "server_certificate", "server_key")}
    assert "tls" not in json.loads(config_text(settings("127.0.0.1"), **paths))["http"]
    assert "tls" in json.loads(config_text(settings("192.0.2.7"), **paths))["http"]
