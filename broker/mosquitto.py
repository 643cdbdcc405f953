"""mosquitto's configuration and ACL, generated from the channel table.

Two listeners with two authorities: devices on one, where the certificate's name is the user name and the client id;
services on the other. An identity issued by the device authority is worth nothing on the services' listener.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from broker.channels import CHANNELS, PACKET_MAX, PREFIX, Direction
from broker.transport import Endpoint

INGEST = "svc.ingest"  # reads what devices send, answers with sync
PUBLISHER = "svc.publisher"  # sends what the deploy key has signed


@dataclass(frozen=True)
class BrokerFiles:
    """Where the broker finds what it needs; all inside one folder that it can read."""

    folder: Path
    server_certificate: Path
    server_key: Path
    device_ca: Path
    device_crl: Path
    service_ca: Path

    @property
    def acl(self) -> Path:
        return self.folder / "acl"

    @property
    def config(self) -> Path:
        return self.folder / "mosquitto.conf"


def acl_text() -> str:
    """Return the ACL: a line for each channel and no `#`, which would let a device retain anything."""
    lines = ["# Generated from the channel table.", f"user {INGEST}"]
    lines += [f"topic read {channel.every_device}" for channel in CHANNELS if channel.direction is Direction.UP]
    lines += [f"topic write {PREFIX}/+/+/+/dn/sync", "", f"user {PUBLISHER}"]
    lines += [
        f"topic write {channel.every_device}"
        for channel in CHANNELS
        if channel.direction is Direction.DOWN and channel.name != "sync"
    ]
    lines += ["", "# A device: its user name is <shard>/<org>/<device>."]
    for channel in CHANNELS:
        verb = "write" if channel.direction is Direction.UP else "read"
        lines.append(f"pattern {verb} {PREFIX}/%u/{channel.direction.value}/{channel.name}")
    return "\n".join(lines) + "\n"


def config_text(files: BrokerFiles, *, devices: Endpoint, services: Endpoint, user: str, keepalive_s_max: int) -> str:
    """Return mosquitto.conf. `keepalive_s_max` belongs to the link profile of the devices' listener."""
    return f"""# Generated.
per_listener_settings false
allow_anonymous false
acl_file {files.acl}
user {user}
persistence true
persistence_location {files.folder}/
persistence_file mosquitto.db
autosave_interval 30
autosave_on_changes false
persistent_client_expiration 14d
max_queued_messages 1000
max_inflight_messages 20
max_packet_size {PACKET_MAX * 2}
max_keepalive {keepalive_s_max}
set_tcp_nodelay true
connection_messages true
log_dest stderr
log_type error
log_type warning
log_type notice

listener {devices.port} {devices.host}
cafile {files.device_ca}
certfile {files.server_certificate}
keyfile {files.server_key}
crlfile {files.device_crl}
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_username_as_clientid true

listener {services.port} {services.host}
cafile {files.service_ca}
certfile {files.server_certificate}
keyfile {files.server_key}
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
"""
