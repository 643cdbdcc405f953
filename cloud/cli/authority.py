"""The authority that a cloud names as its own: read without believing it; the caller compares its hash."""

from __future__ import annotations

import httpx

from broker.tls import ca_hash
from cloud.cli.errors import CloudUnreachable, RequestRefused

PEM_CHARS_MAX = 64 * 1024


def fetch(url: str, *, transport: httpx.BaseTransport | None = None) -> tuple[str, str]:
    """Return the PEM that `url` names at /v1/ca, and its hash. Nothing is proven by it yet."""
    try:
        with httpx.Client(verify=False, timeout=10.0, transport=transport, trust_env=False) as client:  # noqa: S501
            response = client.get(f"{url}/v1/ca")  # the hash is the proof; only public bytes are read here
    except httpx.HTTPError as error:
        raise CloudUnreachable(
            f"no answer from {url} ({error or type(error).__name__})",
            hint="is the address right, the cloud running, and can this machine reach it?",
        ) from error
    try:
        pem = response.text[:PEM_CHARS_MAX]
        return pem, ca_hash(pem)
    except ValueError as error:
        raise RequestRefused(
            "bad_ca",
            f"{url} names no authority at /v1/ca (status {response.status_code})",
            hint="is this the address of a Skerry cloud?",
        ) from error
