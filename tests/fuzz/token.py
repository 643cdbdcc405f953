"""Fuzz enrollment tokens: damaged as copied text, and damaged inside."""

from __future__ import annotations

import base64
from random import Random
from urllib.parse import urlsplit

from broker.enrollment import TOKEN_PREFIX, EnrollmentToken, parse_token
from tests.fuzz.fuzzing import damaged, main

TOKENS = tuple(
    EnrollmentToken(url=url, ca="sha256:" + "1" * 64, secret="s" * 24)
    for url in ("https://cloud.example", "https://[fd00::1]:8443", "https://10.0.0.1:1")
)
TEXTS = tuple(token.text().encode() for token in TOKENS)
PLAIN = tuple(token.model_dump_json().encode() for token in TOKENS)


def make(random: Random) -> str:
    if random.random() < 0.3:
        return damaged(random, TEXTS).decode("latin-1")
    return TOKEN_PREFIX + base64.urlsafe_b64encode(damaged(random, PLAIN)).decode().rstrip("=")


def attempt(text: str) -> None:
    """Parse; what is a token names an address that can be connected to, and is read back."""
    token = parse_token(text)
    parts = urlsplit(token.url)
    assert parts.hostname
    assert parts.port != 0
    assert parse_token(token.text()) == token


if __name__ == "__main__":
    main(make, attempt)
