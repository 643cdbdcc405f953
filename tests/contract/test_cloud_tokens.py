"""Tokens for programs over the API: less than who makes them, for a while, and the log of who did what."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud import scopes
from cloud.config import Folder
from tests.contract.test_cloud_api import Cloud, User, reason
from tests.contract.test_cloud_secrets import pushed, sealed


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(Folder(tmp_path / "state"))
    yield made
    made.database.close()


def program(user: User, *held: str, **more: Any) -> User:
    """Return somebody who asks with a token of these scopes."""
    made = user.post("/v1/tokens", name="of a program", scopes=list(held), **more)
    assert made.status_code == 201, made.text
    return User(user.cloud, made.json()["secret"], user.org)


def test_a_token_is_told_once_and_its_secret_is_nowhere(cloud: Cloud, tmp_path: Path) -> None:
    user = cloud.login()
    made = user.post("/v1/tokens", name="of a program", scopes=["read"]).json()
    listed = user.get("/v1/tokens").json()["tokens"]
    assert (listed[0]["token"], listed[0]["name"], listed[0]["scopes"]) == (made["token"], "of a program", ["read"])
    assert made["secret"] not in str(listed)
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert not any(made["secret"].encode() in path.read_bytes() for path in files)


def test_nobody_gives_away_what_he_has_not(cloud: Cloud) -> None:
    one = program(cloud.login(), scopes.ADMIN, scopes.READ)
    assert reason(one.post("/v1/tokens", name="x", scopes=["deploy"])) == (403, "forbidden")
    assert program(one, scopes.READ).get("/v1/me").json()["scopes"] == ["read"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"scopes": ["fly"]}, "bad_scope"),
        ({"scopes": []}, "invalid"),
        ({"scopes": ["read"], "ttl_s": 59}, "invalid"),
        ({"scopes": ["read"], "ttl_s": 10**9}, "invalid"),
        ({"scopes": ["read"], "name": ""}, "invalid"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(cloud: Cloud, keys: dict[str, Any], expected: str) -> None:
    assert reason(cloud.login().post("/v1/tokens", **{"name": "x"} | keys)) == (422, expected)


def test_a_token_ends_when_it_was_said_to(cloud: Cloud) -> None:
    one = program(cloud.login(), scopes.READ, ttl_s=60)
    told = one.get("/v1/me").json()
    assert 0 < told["expires_ms"] - cloud.context.now_ms <= 60_000


def test_a_token_of_ci_brings_releases_with_their_secrets_and_changes_nothing_that_runs(cloud: Cloud) -> None:
    user = cloud.login()
    app = pushed(user)
    box = sealed(user, app, b"x")
    ci = program(user, scopes.CI)
    assert reason(ci.put("/v1/apps/web/secrets/password", sealed=box)) == (403, "forbidden")
    assert ci.put("/v1/apps/web/secrets/password", sealed=box, pinned=True).status_code == 200
    assert reason(user.post("/v1/deployments", app="web")) == (409, "secret_missing")  # it is for releases that name it
    assert reason(ci.post("/v1/deployments", app="web")) == (403, "forbidden")
    assert pushed(program(user, scopes.CI)) == app


@pytest.mark.parametrize(
    ("held", "may"),
    [(scopes.READ, {"pull"}), (scopes.CI, {"pull", "push"}), (scopes.DEPLOY, {"pull", "push"}), (scopes.DEVICE, set())],
)
def test_docker_gets_what_the_token_may(cloud: Cloud, held: str, may: set[str]) -> None:
    user = cloud.login()
    namespace = user.app()
    basic = base64.b64encode(f"token:{program(user, held).token}".encode()).decode()
    asked = f"/token?scope=repository:{namespace}/web:pull,push"
    token = cloud.client.get(asked, headers={"Authorization": f"Basic {basic}"}).json()["token"]
    body = token.split(".")[1]
    claims = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
    assert {action for action in ("pull", "push") if f'"{action}"' in claims} == may


def test_every_change_is_in_the_log_with_who_and_when_and_in_pages(cloud: Cloud) -> None:
    user = cloud.login()
    user.app()
    user.post("/v1/fleets", name="north")
    first = user.get("/v1/audit").json()["changes"]
    assert [row["action"] for row in first[:3]] == ["fleet.create", "release.push", "app.create"]
    assert {row["by"] for row in first} == {"ann"}
    assert all(row["at_ms"] > 0 for row in first)
    assert user.get(f"/v1/audit?limit=1&before={first[0]['id']}").json()["changes"] == [first[1]]
    assert "north" not in str(cloud.other().get("/v1/audit").json())
