"""Enrolling with approval over SQLite: what a machine is told before, who needs none, and what was rejected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.enrollment import parse_token
from cloud import pki
from cloud.config import Folder
from cloud.store import revocations
from tests.contract.test_cloud_api import Cloud, Joining, User, reason

pytestmark = pytest.mark.usefixtures("database_kind")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(Folder(tmp_path / "state"))
    yield made
    made.database.close()


def token(user: User, **asked: Any) -> str:
    answer = user.post("/v1/enroll-tokens", **asked)
    assert answer.status_code == 201, answer.text
    return parse_token(answer.json()["token"]).secret


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"uses": 1}, 200),
        ({"uses": 1, "auto_approve": False}, 202),
        ({"uses": 2}, 202),
        ({"uses": 2, "auto_approve": True}, 200),
        ({"uses": 1, "serials": ["s-1"]}, 202),
    ],
)
def test_a_token_for_more_than_one_machine_asks_for_approval_unless_it_says_otherwise(
    cloud: Cloud, asked: dict[str, Any], status: int
) -> None:
    secret = token(cloud.login(), **asked)
    assert cloud.client.post("/v1/enroll", json=Joining().body(secret)).status_code == status


def test_nothing_is_told_before_the_approval_and_all_after_it(cloud: Cloud) -> None:
    user, joining = cloud.login(), Joining("pump")
    body = joining.body(token(user, uses=2)) | {"serial": "s-7"}
    first, second = (cloud.client.post("/v1/enroll", json=body) for _ in range(2))
    assert first.json() == second.json()
    assert set(first.json()) == {"request", "retry_after_s"}
    assert user.get("/v1/devices").json()["devices"] == []
    (waiting,) = user.get("/v1/enrollments").json()["pending"]
    assert (waiting["request"], waiting["name"], waiting["serial"]) == (first.json()["request"], "pump", "s-7")
    approved = user.post(f"/v1/enrollments/{waiting['request']}/approve", name="pump-3")
    assert approved.json()["state"] == "approved"
    assert user.get("/v1/enrollments").json()["pending"] == []
    answer = cloud.client.post("/v1/enroll", json=body)
    assert answer.status_code == 200
    assert answer.json()["name"] == "pump-3"
    assert answer.json() == cloud.client.post("/v1/enroll", json=body).json()


def test_a_rejected_machine_stays_rejected_and_has_used_the_token(cloud: Cloud) -> None:
    user = cloud.login()
    secret = token(user, auto_approve=False)
    body = Joining().body(secret)
    request = cloud.client.post("/v1/enroll", json=body).json()["request"]
    assert user.post(f"/v1/enrollments/{request}/reject").json()["state"] == "rejected"
    assert reason(cloud.client.post("/v1/enroll", json=body)) == (403, "enrollment_rejected")
    assert reason(user.post(f"/v1/enrollments/{request}/approve")) == (404, "not_found")
    assert reason(cloud.client.post("/v1/enroll", json=Joining().body(secret))) == (403, "token_used")


def test_a_listed_serial_number_needs_no_approval_once(cloud: Cloud) -> None:
    secret = token(cloud.login(), uses=3, serials=["s-1", "s-2"])
    answers = [
        cloud.client.post("/v1/enroll", json=Joining().body(secret) | {"serial": serial}).status_code
        for serial in ("s-1", "s-1", "s-3")
    ]
    assert answers == [200, 202, 202]


def test_an_approval_is_for_the_keys_that_asked(cloud: Cloud) -> None:
    user, joining = cloud.login(), Joining()
    body = joining.body(token(user, uses=2))
    request = cloud.client.post("/v1/enroll", json=body).json()["request"]
    user.post(f"/v1/enrollments/{request}/approve")
    other = Joining().body("")["identity_key"]
    assert reason(cloud.client.post("/v1/enroll", json=body | {"identity_key": other})) == (422, "bad_identity_key")
    assert cloud.client.post("/v1/enroll", json=body | {"csr": Joining().body("")["csr"]}).status_code == 202
    assert cloud.client.post("/v1/enroll", json=body).status_code == 200


def test_another_organisation_cannot_approve_or_see_who_waits(cloud: Cloud) -> None:
    user = cloud.login()
    request = cloud.client.post("/v1/enroll", json=Joining().body(token(user, uses=2))).json()["request"]
    other = cloud.other()
    assert other.get("/v1/enrollments").json()["pending"] == []
    assert reason(other.post(f"/v1/enrollments/{request}/approve")) == (404, "not_found")
    assert reason(other.post(f"/v1/enrollments/{request}/reject")) == (404, "not_found")


def test_a_machine_takes_the_place_of_another_on_purpose_only(cloud: Cloud) -> None:
    user = cloud.login()
    old, machine = Joining("pump").enroll(user), Joining("pump")
    secret = token(user, auto_approve=False)
    body = machine.body(secret)
    request = cloud.client.post("/v1/enroll", json=body).json()["request"]
    assert reason(user.post(f"/v1/enrollments/{request}/approve")) == (409, "name_taken")
    assert reason(user.post(f"/v1/enrollments/{request}/approve", replaces="nobody")) == (404, "not_found")
    assert user.post(f"/v1/enrollments/{request}/approve", replaces="pump").status_code == 200
    new = cloud.client.post("/v1/enroll", json=body).json()
    assert (new["device"], new["name"]) == (old.device, "pump")
    assert new["mac_key"] != old.mac_key
    assert new["certificate"] != old.certificate
    assert new == cloud.client.post("/v1/enroll", json=body).json()
    with cloud.database.read() as tx:
        assert revocations.serials(tx) == {pki.serial_of(old.certificate)}
