"""The schema for editors knows every key of Compose, and the documentation has a row for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compose.errors import ComposeError
from compose.schema import CONFIG, JOB, NETWORK, SECRET, SERVICE, VOLUME, schema
from compose.service_keys import JOB_KEYS, SERVICE_KEYS
from compose.specification import CONFIG_KEYS, NETWORK_KEYS, SECRET_KEYS, VOLUME_KEYS
from tests.unit.compose.conftest import LoadService

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "compose.md"


SPECIFICATION = Path(__file__).with_name("specification_keys.txt")


def keys_below(part: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the path of every key in a JSON schema."""
    for inner in part.get("oneOf", ()):
        yield from keys_below(inner, path)
    for key, value in part.get("properties", {}).items():
        yield f"{path}.{key}".removeprefix(".")
        yield from keys_below(value, f"{path}.{key}".removeprefix("."))
    for pattern, value in part.get("patternProperties", {}).items():
        if pattern != "^x-":
            yield from keys_below(value, f"{path}.*")
    if isinstance(part.get("additionalProperties"), dict):
        yield from keys_below(part["additionalProperties"], f"{path}.*")
    if "items" in part:
        yield from keys_below(part["items"], f"{path}[]")


def test_every_key_of_the_specification_is_in_the_schema() -> None:
    lines = SPECIFICATION.read_text().splitlines()
    wanted = {line for line in lines if line and not line.startswith("#")}
    assert len(wanted) > 700
    assert sorted(wanted - set(keys_below(schema()))) == []


def shown() -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", DOCUMENT.read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("known", "taken"),
    [
        (SERVICE, {**SERVICE_KEYS, "x-skerry": None}),
        (JOB, JOB_KEYS),
        (NETWORK, NETWORK_KEYS),
        (VOLUME, VOLUME_KEYS),
        (SECRET, SECRET_KEYS),
        (CONFIG, CONFIG_KEYS),
    ],
)
def test_the_schema_and_the_loader_know_the_same_keys(known: dict[str, Any], taken: dict[str, Any]) -> None:
    assert sorted(known["properties"]) == sorted(taken)


@pytest.mark.parametrize("key", sorted(schema()["properties"]))
def test_a_key_of_the_top_is_in_the_documentation(key: str) -> None:
    assert key in shown()


@pytest.mark.parametrize("prefix", ["services", "networks", "volumes"])
def test_each_key_of_the_specification_is_in_the_documentation(prefix: str) -> None:
    known = {"services": SERVICE, "networks": NETWORK, "volumes": VOLUME}[prefix]
    assert [key for key in known["properties"] if f"{prefix}.*.{key}" not in shown()] == []


def deeper(part: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the keys below one, for those that the documentation tells apart."""
    for inner in [part, *part.get("oneOf", ())]:
        for key, value in inner.get("properties", {}).items():
            yield f"{path}.{key}"
            yield from deeper(value, f"{path}.{key}")


@pytest.mark.parametrize("key", ["build", "healthcheck", "logging"])
def test_each_key_below_one_of_a_service_is_in_the_documentation(key: str) -> None:
    wanted = {re.sub(r"(\.secrets|\.ulimits)\..*", r"\1", path) for path in deeper(SERVICE["properties"][key], key)}
    assert sorted(path for path in wanted if f"services.*.{path}" not in shown()) == []


@pytest.mark.parametrize(
    ("written", "telemetry"), [("true", "socket"), ("false", "none"), ("socket", "socket"), ("tcp", "tcp")]
)
def test_telemetry_is_a_word_or_a_switch(load_service: LoadService, written: str, telemetry: str) -> None:
    skerry = load_service(f"x-skerry: {{telemetry: {written}}}").skerry
    assert skerry is not None
    assert skerry.telemetry == telemetry


@pytest.mark.parametrize("text", ["{telemetry: udp}", "{display: maybe}", "{redis: often}", "{locks: true}", "[a]"])
def test_what_is_no_key_or_word_of_ours_is_refused(load_service: LoadService, text: str) -> None:
    with pytest.raises(ComposeError, match=r"services\.web\.x-skerry"):
        load_service(f"x-skerry: {text}")
