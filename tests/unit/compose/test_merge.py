"""What a later file changes in an earlier one."""

from __future__ import annotations

import pytest

from compose.errors import Path
from compose.merge import merged
from compose.specification import FILE
from compose.tree import Node, Plain, plain
from compose.yaml_reader import read_documents

A_BY_B: dict[str, Plain] = {"source": "b", "target": "/run/secrets/a"}
DEVICE: dict[str, Plain] = {"source": "/dev/b", "target": "/dev/a", "permissions": "rwm"}


def canonical(text: str) -> Node:
    return FILE(read_documents(f"services:\n  web: {{{text}}}\n", "f.yaml")[0], ())


def both(base: str, over: str) -> Plain:
    """Return the service that two files make, each given as the inside of a flow mapping."""
    node = merged(canonical(base), canonical(over))
    assert node is not None
    document = plain(node)
    assert isinstance(document, dict)
    services = document["services"]
    assert isinstance(services, dict)
    return services["web"]


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ("image: a", "image: b", {"image": "b"}),
        ("image: a", "user: u", {"image": "a", "user": "u"}),
        ("command: a b", "command: [c]", {"command": ["c"]}),
        ("environment: [A=1, B=1]", "environment: {B: 2}", {"environment": {"A": "1", "B": "2"}}),
        ("cap_add: [A]", "cap_add: [B, A]", {"cap_add": ["A", "B"]}),
        ("dns: 1.1.1.1", "dns: [8.8.8.8]", {"dns": ["1.1.1.1", "8.8.8.8"]}),
        ("env_file: a", "env_file: [b]", {"env_file": [{"path": "a"}, {"path": "b"}]}),
        ("build: .", "build: {target: t}", {"build": {"context": ".", "target": "t"}}),
        ("networks: [a]", "networks: {b: {aliases: [x]}}", {"networks": {"a": None, "b": {"aliases": ["x"]}}}),
        ("networks: {a: {aliases: [x]}}", "networks: [a]", {"networks": {"a": {"aliases": ["x"]}}}),
        ("volumes: ['a:/x', 'b:/y']", "volumes: ['c:/x']", {"volumes": [*("c:/x", "b:/y")]}),
        (
            "ulimits: {nofile: {soft: 1, hard: 2}}",
            "ulimits: {nofile: {soft: 0}}",
            {"ulimits": {"nofile": {"soft": 0, "hard": 2}}},
        ),
        ("ulimits: {nofile: {soft: 1, hard: 2}}", "ulimits: {nofile: 3}", {"ulimits": {"nofile": 3}}),
        (
            "ulimits: {nofile: 1}",
            "ulimits: {nofile: {soft: 1, hard: 2}}",
            {"ulimits": {"nofile": {"soft": 1, "hard": 2}}},
        ),
        ("extra_hosts: ['a=1']", "extra_hosts: ['a=2']", {"extra_hosts": {"a": ["1", "2"]}}),
        ("tmpfs: /run:size=1m", "tmpfs: [/run:size=2m]", {"tmpfs": ["/run:size=2m"]}),
        ("secrets: [a]", "secrets: [{source: b, target: /run/secrets/a}]", {"secrets": [A_BY_B]}),
        ("configs: [a]", "configs: [{source: b, target: /a}]", {"configs": [{"source": "b", "target": "/a"}]}),
        ("devices: ['/dev/a']", "devices: ['/dev/b:/dev/a']", {"devices": [DEVICE]}),
        ("healthcheck: {test: a, retries: 1}", "healthcheck: {retries: 2}", None),
        ("logging: {driver: a, options: {x: 1}}", "logging: {driver: b}", {"logging": {"driver": "b"}}),
        (
            "logging: {driver: a, options: {x: 1}}",
            "logging: {options: {y: 2}}",
            {"logging": {"driver": "a", "options": {"x": "1", "y": "2"}}},
        ),
        ("image: a, user: u", "user: !reset null", {"image": "a"}),
        ("environment: {A: 1, B: 2}", "environment: {A: !reset null}", {"environment": {"B": "2"}}),
        ("environment: {A: 1}", "environment: !override {B: 2}", {"environment": {"B": "2"}}),
        ("cap_add: [A]", "cap_add: !override [B]", {"cap_add": ["B"]}),
        ("cap_add: [A]", "cap_add: !reset []", {}),
    ],
)
def test_two_files_become_one(base: str, over: str, expected: Plain) -> None:
    found = both(base, over)
    if expected is None:
        expected = {"healthcheck": {"test": ["CMD-SHELL", "a"], "retries": 2}}
    assert isinstance(found, dict)
    if "volumes" in found:
        volumes = found["volumes"]
        assert isinstance(volumes, list)
        found = {"volumes": [f"{m['source']}:{m['target']}" for m in volumes if isinstance(m, dict)]}
    assert found == expected


def test_a_port_is_the_same_by_address_and_numbers() -> None:
    found = both("ports: ['80:80', '81:81']", "ports: [{target: 80, published: 80, app_protocol: http}]")
    assert isinstance(found, dict)
    ports = found["ports"]
    assert isinstance(ports, list)
    assert [(port["published"], "app_protocol" in port) for port in ports if isinstance(port, dict)] == [
        ("80", True),
        ("81", False),
    ]


def test_resetting_a_whole_node_takes_it_away() -> None:
    path: Path = ("services",)
    assert merged(canonical("image: a"), read_documents("!reset null", "f")[0], path) is None
