"""Who may do what over the API: every route, for every kind of caller. A route without a row here fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import update

from broker.enrollment import parse_token
from cloud import scopes
from cloud.api.app import ROUTERS
from cloud.config import Folder
from cloud.store import schema
from tests.contract.test_cloud_api import PASSWORD, Cloud, Joining, User, reason, spec
from tests.contract.test_cloud_secrets import boxed

Facts = Mapping[str, str]  # what there is of the first organisation, by kind


@dataclass(frozen=True)
class Row:
    """One route. `names` is what the caller says of the organisation's things, in the path, the query or the body.

    `foreign` is what another organisation gets: nothing of that name, its own empty list, or something made for itself.
    """

    scopes: tuple[str, ...]
    path: str
    body: Callable[[Facts], dict[str, Any]] | None = None
    foreign: Literal["not_found", "empty", "own", "forbidden", "invalid"] = "not_found"


def sealed(facts: Facts) -> dict[str, Any]:
    return {"sealed": boxed(facts["vault"], facts["app"], "password", b"x")}


def body(**fixed: Any) -> Callable[[Facts], dict[str, Any]]:
    """Return a body; texts in braces are facts."""
    return lambda facts: {
        key: value.format(**facts) if isinstance(value, str) else value for key, value in fixed.items()
    }


R, C, D, K, A = scopes.READ, scopes.CI, scopes.DEPLOY, scopes.DEVICE, scopes.ADMIN
OPEN = {  # each has a proof of its own, or tells what everybody may know
    "GET /v1/ca", "GET /v1/health", "POST /v1/login", "POST /v1/enroll", "GET /v1/device/nonce",
    "POST /v1/device/registry-token", "POST /v1/device/exchange", "GET /token",
}  # fmt: skip
STREAMS = {"GET /v1/events"}  # never ends: what it refuses is in the matrix, what it tells in the tests of events
ROWS: dict[str, Row] = {
    "POST /v1/logout": Row((R,), "/v1/logout", body(), foreign="own"),
    "GET /v1/me": Row((R,), "/v1/me", foreign="own"),
    "POST /v1/orgs": Row((A,), "/v1/orgs", body(name="third", user="eve", password=PASSWORD), foreign="forbidden"),
    "GET /v1/org": Row((R,), "/v1/org", foreign="own"),
    "PATCH /v1/org": Row((A,), "/v1/org", body(keep_days=30), foreign="own"),
    "GET /v1/sinks": Row((A,), "/v1/sinks", foreign="forbidden"),
    "POST /v1/fleets": Row((D,), "/v1/fleets", body(name="south"), foreign="own"),
    "GET /v1/fleets": Row((R,), "/v1/fleets", foreign="own"),
    "POST /v1/enroll-tokens": Row((K,), "/v1/enroll-tokens", body(fleet="north")),
    "GET /v1/enrollments": Row((R,), "/v1/enrollments", foreign="empty"),
    "POST /v1/enrollments/{request}/approve": Row((K,), "/v1/enrollments/{request}/approve", body()),
    "POST /v1/enrollments/{request}/reject": Row((K,), "/v1/enrollments/{request}/reject", body()),
    "GET /v1/devices": Row((R,), "/v1/devices", foreign="empty"),
    "GET /v1/devices/{device}": Row((R,), "/v1/devices/{device}"),
    "GET /v1/devices/{device}/desired": Row((R,), "/v1/devices/{device}/desired"),
    "POST /v1/devices/{device}/retire": Row((K,), "/v1/devices/{device}/retire", body(wipe="all")),
    "DELETE /v1/devices/{device}": Row((K,), "/v1/devices/{device}"),
    "POST /v1/apps": Row((C, D), "/v1/apps", body(name="web"), foreign="own"),
    "GET /v1/apps": Row((R,), "/v1/apps", foreign="empty"),
    "GET /v1/apps/{name}": Row((R,), "/v1/apps/web"),
    "DELETE /v1/apps/{name}": Row((D,), "/v1/apps/web?force=true"),
    "POST /v1/apps/{name}/releases": Row(
        (C, D), "/v1/apps/web/releases", lambda facts: {"spec": spec(f"{facts['namespace']}/web")}
    ),
    "GET /v1/apps/{name}/releases/{release}": Row((R,), "/v1/apps/web/releases/latest"),
    "POST /v1/deployments": Row((D,), "/v1/deployments", body(app="web")),
    "POST /v1/deployments/plan": Row((D,), "/v1/deployments/plan", body(app="web")),
    "GET /v1/deployments": Row((R,), "/v1/deployments", foreign="empty"),
    "GET /v1/deployments/{deployment}": Row((R,), "/v1/deployments/{deployment}"),
    "POST /v1/devices/{device}/commands": Row((D,), "/v1/devices/{device}/commands", body(verb="device.resync")),
    "POST /v1/fleets/{fleet}/commands": Row((D,), "/v1/fleets/north/commands", body(verb="app.restart", app="web")),
    "GET /v1/commands": Row((R,), "/v1/commands", foreign="empty"),
    "GET /v1/devices/{device}/commands": Row((R,), "/v1/devices/{device}/commands"),
    "GET /v1/commands/{command}": Row((R,), "/v1/commands/{command}"),
    "GET /v1/events": Row((R,), "/v1/events"),
    "GET /v1/telemetry": Row((R,), "/v1/telemetry?device={device}"),
    "GET /v1/telemetry/export": Row((R,), "/v1/telemetry/export?device={device}"),
    "GET /v1/devices/{device}/telemetry/audit": Row((R,), "/v1/devices/{device}/telemetry/audit"),
    "GET /v1/logs": Row((R,), "/v1/logs?device={device}"),
    "POST /v1/registry/token": Row(
        (C, D), "/v1/registry/token", lambda facts: {"repositories": [f"{facts['namespace']}/web"]}, foreign="forbidden"
    ),
    "GET /v1/fleets/{fleet}/link": Row((R,), "/v1/fleets/north/link"),
    "PATCH /v1/fleets/{fleet}/link": Row((D,), "/v1/fleets/north/link", body(metered=True)),
    "GET /v1/devices/{device}/link": Row((R,), "/v1/devices/{device}/link"),
    "PATCH /v1/devices/{device}/link": Row((D,), "/v1/devices/{device}/link", body(metered=True)),
    "GET /v1/bundle": Row((D,), "/v1/bundle?app=web&release=latest"),
    "POST /v1/devices/{device}/status": Row((D,), "/v1/devices/{device}/status", body(status="AAAA")),
    "GET /v1/secrets/key": Row((R,), "/v1/secrets/key", foreign="own"),
    "GET /v1/apps/{name}/secrets": Row((R,), "/v1/apps/web/secrets"),
    "PUT /v1/apps/{name}/secrets/{secret}": Row((D,), "/v1/apps/web/secrets/password", sealed),
    "DELETE /v1/apps/{name}/secrets/{secret}": Row((D,), "/v1/apps/web/secrets/spare"),
    "POST /v1/tokens": Row((A,), "/v1/tokens", body(name="x", scopes=[scopes.ADMIN]), foreign="own"),
    "GET /v1/tokens": Row((A,), "/v1/tokens", foreign="own"),
    "DELETE /v1/tokens/{token}": Row((A,), "/v1/tokens/{token}"),
    "GET /v1/audit": Row((A,), "/v1/audit", foreign="own"),
}


class World:
    """Two organisations: the first with one of everything, the second with a user."""

    def __init__(self, folder: Path) -> None:
        self.cloud = Cloud(Folder(folder))
        mine = self.mine = self.cloud.login()
        self.theirs = self.cloud.other()
        namespace = mine.app()
        app = mine.get("/v1/apps/web").json()["app"]
        vault = mine.get("/v1/secrets/key").json()["key"]
        mine.post("/v1/fleets", name="north")
        secret = parse_token(mine.post("/v1/enroll-tokens", fleet="north").json()["token"]).secret
        device = self.cloud.client.post("/v1/enroll", json=Joining("pump").body(secret)).json()["device"]
        waiting = parse_token(mine.post("/v1/enroll-tokens", auto_approve=False).json()["token"]).secret
        request = self.cloud.client.post("/v1/enroll", json=Joining("spare").body(waiting)).json()["request"]
        deployment = mine.post("/v1/deployments", app="web", fleet="north").json()["deployment"]
        command = mine.post(f"/v1/devices/{device}/commands", verb="device.resync").json()["commands"][0]["command"]
        box = boxed(vault, app, "spare", b"y")
        assert mine.put("/v1/apps/web/secrets/spare", sealed=box).status_code == 200
        token = mine.post("/v1/tokens", name="of a program", scopes=[scopes.READ]).json()["token"]
        self.secret = secret
        self.facts: Facts = {
            "namespace": namespace, "app": app, "vault": vault, "device": device, "request": request,
            "deployment": deployment, "command": command, "token": token,
        }  # fmt: skip

    def ask(self, key: str, token: str | None) -> Any:
        row = ROWS[key]
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        parts = {"headers": headers} | ({} if row.body is None else {"json": row.body(self.facts)})
        return self.cloud.client.request(key.partition(" ")[0], row.path.format(**self.facts), **parts)

    def token(self, *held: str, user: User | None = None) -> str:
        made = (user or self.mine).post("/v1/tokens", name="made", scopes=list(held))
        assert made.status_code == 201, made.text
        return str(made.json()["secret"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For callers who are refused: nothing of it changes."""
    made = World(tmp_path_factory.mktemp("matrix") / "state")
    yield made
    made.cloud.database.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """For callers who get what they ask for."""
    made = World(tmp_path / "state")
    yield made
    made.cloud.database.close()


def routes() -> set[str]:
    found = [route for router in ROUTERS for route in router.router.routes if isinstance(route, APIRoute)]
    return {f"{method} {route.path}" for route in found for method in route.methods or ()}


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert set(ROWS) | OPEN == routes()
    assert not set(ROWS) & OPEN


def over(world: World) -> str:
    token = world.token(*scopes.ALL)
    with world.cloud.database.write() as tx:
        tx.execute(update(schema.tokens).where(schema.tokens.c.name == "made").values(expires_ms=1))
    return token


def revoked(world: World) -> str:
    token = world.token(*scopes.ALL)
    (named,) = [row for row in world.mine.get("/v1/tokens").json()["tokens"] if row["name"] == "made"]
    assert world.mine.delete(f"/v1/tokens/{named['token']}").status_code == 204
    return token


def logged_out(world: World) -> str:
    user = world.cloud.login()
    assert user.post("/v1/logout").status_code == 204
    return user.token


NOBODY: dict[str, Callable[[World], str | None]] = {
    "anonymous": lambda world: None,
    "a token that is none": lambda world: "skt_nonsense",
    "an expired token": over,
    "a revoked token": revoked,
    "a login that was ended": logged_out,
    "a device's enrollment secret": lambda world: world.secret,
}


@pytest.mark.parametrize("who", NOBODY)
def test_without_a_login_no_route_answers(world: World, who: str) -> None:
    token = NOBODY[who](world)
    assert {key: reason(world.ask(key, token)) for key in ROWS} == dict.fromkeys(ROWS, (401, "not_logged_in"))


def test_a_token_with_all_other_scopes_is_refused(world: World) -> None:
    got = {}
    for key, row in ROWS.items():
        others = [scope for scope in scopes.ALL if scope not in row.scopes]
        got[key] = reason(world.ask(key, world.token(*others)))
    assert got == dict.fromkeys(ROWS, (403, "forbidden"))


ANSWERED = {  # let in, and what it brings makes no sense
    ("POST /v1/devices/{device}/status", 422, "malformed"),
}


@pytest.mark.parametrize(
    ("key", "scope"), [(key, scope) for key in sorted(set(ROWS) - STREAMS) for scope in ROWS[key].scopes]
)
def test_a_token_with_one_of_the_scopes_gets_what_it_asks(fresh: World, key: str, scope: str) -> None:
    answer = fresh.ask(key, fresh.token(scope))
    assert answer.status_code < 300 or (key, *reason(answer)) in ANSWERED, answer.text


@pytest.mark.parametrize("key", sorted(set(ROWS) - STREAMS))
def test_another_organisation_gets_nothing_and_changes_nothing(fresh: World, key: str) -> None:
    before = snapshot(fresh)
    answer = fresh.ask(key, fresh.token(*scopes.ALL, user=fresh.theirs))
    match ROWS[key].foreign:
        case "not_found":
            assert reason(answer) == (404, "not_found")
        case "forbidden":
            assert reason(answer) == (403, "forbidden")
        case "empty":
            assert [value for value in answer.json().values() if value] == []
        case _:
            assert answer.status_code < 300
            ids = {fresh.facts[name] for name in ("app", "device", "request", "deployment", "command", "token")}
            assert not any(each in answer.text for each in (*ids, fresh.mine.org))
    assert snapshot(fresh) == before


def snapshot(world: World) -> dict[str, Any]:
    """Return everything that the first organisation sees, its audit log included."""
    device = world.facts["device"]
    lists = ("devices", "apps/web", "fleets", "deployments", "commands", "enrollments", "audit", "tokens")
    parts = ("apps/web/secrets", "fleets/north/link", f"devices/{device}", f"devices/{device}/link")
    return {path: world.mine.get(f"/v1/{path}").json() for path in (*lists, *parts)}
