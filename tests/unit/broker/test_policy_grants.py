"""Grants: what an operator may allow one app beside the policy, and how far the owner lets that go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.appspec import AppSpec
from broker.policy import Grants, Policy
from broker.policy_rows import Rows
from tests.harness.apps import service

PRIVILEGED = AppSpec.model_validate({"name": "hello", "services": {"web": service(privileged=True)}})
PLAIN = AppSpec.model_validate({"name": "hello", "services": {"web": service()}})


def beyond(widen: dict[str, Any], grants: dict[str, Any], **policy: Any) -> list[str]:
    return Policy.model_validate({"widen": widen} | policy).objections(PLAIN, Grants.model_validate(grants))


def test_a_grant_counts_where_the_owner_lets_it_be_granted() -> None:
    owner = Policy(widen=Rows(allow_privileged=True))
    assert len(owner.objections(PRIVILEGED)) == 1
    assert owner.objections(PRIVILEGED, Grants(allow_privileged=True)) == []


def test_a_grant_beyond_what_the_owner_lets_be_granted_refuses_the_app_even_where_it_asks_for_nothing() -> None:
    granted = Grants(allow_privileged=True)
    why = "the grant allow_privileged is more than may be granted (policy.widen.allow_privileged)"
    assert Policy().objections(PLAIN, granted) == [why]
    assert why in Policy().objections(PRIVILEGED, granted)


def test_what_may_be_granted_is_not_granted_by_itself() -> None:
    assert Policy(widen=Rows(allow_privileged=True)).objections(PRIVILEGED, Grants()) != []


def test_a_grant_of_what_the_policy_allows_anyway_needs_no_widening() -> None:
    assert beyond({}, {"allow_devices": ["/dev/ttyS0"]}, allow_devices=["/dev/ttyS*"]) == []


def test_a_grant_that_this_version_does_not_know_refuses_the_app() -> None:
    assert beyond({"allow_flying": True}, {"allow_flying": True}) == [
        "the grant allow_flying is not known here (policy.widen.allow_flying)"
    ]


@pytest.mark.parametrize(
    ("row", "most", "within", "outside"),
    [
        ("allow_bind_prefixes", "/srv", "/srv/a", "/"),
        ("allow_bind_prefixes", "/srv", "/srv", "/srv/../etc"),
        ("allow_ports", "20-30", "22-23", "22-31"),
        ("allow_subnets", "1.0.0.0/8", "1.2.0.0/16", "1.0.0.0/7"),
        ("allow_sysctls", "net.*", "net.core.*", "*"),
        ("allow_devices", "/dev/ttyUSB*", "/dev/ttyUSB1", "/dev/ttyU*"),
        ("allow_devices", "/dev/*", "/dev/sd*", "/dev/bus/usb"),
        ("allow_capabilities", "NET_ADMIN", "CAP_NET_ADMIN", "SYS_ADMIN"),
        ("allow_containers", "other", "other", "others"),
        ("allow_host_namespaces", "pid", "pid", "ipc"),
    ],
)
def test_a_listed_grant_is_held_to_the_owners_entries(row: str, most: str, within: str, outside: str) -> None:
    assert beyond({row: [most]}, {row: [within]}) == []
    assert beyond({row: [most]}, {row: [within, outside]}) == [
        f"the grant {row} {outside} is more than may be granted (policy.widen.{row})"
    ]


@pytest.mark.parametrize("device", ["/dev/", "/dev/..", "/dev/.", "/dev/bus/usb", "/dev/../dev/sda", "/de"])
def test_a_star_stands_for_a_devices_name_and_never_for_a_folder_of_them(device: str) -> None:
    assert not Rows(allow_devices=("/dev/*",)).covers("allow_devices", device)


_PATHS = st.sampled_from(["/", "/srv", "/srv/a", "/srv/ab", "/srv/a/b", "/etc", "/srv/../etc", "srv"])
_NAMES = st.sampled_from(["*", "net.*", "net.core.*", "net.core.x", "kernel.x", "net"])
_PORTS = st.sampled_from(["1-65535", "80", "80-90", "85-86", "85-95", "0", "90-80", "x"])
_ROWS = st.sampled_from([("allow_bind_prefixes", _PATHS), ("allow_sysctls", _NAMES), ("allow_ports", _PORTS)])


@given(st.data())
def test_what_a_covered_grant_allows_the_owner_would_have_allowed(data: st.DataObject) -> None:
    row, values = data.draw(_ROWS)
    most, granted, asked = (data.draw(values) for _ in range(3))
    owner = Rows.model_validate({row: [most]})
    grant = Rows.model_validate({row: [granted]})
    if owner.covers(row, granted) and grant.covers(row, asked):
        assert owner.covers(row, asked)


def test_rows_travel_without_what_they_leave_at_its_default() -> None:
    assert Policy().model_dump(mode="json") == {}
    assert Grants(allow_devices=("/dev/ttyS0",)).model_dump(mode="json") == {"allow_devices": ["/dev/ttyS0"]}
    owner = Policy(allow_ports=(), widen=Rows(allow_display=True))
    assert owner.model_dump(mode="json") == {"allow_ports": [], "widen": {"allow_display": True}}
    assert Policy.model_validate(owner.model_dump(mode="json")) == owner


def test_images_come_from_the_registries_that_the_owner_names() -> None:
    owner = Policy(allow_registries=("here.example:5000/oaaaaaaaaaaa/",))
    assert owner.objections(PLAIN, registry="here.example:5000") == []
    assert owner.objections(PLAIN, registry="here.example:50001") == [
        "images come from here.example:50001, which is not allowed (policy.allow_registries)"
    ]
    assert Policy().objections(PLAIN, registry="anywhere.example") == []
