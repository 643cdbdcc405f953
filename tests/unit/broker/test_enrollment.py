"""The enrollment token: copied by hand, so damaged at times."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.enrollment import TOKEN_PREFIX, EnrollmentToken, parse_token, registry_token_proof
from broker.errors import Refused

CA = "sha256:" + "1" * 64
TOKEN = EnrollmentToken(url="https://cloud.example:8443", ca=CA, secret="s" * 16)
TEXT = TOKEN.text()


def coded(plain: bytes) -> str:
    return TOKEN_PREFIX + base64.urlsafe_b64encode(plain).decode().rstrip("=")


def refusal(text: str) -> str:
    with pytest.raises(Refused) as refused:
        parse_token(text)
    assert refused.value.reason == "bad_token"
    return str(refused.value)


@settings(deadline=None, max_examples=30)
@given(st.text(min_size=16, max_size=60))
def test_a_token_is_read_back_to_its_parts(secret: str) -> None:
    token = EnrollmentToken(url="https://[fd00::1]:8443", ca=CA, secret=secret)
    assert parse_token(token.text()) == token


def test_a_token_is_one_word_that_survives_a_copy_with_spaces_around_it() -> None:
    assert TEXT.startswith("skerry1.")
    assert len(TEXT.split()) == 1
    assert parse_token(f"\n  {TEXT}\r\n") == TOKEN


def test_a_token_that_lost_its_end_is_refused_wherever_it_was_cut() -> None:
    said = {refusal(TEXT[:length]) for length in range(len(TOKEN_PREFIX), len(TEXT))}
    assert said == {"the enrollment token is damaged: copy the whole string again"}


def test_a_token_that_lost_its_beginning_is_told_what_one_looks_like() -> None:
    assert refusal(TEXT[1:]) == "an enrollment token starts with 'skerry1.'; this text does not"
    refusal("")


@settings(deadline=None, max_examples=60)
@given(st.one_of(st.text(max_size=50), st.binary(max_size=60).map(coded), st.text(max_size=50).map("skerry1.".__add__)))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with contextlib.suppress(Refused):
        assert parse_token(text).url.startswith("https://")


@pytest.mark.parametrize(
    "plain",
    [
        b"[" * 1400,  # deeper than the reader of JSON goes, which once was a traceback
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b"\xff",
        TOKEN.model_dump_json().replace("https", "http").encode(),
        TOKEN.model_dump_json().replace("sha256", "md5").encode(),
        TOKEN.model_dump_json().replace("s" * 16, "short").encode(),
    ],
)
def test_a_token_with_something_else_inside_is_refused(plain: bytes) -> None:
    refusal(coded(plain))


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https://[",
        "https://[fd00::1",
        "https://host:99999",
        "https://host:port",
        "https://:8443",
        "https://host:0",
        "https://user:password@host",
        "https://host/path",
        "https://host ",
        "ftp://host",
    ],
)
def test_a_token_whose_address_nobody_can_connect_to_is_refused(url: str) -> None:
    # Some of these once passed, and enrolling then ended with a traceback.
    refusal(coded(TOKEN.model_dump_json().replace(TOKEN.url, url).encode()))


def test_a_token_from_a_newer_cloud_may_say_more() -> None:
    assert parse_token(coded(TOKEN.model_dump_json().replace("{", '{"more":1,', 1).encode())) == TOKEN


def test_a_text_too_long_for_a_token_is_not_even_decoded() -> None:
    padded = TOKEN.model_dump_json().encode()
    assert parse_token(coded(padded + b" " * 1000)) == TOKEN
    refusal(coded(padded + b" " * 2000))


def test_a_registry_token_is_asked_for_with_these_bytes() -> None:
    assert registry_token_proof("n1", ("o/a/web", "o/a/db")) == b"skerry registry token\nn1\no/a/web\no/a/db"
