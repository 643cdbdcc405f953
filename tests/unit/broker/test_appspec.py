"""The AppSpec: what it refuses, and what its digest depends on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from broker.appspec import AppSpec
from broker.circles import dependency_cycle
from tests.harness.apps import service
from tests.wire.examples import SPEC


def spec(services: dict[str, Any] | None = None, **keys: Any) -> AppSpec:
    return AppSpec.model_validate({"name": "hello", "services": services or {"web": service()}} | keys)


def web(**keys: Any) -> dict[str, Any]:
    return {"web": service(**keys)}


def volume(source: str) -> dict[str, Any]:
    return web(mounts=[{"type": "volume", "target": "/data", "source": source}])


def bind(source: str) -> dict[str, Any]:
    return web(mounts=[{"type": "bind", "target": "/data", "source": source}])


@pytest.mark.parametrize(
    ("services", "keys", "why"),
    [
        ({"web": service() | {"colour": "red"}}, {}, "Extra inputs are not permitted"),
        ({}, {"colour": "red"}, "Extra inputs are not permitted"),
        ({}, {"v": 2}, "Input should be 1"),
        ({"web": service(restart={"policy": "no", "colour": "red"})}, {}, "Extra inputs are not permitted"),
        ({"We b": service()}, {}, "String should match pattern"),
        ({"web": service(labels={"io.skerry.instance": "x"})}, {}, "label 'io.skerry.instance': the prefix"),
        ({}, {"networks": {"n": {"labels": {"io.skerry.hash": "x"}}}}, "label 'io.skerry.hash': the prefix"),
        ({}, {"volumes": {"v": {"labels": {"io.skerry.device": "x"}}}}, "label 'io.skerry.device': the prefix"),
        ({"web": service(depends_on={"db": {}})}, {}, "services.web.depends_on: there is no service 'db'"),
        ({"web": service(networks={"n": {}})}, {}, "services.web.networks: there is no network 'n'"),
        ({"web": service(network_mode="host", networks={"n": {}})}, {"networks": {"n": {}}}, "exclude each other"),
        (volume("data"), {}, "services.web.volumes: there is no volume 'data'"),
        (bind("srv"), {}, "a host path must be absolute, not 'srv'"),
        (bind("../srv"), {}, "a host path must be absolute"),
        (bind(""), {}, "a host path must be absolute"),
        ({"web": service(depends_on={"web": {}})}, {}, "in a circle: web -> web"),
        (
            {"a": service(depends_on={"b": {}}), "b": service(depends_on={"a": {"required": False}})},
            {},
            "depends_on goes in a circle: ",
        ),
        ({"web": service(ports=[{"target": 0}])}, {}, "greater than or equal to 1"),
        ({"web": service(ports=[{"target": 1, "published": 65536}])}, {}, "less than or equal to 65535"),
        ({"web": service(expose=["http"])}, {}, "String should match pattern"),
        ({"web": service(expose=["1-65536"])}, {}, "names no ports"),
        ({"web": service(expose=["9-8"])}, {}, "names no ports"),
        ({"web": service(expose=["0"])}, {}, "names no ports"),
        ({"web": service(environment={"A": "a\0b"})}, {}, "String should match pattern"),
        ({"web": service(environment={"": "a"})}, {}, "String should match pattern"),
        ({"web": service(stop_grace_ms=-1)}, {}, "greater than or equal to 0"),
        ({"web": service(network_mode="container:")}, {}, "String should match pattern"),
        ({}, {"networks": {"n": {"driver": "host"}}}, "Input should be 'bridge'"),
        ({}, {"networks": {"n": {"subnet": "\0"}}}, "String should match pattern"),  # a pool refused it on the device
        ({}, {"volumes": {"v": {"driver": "nfs"}}}, "Input should be 'local'"),
        ({"web": {"image": {"repository": "A b", "digest": "sha256:" + "1" * 64}}}, {}, "String should match pattern"),
        ({"web": {"image": {"repository": "a", "digest": "latest"}}}, {}, "String should match pattern"),
    ],
)  # fmt: skip
def test_a_spec_that_breaks_a_rule_is_refused_and_the_rule_named(
    services: dict[str, Any], keys: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        spec(services, **keys)
    assert why in str(refused.value)


def test_an_app_has_a_service_at_least() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        AppSpec.model_validate({"name": "hello", "services": {}})


def test_a_dependency_that_is_not_required_may_be_missing() -> None:
    made = spec({"web": service(depends_on={"db": {"required": False}})})
    assert not made.services["web"].depends_on["db"].required


@pytest.mark.parametrize("expose", ["1", "80/tcp", "65535/udp", "8000-8010", "1-65535/sctp"])
def test_ports_are_exposed_alone_or_as_a_range(expose: str) -> None:
    assert spec(web(expose=[expose])).services["web"].expose == (expose,)


def test_the_digest_of_a_spec_is_a_constant_of_the_protocol() -> None:
    assert spec().digest == "sha256:a1c09fcd8aba2a3d84b7baead22521301168f2a64920b0d78e31232207764321"
    assert SPEC.digest == "sha256:7c0ecb428f9f0a1e06b0b52ad8fc1be85af5e5b0db0e534822d04613d032ad0b"


def test_a_default_that_is_written_out_does_not_change_the_digest() -> None:
    written = service(
        command=None, environment={}, tty=False, ports=[], restart={"policy": "no", "retries": 0}, stop_grace_ms=10_000,
        depends_on={}, healthcheck=None, telemetry={"access": "none"}, shm_size=None, network_mode="",
    )  # fmt: skip
    assert spec({"web": written}, networks={}, volumes={}, v=1).digest == spec().digest


def test_an_empty_command_is_another_release_than_none() -> None:
    assert spec(web(command=[])).digest != spec().digest


def shuffled(value: Any, draw: st.DrawFn) -> Any:
    """Return an equal value whose maps are in another order."""
    if isinstance(value, dict):
        keys = draw(st.permutations(sorted(value)))
        return {key: shuffled(value[key], draw) for key in keys}
    return value


@st.composite
def reordered(draw: st.DrawFn) -> Any:
    return shuffled(SPEC.model_dump(mode="json"), draw)


@settings(deadline=None, max_examples=10)
@given(reordered())
def test_the_order_of_keys_does_not_change_the_digest(plain: Any) -> None:
    assert AppSpec.model_validate(plain).digest == SPEC.digest


def test_the_order_of_a_list_does() -> None:
    one, other = {"target": 1}, {"target": 2}
    assert spec(web(ports=[one, other])).digest != spec(web(ports=[other, one])).digest


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    return [path]


@pytest.mark.parametrize("path", leaves(SPEC.plain()), ids=".".join)
def test_every_part_of_a_spec_is_in_its_digest(path: tuple[Any, ...]) -> None:
    plain = SPEC.model_dump(mode="json")
    inner = plain
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    try:
        without = AppSpec.model_validate(plain)
    except ValidationError:
        return  # a spec that lacks it is none
    assert without.digest != SPEC.digest or path == ("v",)


def test_the_plain_form_makes_an_equal_spec() -> None:
    assert AppSpec.model_validate(SPEC.plain()) == SPEC


def test_a_circle_is_told_from_first_to_last() -> None:
    circle = dependency_cycle({"a": ("b",), "b": ("c",), "c": ("a",), "d": ("a",)})
    assert circle[0] == circle[-1]
    assert set(circle) == {"a", "b", "c"}
    assert dependency_cycle({"a": ("b",), "b": ("c", "missing")}) == []
