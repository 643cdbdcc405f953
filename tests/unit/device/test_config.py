"""What the owner writes and what enrollment gave."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import Refused
from broker.transport import Endpoint
from device.config import Owner, Paths, endpoint, read_identity, read_owner


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "device.toml"


def refusal(file: Path, text: str | bytes) -> str:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Refused) as refused:
        read_owner(file)
    assert refused.value.reason == "bad_config"
    return str(refused.value).removeprefix(f"{file}: ")


def test_without_a_file_the_defaults_hold_and_everything_is_denied(file: Path) -> None:
    assert read_owner(file) == Owner()
    assert list(Owner().policy.entries()) == [("allow_ports", ports) for ports in ("80", "443", "1024-65535")]


def test_what_the_owner_writes_is_read(file: Path) -> None:
    file.write_text('zone = "north"\n[policy]\nallow_devices = ["/dev/ttyS0"]\n[telemetry]\nlinger_ms = 0\n')
    owner = read_owner(file)
    assert (owner.zone, owner.policy.allow_devices, owner.telemetry.linger_ms) == ("north", ("/dev/ttyS0",), 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("zoen = 1", "zoen: Extra inputs are not permitted"),
        ("[metrics]\ncontainers_every_s = 9", "metrics.containers_every_s: Value error, containers are asked after"),
        ("[policy]\nallow_privilegd = true", "policy.allow_privilegd: there is no such row"),
        ("policy = 3", "policy: Input should be a valid dictionary"),
        ("[policy.widen]\nallow_privilegd = true", "policy.widen.allow_privilegd: there is no such row"),
        ('[policy]\nallow_bind_prefixes = ["srv"]', "policy.allow_bind_prefixes: 'srv' is no absolute path"),
        ('[policy]\nallow_bind_prefixes = ["/srv/../etc"]', "policy.allow_bind_prefixes: '/srv/../etc' is no absolute"),
        ('[policy]\nallow_ports = ["90-80"]', "policy.allow_ports: '90-80' is no port, and no range such as 8000-8099"),
        ('[policy.widen]\nallow_subnets = ["x"]', "policy.widen.allow_subnets: 'x' is no range of addresses"),
        (f"[policy]\nallow_capabilities = {['X' * 200] * 60}", "policy: the policy is longer than 8192 bytes"),
        (f"[policy]\nallow_capabilities = {['X'] * 65}", "policy.allow_capabilities: Tuple should have at most 64"),
        ("[policy]\nallow_devices = 3", "policy.allow_devices: Input should be a valid tuple"),
        ("[telemetry]\nstore_megabytes = 1", "telemetry.store_megabytes: Input should be greater than or equal to 8"),
        ('[telemetry]\ndurability = "never"', "telemetry.durability: String should match pattern"),
        ("zone = x", "Invalid value (at line 1, column 8)"),
        (b"zone = '\xff'", "'utf-8' codec can't decode byte 0xff in position 8"),
    ],
)
def test_a_mistake_is_named_by_its_key_or_place(file: Path, text: str | bytes, said: str) -> None:
    assert refusal(file, text).startswith(said)


@pytest.mark.parametrize("text", ["zone = " + "[" * 3000, "zone = " + "9" * 5000, "zone = 2020-13-41"])
def test_what_the_reader_of_the_file_trips_over_is_refused_as_well(file: Path, text: str) -> None:
    # The first two once ended the worker with a traceback.
    refusal(file, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host:1", Endpoint("host", 1)),
        ("10.0.0.1:65535", Endpoint("10.0.0.1", 65535)),
        ("[fd00::1]:8883", Endpoint("fd00::1", 8883)),
    ],
)
def test_an_address_is_host_and_port(text: str, expected: Endpoint) -> None:
    assert endpoint(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        ":1",
        "host:",
        "host:0",
        "host:65536",
        "host:-1",
        "host:\u00b2",
        "host:\u0663",
        "host:" + "1" * 5000,
        "host: 1",
    ],
)
def test_another_text_is_no_address(text: str) -> None:
    with pytest.raises(Refused, match="is not host:port"):
        endpoint(text)


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=20))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    with contextlib.suppress(Refused):
        assert 0 < endpoint(text).port < 65536


def test_a_folder_without_an_identity_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="skerry-device enroll TOKEN --state") as refused:
        read_identity(Paths(tmp_path))
    assert refused.value.reason == "not_enrolled"


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_a_broken_identity_is_refused(tmp_path: Path, content: bytes) -> None:
    paths = Paths(tmp_path)
    paths.prepare()
    paths.identity_file.write_bytes(content)
    paths.seed.write_bytes(bytes(32))
    with pytest.raises(Refused, match="enroll again") as refused:
        read_identity(paths)
    assert refused.value.reason == "bad_identity"


def test_only_the_intake_folder_can_be_entered_by_others(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state")
    paths.prepare()
    assert paths.state.stat().st_mode & 0o777 == 0o700
    assert paths.ledger.stat().st_mode & 0o777 == 0o700
    assert paths.intake_folder.stat().st_mode & 0o777 == 0o755
