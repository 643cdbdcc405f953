"""What the API answers as our kinds of errors."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cloud.cli import answers
from cloud.cli.client import Client
from cloud.cli.errors import CloudUnreachable, RequestRefused


def client(response: httpx.Response | Exception) -> Client:
    def answer(_: httpx.Request) -> httpx.Response:
        if isinstance(response, Exception):
            raise response
        return response

    return Client("https://cloud:1", token="t0", transport=httpx.MockTransport(answer))


def refusal(status: int, **error: Any) -> httpx.Response:
    return httpx.Response(status, json={"error": error})


def test_a_refusal_keeps_reason_message_and_hint() -> None:
    with pytest.raises(RequestRefused) as refused:
        client(refusal(422, reason="missing_image", message="no image", hint="push it")).get("/v1/me", answers.Me)
    assert (refused.value.reason, str(refused.value), refused.value.hint) == ("missing_image", "no image", "push it")


def test_a_token_that_is_over_says_how_to_log_in_again() -> None:
    with pytest.raises(RequestRefused) as refused:
        client(refusal(401, reason="not_logged_in", message="expired", hint=None)).get("/v1/me", answers.Me)
    assert refused.value.hint.startswith("log in again: skerry login")


def test_what_is_not_found_says_where_to_look() -> None:
    with pytest.raises(RequestRefused) as refused:
        client(refusal(404, reason="not_found", message="no", hint=None)).get("/v1/devices/x", answers.Device)
    assert refused.value.hint == "see: skerry device list"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_cloud_that_cannot_now_is_passing(status: int) -> None:
    with pytest.raises(CloudUnreachable):
        client(httpx.Response(status, text="<html>")).get("/v1/me", answers.Me)


@pytest.mark.parametrize("error", [httpx.ConnectError(""), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("x")])
def test_a_cloud_that_does_not_answer_is_passing(error: Exception) -> None:
    with pytest.raises(CloudUnreachable, match="no answer from https://cloud:1"):
        client(error).get("/v1/me", answers.Me)


def test_another_authority_is_refused_not_retried() -> None:
    error = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    with pytest.raises(RequestRefused, match="does not show the pinned authority"):
        client(error).get("/v1/me", answers.Me)


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"user": 3, "org": "o"}'])
def test_an_answer_of_another_shape_is_refused(body: str) -> None:
    with pytest.raises(RequestRefused, match="answers something else than expected"):
        client(httpx.Response(200, text=body)).get("/v1/me", answers.Me)


@pytest.mark.parametrize("body", ["not json", "[]", '{"error": 3}', '{"error": {}}'])
def test_an_error_of_another_shape_still_tells_its_status(body: str) -> None:
    with pytest.raises(RequestRefused, match="GET /v1/me was answered with status 418"):
        client(httpx.Response(418, text=body)).get("/v1/me", answers.Me)


def test_a_redirect_is_not_followed() -> None:
    moved = httpx.Response(302, headers={"location": "https://elsewhere/"})
    with pytest.raises(RequestRefused, match="status 302"):
        client(moved).get("/v1/me", answers.Me)


def test_fields_of_a_newer_cloud_are_kept() -> None:
    me = client(httpx.Response(200, json={"user": "ann", "org": "o", "new": [1]})).get("/v1/me", answers.Me)
    assert me.plain() == {"user": "ann", "org": "o", "new": [1]}
