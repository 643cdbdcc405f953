"""The broker's configuration, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.channels import CHANNELS, Direction
from broker.mosquitto import BrokerFiles, acl_text, config_text
from broker.transport import Endpoint

FOLDER = Path("/b")
FILES = BrokerFiles(
    folder=FOLDER,
    server_certificate=FOLDER / "server.crt",
    server_key=FOLDER / "server.key",
    device_ca=FOLDER / "devices.crt",
    device_crl=FOLDER / "devices.crl",
    service_ca=FOLDER / "services.crt",
)
ACL = """\
# Generated from the channel table.
user svc.ingest
topic read sk/1/+/+/+/up/presence
topic read sk/1/+/+/+/up/status
topic read sk/1/+/+/+/up/progress
topic read sk/1/+/+/+/up/batch
topic read sk/1/+/+/+/up/reply
topic read sk/1/+/+/+/up/stream
topic write sk/1/+/+/+/dn/sync

user svc.publisher
topic write sk/1/+/+/+/dn/desired
topic write sk/1/+/+/+/dn/trust
topic write sk/1/+/+/+/dn/command
topic write sk/1/+/+/+/dn/stream

# A device: its user name is <shard>/<org>/<device>.
pattern read sk/1/%u/dn/desired
pattern read sk/1/%u/dn/trust
pattern read sk/1/%u/dn/command
pattern read sk/1/%u/dn/sync
pattern read sk/1/%u/dn/stream
pattern write sk/1/%u/up/presence
pattern write sk/1/%u/up/status
pattern write sk/1/%u/up/progress
pattern write sk/1/%u/up/batch
pattern write sk/1/%u/up/reply
pattern write sk/1/%u/up/stream
"""
DEVICES = """\
listener 8883 0.0.0.0
cafile /b/devices.crt
certfile /b/server.crt
keyfile /b/server.key
crlfile /b/devices.crl
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_username_as_clientid true"""
SERVICES = """\
listener 8884 127.0.0.1
cafile /b/services.crt
certfile /b/server.crt
keyfile /b/server.key
tls_version tlsv1.2
require_certificate true
use_identity_as_username true"""


def config() -> str:
    return config_text(
        FILES,
        devices=Endpoint("0.0.0.0", 8883),  # noqa: S104 - text only
        services=Endpoint("127.0.0.1", 8884),
        user="mosquitto",
        keepalive_s_max=900,
    )


def test_the_acl_is_one_line_a_channel_for_each_kind_of_client() -> None:
    assert acl_text() == ACL


def test_the_acl_has_no_hash_outside_of_comments() -> None:
    assert all("#" not in line for line in acl_text().splitlines() if not line.startswith("#"))


def test_a_device_may_write_only_upwards_and_read_only_what_is_its_own() -> None:
    patterns = [line.split() for line in acl_text().splitlines() if line.startswith("pattern")]
    assert len(patterns) == len(CHANNELS)
    for _, verb, topic in patterns:
        assert topic.startswith("sk/1/%u/")
        assert "+" not in topic
        assert (verb == "write") == (f"/{Direction.UP.value}/" in topic)


def test_nobody_is_anonymous_on_any_listener() -> None:
    assert [line for line in config().splitlines() if "anonymous" in line] == ["allow_anonymous false"]
    assert "acl_file /b/acl" in config().splitlines()


def test_devices_and_services_have_listeners_and_authorities_of_their_own() -> None:
    _, devices, services = config().strip().split("\n\n")
    assert devices == DEVICES
    assert services == SERVICES


@pytest.mark.parametrize(
    "line",
    [
        "persistence true",
        "persistence_location /b/",
        "max_keepalive 900",
        "user mosquitto",
        "max_packet_size 526336",
        "set_tcp_nodelay true",
    ],
)
def test_what_sessions_rely_on_is_said(line: str) -> None:
    assert line in config().splitlines()
