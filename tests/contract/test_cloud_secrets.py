"""Secrets over the API and SQLite: sealed on their way in, sealed on their way out, and who may name which."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from broker.channels import DESIRED
from broker.codec import open_sealed
from broker.enrollment import parse_token
from broker.ids import DeviceRef
from broker.messages import AppSection
from broker.sealing import Opener, about_secret, seal
from cloud import deploying
from cloud.config import Folder
from cloud.store import desired, devices, schema
from tests.contract.test_cloud_api import Cloud, Joining, User, reason, spec

pytestmark = pytest.mark.usefixtures("database_kind")

PLACED = [{"source": "password", "target": "/run/secrets/password"}]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(Folder(tmp_path / "state"))
    yield made
    made.database.close()


def pushed(user: User, *, version: int | None = None, name: str = "web") -> str:
    """Push a release that declares a secret; return the app's id."""
    app = user.post("/v1/apps", name=name).json()
    made = spec(f"{app['namespace']}/web")
    made["services"]["web"]["secrets"] = PLACED
    made["secrets"] = {"password": {} if version is None else {"version": version}}
    answer = user.post(f"/v1/apps/{name}/releases", spec=made)
    assert answer.status_code == 201, answer.text
    return str(app["app"])


def sealed(user: User, app: str, value: bytes, *, name: str = "password") -> str:
    return boxed(user.get("/v1/secrets/key").json()["key"], app, name, value)


def boxed(vault: str, app: str, name: str, value: bytes) -> str:
    """Return a value as it is sent, sealed to the vault's key that the API tells."""
    return base64.b64encode(seal(base64.b64decode(vault), about_secret(app, name), value)).decode()


def put(user: User, app: str, value: bytes, **more: Any) -> Any:
    return user.put("/v1/apps/web/secrets/password", sealed=sealed(user, app, value), **more)


def issued(cloud: Cloud, device: str) -> tuple[AppSection, ...]:
    """Have what is due issued; return what the device is asked to run."""
    with cloud.database.write() as tx:
        deploying.issue_page(tx, cloud.context.issuer, now_ms=1)
        row = desired.newest(tx, device)
        org = tx.execute(select(schema.devices.c.org).where(schema.devices.c.device == device)).scalar_one()
    assert row is not None
    message = open_sealed(DESIRED, DeviceRef(org, device), row.envelope, cloud.keys.desired_verifier).message
    return tuple(message.apps)


def read(joining: Joining, app: AppSection) -> bytes:
    """Return the secret as the device opens it."""
    opener = Opener(bytes(joining.identity))
    return opener.open(about_secret(app.app, "password"), app.secrets["password"].sealed)


def test_a_secret_reaches_every_device_sealed_to_it_alone_also_one_that_comes_later(cloud: Cloud) -> None:
    user, one, two = cloud.login(), Joining("one"), Joining("two")
    first = one.enroll(user).device
    app = pushed(user)
    assert put(user, app, b"sesame").json()["version"] == 1
    assert user.post("/v1/deployments", app="web").status_code == 201
    later = two.enroll(user).device
    (mine,), (theirs,) = issued(cloud, first), issued(cloud, later)
    assert (read(one, mine), read(two, theirs)) == (b"sesame", b"sesame")
    assert mine.secrets["password"].sealed != theirs.secrets["password"].sealed
    assert mine.digest == theirs.digest


def test_no_value_is_in_the_database(cloud: Cloud, tmp_path: Path) -> None:
    user = cloud.login()
    Joining("one").enroll(user)
    put(user, pushed(user), b"sesame-seed")
    user.post("/v1/deployments", app="web")
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if b"sesame-seed" in path.read_bytes()] == []


def test_another_value_is_another_version_and_makes_another_section(cloud: Cloud) -> None:
    user, joining = cloud.login(), Joining("one")
    device = joining.enroll(user).device
    app = pushed(user)
    put(user, app, b"one")
    user.post("/v1/deployments", app="web")
    (before,) = issued(cloud, device)
    assert put(user, app, b"one").json() == {"app": "web", "name": "password", "version": 1, "changed": False}
    assert issued(cloud, device) == (before,)
    assert put(user, app, b"two").json()["version"] == 2
    (after,) = issued(cloud, device)
    assert (read(joining, after), after.digest != before.digest) == (b"two", True)


def test_what_is_issued_again_is_sealed_once(cloud: Cloud) -> None:
    user, joining = cloud.login(), Joining("one")
    device = joining.enroll(user).device
    put(user, pushed(user), b"one")
    user.post("/v1/deployments", app="web")
    (before,) = issued(cloud, device)
    with cloud.database.write() as tx:
        found = devices.get(tx, user.org, device)
        assert found is not None
        deploying.reissue(tx, found.fleet)
    assert issued(cloud, device) == (before,)


def test_a_fleet_may_have_a_value_of_its_own(cloud: Cloud) -> None:
    user = cloud.login()
    app = pushed(user)
    user.post("/v1/fleets", name="north")
    joining = Joining("one")
    device = joining.enroll(user).device
    put(user, app, b"for all")
    user.post("/v1/deployments", app="web")
    put(user, app, b"north's", fleet="north")
    assert read(joining, issued(cloud, device)[0]) == b"for all"
    put(user, app, b"default's", fleet="default")
    put(user, app, b"for all, later")
    assert read(joining, issued(cloud, device)[0]) == b"default's"
    assert user.delete("/v1/apps/web/secrets/password?fleet=default").status_code == 204
    assert read(joining, issued(cloud, device)[0]) == b"for all, later"


def test_a_release_that_names_a_version_keeps_it(cloud: Cloud) -> None:
    user, joining = cloud.login(), Joining("one")
    device = joining.enroll(user).device
    app = str(user.post("/v1/apps", name="web").json()["app"])
    put(user, app, b"of the release")
    pushed(user, version=1)
    user.post("/v1/deployments", app="web")
    put(user, app, b"newer")
    assert read(joining, issued(cloud, device)[0]) == b"of the release"


def test_without_its_secret_a_release_is_not_deployed(cloud: Cloud) -> None:
    user = cloud.login()
    pushed(user)
    answer = user.post("/v1/deployments", app="web")
    assert reason(answer) == (409, "secret_missing")
    assert "secret password of app web has no value" in answer.json()["error"]["message"]
    assert user.get("/v1/apps/web").json()["instances"] == []


def test_a_secret_that_runs_is_not_erased_and_one_that_does_not_is(cloud: Cloud) -> None:
    user = cloud.login()
    app = pushed(user)
    put(user, app, b"one")
    put(user, app, b"two")
    user.post("/v1/deployments", app="web")
    assert reason(user.delete("/v1/apps/web/secrets/password")) == (409, "secret_in_use")
    listed = user.get("/v1/apps/web/secrets").json()["secrets"]
    assert [(row["name"], row["version"], row["fleet"]) for row in listed] == [
        ("password", 2, None),
        ("password", 1, None),
    ]
    put_other = user.put("/v1/apps/web/secrets/other", sealed=sealed(user, app, b"x", name="other"))
    assert put_other.status_code == 200
    assert user.delete("/v1/apps/web/secrets/other").status_code == 204
    assert reason(user.delete("/v1/apps/web/secrets/other")) == (404, "not_found")
    again = user.put("/v1/apps/web/secrets/other", sealed=sealed(user, app, b"y", name="other"))
    assert again.json()["version"] == 2  # a number is never another value's


def test_a_replaced_machine_gets_its_secrets_sealed_to_its_own_key(cloud: Cloud) -> None:
    user, old = cloud.login(), Joining("pump")
    device = old.enroll(user).device
    put(user, pushed(user), b"sesame")
    user.post("/v1/deployments", app="web")
    (before,) = issued(cloud, device)
    new = Joining("spare")
    token = user.post("/v1/enroll-tokens", auto_approve=False).json()["token"]
    body = new.body(parse_token(token).secret)
    request = cloud.client.post("/v1/enroll", json=body).json()["request"]
    assert user.post(f"/v1/enrollments/{request}/approve", replaces="pump").status_code == 200
    assert cloud.client.post("/v1/enroll", json=body).json()["device"] == device
    (after,) = issued(cloud, device)
    assert (read(new, after), after.digest) == (b"sesame", before.digest)


def test_a_revoked_device_has_no_seals_left(cloud: Cloud) -> None:
    user = cloud.login()
    Joining("pump").enroll(user)
    put(user, pushed(user), b"sesame")
    user.post("/v1/deployments", app="web")
    user.delete("/v1/devices/pump")
    with cloud.database.read() as tx:
        assert tx.execute(select(schema.seals)).all() == []


@pytest.mark.parametrize("value", ["", "%%%", base64.b64encode(b"sesame").decode()])
def test_what_is_not_sealed_to_the_vault_is_refused(cloud: Cloud, value: str) -> None:
    user = cloud.login()
    pushed(user)
    assert reason(user.put("/v1/apps/web/secrets/password", sealed=value)) == (422, "not_sealed")


def test_the_seal_of_another_app_or_name_is_refused(cloud: Cloud) -> None:
    user = cloud.login()
    app = pushed(user)
    other = pushed(user, name="other")
    assert reason(user.put("/v1/apps/web/secrets/password", sealed=sealed(user, other, b"x"))) == (422, "not_sealed")
    moved = user.put("/v1/apps/web/secrets/password", sealed=sealed(user, app, b"x", name="token"))
    assert reason(moved) == (422, "not_sealed")


def test_a_secret_has_a_bound(cloud: Cloud) -> None:
    user = cloud.login()
    app = pushed(user)
    assert put(user, app, b"a" * 8192).status_code == 200
    assert reason(put(user, app, b"a" * 8193)) == (413, "too_large")


def test_another_organisation_can_neither_see_set_nor_erase_them(cloud: Cloud) -> None:
    mine, theirs = cloud.login(), cloud.other()
    app = pushed(mine)
    put(mine, app, b"sesame")
    box = sealed(theirs, app, b"x")
    assert reason(theirs.get("/v1/apps/web/secrets")) == (404, "not_found")
    assert reason(theirs.put("/v1/apps/web/secrets/password", sealed=box)) == (404, "not_found")
    assert reason(theirs.delete("/v1/apps/web/secrets/password")) == (404, "not_found")
    theirs.post("/v1/apps", name="web")
    assert reason(theirs.put("/v1/apps/web/secrets/password", sealed=box)) == (422, "not_sealed")
