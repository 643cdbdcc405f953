"""Whatever is in a file, the loader returns a project or refuses it in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.appspec import Image
from broker.errors import Refused
from compose.dotenv import parse
from compose.load import load
from compose.service_keys import SERVICE_KEYS
from compose.specification import NETWORK_KEYS, VOLUME_KEYS
from compose.to_appspec import app_spec

SEED = """\
name: app
x-common: &common
  restart: unless-stopped
  logging: {driver: json-file, options: {max-size: 1m}}
services:
  web:
    <<: *common
    image: "web:${TAG:-1}"
    command: ["serve", "--port", "80"]
    environment: {A: 1, B: "${A:-x}", C: }
    ports: ["8080:80", {target: 81, published: "82-83"}, "90-91:90-91/udp"]
    volumes: [data:/data, ./conf:/etc/conf:ro, {type: tmpfs, target: /run, tmpfs: {size: 1m, mode: 0755}}]
    depends_on: {db: {condition: service_healthy, restart: true}}
    networks: {front: {aliases: [www]}}
    deploy: {resources: {limits: {cpus: "0.5", memory: 64m}}}
  db:
    extends: {service: base}
    healthcheck: {test: "true", interval: 10s, retries: 3}
    tmpfs: /tmp:size=1m
    ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}
    networks: [front]
  base: {image: db, cap_add: [NET_ADMIN], devices: ["/dev/a:/dev/b:rw"], extra_hosts: ["a=1.2.3.4"]}
networks: {front: {ipam: {config: [{subnet: 10.0.0.0/24}]}}}
volumes: {data: {driver: local, driver_opts: {type: none, o: bind, device: ./d}}}
"""
PIECES = [
    *(
        "!reset",
        "!override",
        "*common",
        "&a",
        "<<: ",
        "${",
        "}",
        "$",
        "null",
        "[]",
        "{}",
        "- ",
        ": ",
        '"',
        "'",
        "\t",
        "\x00",
    ),
    *(
        "0",
        "-1",
        "1e999",
        ".inf",
        ".nan",
        "99999999999999999999",
        "08",
        "true",
        "\u2028",
        "\ud7ff",
        "|",
        ">",
        "%",
        "@",
        "---\n",
    ),
]
EXAMPLES = int(os.environ.get("SKERRY_FUZZ_EXAMPLES", "40"))
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["1s", "1m", "80:80", "a=b", "./x", "/x:/y", "$A"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


def check_message(error: Refused) -> None:
    assert str(error).isprintable()
    assert error.reason


def try_loading(folder: Path, text: str) -> None:
    (folder / "compose.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        project = load([folder / "compose.yaml"], environment={"A": "a"})
        images = {name: Image(repository="o/a/s", digest="sha256:" + "0" * 64) for name in project.services}
        app_spec(project, images)
    except Refused as error:
        check_message(error)


def test_the_seed_is_a_good_project(folder: Path) -> None:
    (folder / "compose.yaml").write_text(SEED)
    assert set(load([folder / "compose.yaml"], environment={}).services) == {"web", "db", "base"}


@QUICK
@given(st.data())
def test_a_damaged_file_is_loaded_or_refused(folder: Path, data: st.DataObject) -> None:
    text = SEED
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.integers(0, 6))
        text = text[:at] + data.draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=4))) + text[at + gone :]
    try_loading(folder, text)


@QUICK
@given(st.sampled_from(sorted(SERVICE_KEYS)), values)
def test_any_value_of_any_service_key_is_loaded_or_refused(folder: Path, key: str, value: object) -> None:
    try_loading(folder, flow({"services": {"web": {"image": "x", key: value}}}))


@QUICK
@given(
    st.sampled_from(["networks", "volumes", "secrets", "configs"]),
    st.sampled_from(sorted({*NETWORK_KEYS, *VOLUME_KEYS})),
    values,
)
def test_any_value_of_any_resource_key_is_loaded_or_refused(
    folder: Path, section: str, key: str, value: object
) -> None:
    try_loading(folder, flow({"services": {"web": {"image": "x"}}, section: {"r": {key: value}}}))


@QUICK
@given(st.text(max_size=60))
def test_any_environment_file_is_read_or_refused(text: str) -> None:
    try:
        parse(text, lambda name: None, file="e")
    except Refused as error:
        check_message(error)


def flow(value: object) -> str:
    """Return a value in YAML's flow style, without relying on the reader that is being tested."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"? {flow(key)} : {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08x}" if not char.isalnum() else char for char in value) + '"'
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(str(value), str(value))


@pytest.mark.parametrize(
    "text", ["services: {web: {image: \x00}}", "services: \ud800", "\ufeffservices: {}", "a: b: c", "? \n", "%"]
)
def test_a_text_that_once_broke_a_reader_is_refused(folder: Path, text: str) -> None:
    try_loading(folder, text)
