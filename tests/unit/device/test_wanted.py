"""What the engine shall hold: names, environments, and hashes that change when they must and only then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.engine import labels
from device.engine.port import BindOrVolume
from device.reconcile.wanted import IntakeAccess, Place, Wanted, engine_name, wanted
from tests.harness.apps import DIGEST, OTHER_DIGEST, PLACE, section, service
from tests.unit.device.worlds import I1, I2, WEB_IMAGE

ACCESS = IntakeAccess(user="app-1", password="secret", stream="telemetry:hello", socket_folder="/s/i", tcp_port=4711)
WITH_INTAKE = Place(device=PLACE.device, registry=PLACE.registry, intake={I1: ACCESS})
FULL: dict[str, Any] = {
    "environment": {"A": "1"},
    "networks": {"front": {"aliases": ["www"]}},
    "mounts": [{"type": "volume", "target": "/data", "source": "data"}],
    "ports": [{"target": 80}],
    "restart": {"policy": "always"},
}
RESOURCES: dict[str, Any] = {"networks": {"front": {}, "back": {}}, "volumes": {"data": {}, "more": {}}}


def made(place: Place = PLACE, *, services: dict[str, Any] | None = None, **keys: Any) -> Wanted:
    return wanted(section(services or {"web": service(**FULL)}, **(RESOURCES | keys)), place)


def hash_of(app: Wanted, name: str = "web") -> str:
    return app.containers[name].hash


BASE = made()


def test_where_an_image_comes_from_is_no_part_of_what_a_container_is() -> None:
    elsewhere = made(replace(PLACE, registry="127.0.0.1:5001", images="127.0.0.1:5002"))
    assert hash_of(elsewhere) == hash_of(BASE)


def test_an_image_is_known_by_its_release_manifest_at_the_devices_own_registry() -> None:
    released = {"image": service()["image"] | {"plain": OTHER_DIGEST, "unpacked_bytes": 7}}
    at = replace(PLACE, images="127.0.0.1:5002")
    assert made(at, services={"web": released}).images == (
        f"127.0.0.1:5002/oaaaaaaaaaaa/aaaaaaaaaaaa/web@{OTHER_DIGEST}",
    )
    assert hash_of(made(at, services={"web": released | {"image": released["image"] | {"plain": DIGEST}}})) != hash_of(
        made(at, services={"web": released})
    )


@pytest.mark.parametrize(
    "app",
    [
        made(services={"web": service(**(FULL | {"environment": {"A": "2"}}))}),
        made(services={"web": service(**(FULL | {"networks": {"front": {}}}))}),
        made(services={"web": service(**(FULL | {"networks": {"front": {"aliases": ["www"]}, "back": {}}}))}),
        made(services={"web": service(**(FULL | {"mounts": []}))}),
        made(services={"web": service(**(FULL | {"ports": [{"target": 81}]}))}),
        made(services={"web": service(**(FULL | {"labels": {"x": "y"}}))}),
        made(services={"web": service(**(FULL | {"command": []}))}),
        made(services={"web": service(digest=OTHER_DIGEST, **FULL)}),
        made(variables={"A": "3"}),
        made(variables={"B": "1"}),
        made(attempt=5),
        made(instance=I2),
    ],
)
def test_a_change_of_what_a_container_is_made_from_changes_its_hash(app: Wanted) -> None:
    assert hash_of(app) != hash_of(BASE)


@pytest.mark.parametrize(
    "app",
    [
        made(),
        made(services={"web": service(**FULL), "db": service("db")}),
        made(settings={"priority": 1}),
        made(variables={"A": "1"}),
        made(volumes={"data": {}, "more": {}, "other": {}}),
        made(networks={"front": {"internal": True}, "back": {}}),
        made(WITH_INTAKE),
        made(services={"web": service(**(FULL | {"restart": {"policy": "no"}}))}),
    ],
    ids=["the same", "a service", "a setting", "the same value", "a volume", "a network", "an account", "a restart"],
)
def test_a_change_of_something_else_does_not(app: Wanted) -> None:
    assert hash_of(app) == hash_of(BASE)


def test_two_services_made_alike_have_two_hashes() -> None:
    both = made(services={"one": service(**FULL), "two": service(**FULL)})
    assert hash_of(both, "one") != hash_of(both, "two")


@pytest.mark.parametrize("network", [{"internal": True}, {"subnet": "10.0.0.0/24"}, {"options": {"a": "b"}}])
def test_a_changed_network_has_another_hash_and_the_others_keep_theirs(network: dict[str, Any]) -> None:
    changed = made(networks={"front": network, "back": {}})
    assert {n.resource: n.hash == old.hash for n, old in zip(changed.networks, BASE.networks, strict=True)} == {
        "back": True,
        "front": False,
    }


def test_names_tell_app_instance_and_service() -> None:
    container = BASE.containers["web"]
    assert container.name == "hello.iaaaaaaaaaaa.web"
    assert [network.name for network in BASE.networks] == ["hello.iaaaaaaaaaaa.back", "hello.iaaaaaaaaaaa.front"]
    assert [volume.name for volume in BASE.volumes] == ["hello.iaaaaaaaaaaa.data", "hello.iaaaaaaaaaaa.more"]
    assert container.mounts == (BindOrVolume("volume", "/data", source="hello.iaaaaaaaaaaa.data"),)
    assert container.networks == {"hello.iaaaaaaaaaaa.front": ("web", "www")}
    assert container.image == WEB_IMAGE


# Names made of other names are where a careless separator would let two read alike.
names = st.lists(st.sampled_from(["a", I1, I2, "_", "-"]), min_size=1, max_size=4).map("".join).filter(str.isidentifier)
places = st.tuples(names, st.sampled_from([I1, I2]), names)
SECTION = section({"web": service()})


@settings(deadline=None, max_examples=60)
@given(places, places)
def test_no_two_resources_of_a_device_have_one_name(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    engine_names = [
        engine_name(SECTION.model_copy(update={"name": name, "instance": instance}), resource)
        for name, instance, resource in (one, other)
    ]
    assert (engine_names[0] == engine_names[1]) is (one == other)


def test_a_name_made_of_another_instances_id_does_not_read_like_its_own() -> None:
    one = SECTION.model_copy(update={"name": "a", "instance": I1})
    other = SECTION.model_copy(update={"name": f"a_{I1}", "instance": I2})
    assert engine_name(one, f"{I2}_data") != engine_name(other, "data")


def test_everything_is_marked_as_this_devices_and_this_instances() -> None:
    marks = {labels.DEVICE: PLACE.device, labels.INSTANCE: I1}
    web = BASE.containers["web"]
    assert web.labels == marks | {
        labels.SERVICE: "web",
        labels.INDEX: "1",
        labels.RESTART: "always",
        labels.HASH: web.hash,
        labels.RELEASE: BASE.section.release,
    }
    assert [network.labels for network in BASE.networks] == [
        marks | {labels.RESOURCE: network.resource, labels.HASH: network.hash} for network in BASE.networks
    ]
    assert [volume.labels for volume in BASE.volumes] == [
        marks | {labels.RESOURCE: volume.resource} for volume in BASE.volumes
    ]


def test_variables_of_the_device_win_over_the_environment_of_the_release() -> None:
    app = made(variables={"A": "device", "B": "device"})
    assert app.containers["web"].environment == {"A": "device", "B": "device"}


def test_a_service_without_telemetry_gets_nothing_of_the_intake() -> None:
    assert made(WITH_INTAKE).containers["web"] == BASE.containers["web"]


def test_telemetry_by_tcp_is_an_account_and_a_name_for_the_host() -> None:
    app = made(WITH_INTAKE, services={"web": service(telemetry={"access": "tcp"})})
    web = app.containers["web"]
    assert web.environment == {
        "SKERRY_REDIS_USER": "app-1",
        "SKERRY_REDIS_PASSWORD": "secret",
        "SKERRY_STREAM": "telemetry:hello",
        "SKERRY_REDIS_URL": "redis://app-1:secret@skerry-intake:4711/0",
        "SKERRY_REDIS_HOST": "skerry-intake",
        "SKERRY_REDIS_PORT": "4711",
    }
    assert web.extra_hosts == {"skerry-intake": "host-gateway"}
    assert web.mounts == ()


def test_telemetry_by_socket_is_an_account_and_a_folder_that_cannot_be_written() -> None:
    app = made(WITH_INTAKE, services={"web": service(telemetry={"access": "socket"})})
    web = app.containers["web"]
    assert web.environment == {
        "SKERRY_REDIS_USER": "app-1",
        "SKERRY_REDIS_PASSWORD": "secret",
        "SKERRY_STREAM": "telemetry:hello",
        "SKERRY_REDIS_URL": "unix://app-1:secret@/run/skerry/redis.sock",
    }
    assert web.extra_hosts == {}
    assert web.mounts == (BindOrVolume("bind", "/run/skerry", source="/s/i", read_only=True),)


def test_an_app_cannot_put_words_into_its_own_account() -> None:
    web = service(telemetry={"access": "tcp"}, environment={"SKERRY_REDIS_USER": "app-2"})
    app = made(WITH_INTAKE, services={"web": web}, variables={"SKERRY_STREAM": "telemetry:other"})
    assert app.containers["web"].environment["SKERRY_REDIS_USER"] == "app-1"
    assert app.containers["web"].environment["SKERRY_STREAM"] == "telemetry:hello"


def test_a_changed_account_changes_only_the_containers_that_use_it() -> None:
    services = {"web": service(telemetry={"access": "tcp"}), "db": service("db")}
    one = made(WITH_INTAKE, services=services)
    other = made(replace(WITH_INTAKE, intake={I1: replace(ACCESS, tcp_port=4712)}), services=services)
    assert hash_of(one) != hash_of(other)
    assert hash_of(one, "db") == hash_of(other, "db")


def test_a_renamed_app_has_other_volumes_and_so_other_containers() -> None:
    services = {"web": service(mounts=FULL["mounts"])}
    assert hash_of(made(services=services, name="other")) != hash_of(made(services=services))


def test_another_folder_of_the_intake_is_another_container() -> None:
    services = {"web": service(telemetry={"access": "socket"})}
    moved = replace(WITH_INTAKE, intake={I1: replace(ACCESS, socket_folder="/elsewhere")})
    assert hash_of(made(moved, services=services)) != hash_of(made(WITH_INTAKE, services=services))


def test_an_apps_images_are_each_named_once() -> None:
    assert made(services={"a": service(), "b": service(), "c": service(digest=OTHER_DIGEST)}).images == (
        WEB_IMAGE,
        WEB_IMAGE.replace("1" * 64, "2" * 64),
    )
