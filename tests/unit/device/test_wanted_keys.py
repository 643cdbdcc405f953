"""What is wanted of the later keys: joined services, files, ranked networks, and hashes that follow them."""

from __future__ import annotations

from typing import Any

import pytest

from broker.appspec import AppSpec
from broker.messages import SealedSecret
from device.engine.port import FileInside, WantedContainer
from device.reconcile.wanted import Wanted, wanted
from tests.harness.apps import PLACE, section, service

DB = "hello.iaaaaaaaaaaa.db"


def app(*, web: dict[str, Any], db: dict[str, Any] | None = None, **top: Any) -> Wanted:
    bare = section({"web": service()})
    spec = AppSpec.model_validate(
        {"name": "hello", "services": {"web": service(**web), "db": service("db", **(db or {}))}} | top
    )
    return wanted(bare.model_copy(update={"spec": spec}), PLACE)


def web_hash(**keys: Any) -> str:
    return app(**keys).containers["web"].hash


JOINED: dict[str, Any] = {"depends_on": {"db": {}}, "network_mode": "service:db"}
CONFIG: dict[str, Any] = {"configs": [{"source": "c", "target": "/c", "uid": 5, "mode": 0o400}]}


def test_a_joined_service_is_named_and_its_identity_is_part_of_the_joiners() -> None:
    made = app(web=JOINED).containers
    assert made["web"].joined == {"db": DB}
    assert list(made) == ["db", "web"]
    assert web_hash(web=JOINED, db={"user": "5"}) != made["web"].hash
    assert web_hash(web={"depends_on": {"db": {}}}, db={"user": "5"}) == web_hash(web={"depends_on": {"db": {}}})


def test_a_config_is_a_file_inside_and_its_content_changes_the_identity() -> None:
    one = app(web=CONFIG, configs={"c": {"content": "one"}}).containers["web"]
    assert one.files == (FileInside("/c", b"one", uid=5, gid=0, mode=0o400),)
    assert one.hash != web_hash(web=CONFIG, configs={"c": {"content": "two"}})
    assert one.hash == web_hash(web=CONFIG, configs={"c": {"content": "one"}, "other": {"content": "x"}})


def with_secret(**given: Any) -> WantedContainer:
    web = service(secrets=[{"source": "s", "target": "/run/secrets/s"}])
    return wanted(section({"web": web}, secrets={"s": SealedSecret(**given)}), PLACE).containers["web"]


def test_a_secret_is_a_file_inside_that_is_still_sealed() -> None:
    made = with_secret(version=1, sealed=b"\x00\xff")
    assert made.files == (FileInside("/run/secrets/s", b"\x00\xff", sealed="aaaaaaaaaaaa/s"),)


def test_the_identity_of_a_container_has_the_version_of_a_secret_and_nothing_of_its_value() -> None:
    one = with_secret(version=1, sealed=b"one")
    assert one.hash == with_secret(version=1, sealed=b"sealed anew").hash
    assert one.hash != with_secret(version=2, sealed=b"one").hash


def test_networks_are_joined_by_rank_and_then_by_name() -> None:
    networks = {"a": {}, "b": {"priority": 1}, "c": {}}
    made = app(web={"networks": networks}, networks={"a": {}, "b": {}, "c": {}}).containers["web"]
    assert [name[-1] for name in made.networks] == ["b", "a", "c"]
    assert list(made.attachments) == list(made.addresses) == list(made.networks)


@pytest.mark.parametrize("keys", [{"update": {"delay_ms": 5}}, {"rollback": {"failure_action": "continue"}}])
def test_how_a_service_is_switched_is_no_reason_to_switch_it(keys: dict[str, Any]) -> None:
    assert web_hash(web=keys) == web_hash(web={})


@pytest.mark.parametrize(
    "keys",
    [
        {"pid": "host"},
        {"cpu_shares": 5},
        {"mounts": [{"type": "tmpfs", "target": "/t", "tmpfs_uid": 5}]},
        {"annotations": {"a": "b"}},
        {"extra_hosts": {"a": ["1", "2"]}},
    ],
)
def test_a_later_key_changes_the_identity(keys: dict[str, Any]) -> None:
    assert web_hash(web=keys) != web_hash(
        web={"mounts": [{"type": "tmpfs", "target": "/t"}]} if "mounts" in keys else {}
    )


def test_the_addresses_of_a_network_are_handed_on() -> None:
    pools = [{"subnet": "10.0.0.0/24", "ip_range": "10.0.0.0/25"}, {"subnet": "fd00::/64"}]
    (network,) = app(web={}, networks={"n": {"pools": pools, "enable_ipv6": True, "ipam_options": {"a": "b"}}}).networks
    assert [pool.subnet for pool in network.pools] == ["10.0.0.0/24", "fd00::/64"]
    assert (network.enable_ipv6, network.ipam_options) == (True, {"a": "b"})
