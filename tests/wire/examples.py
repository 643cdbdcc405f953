"""One message of every kind and channel with every field filled in, and the keys they are sealed under.

The keys are here for everybody to read: they belong to no device and no cloud.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker import channels, messages
from broker.appspec import AppSpec
from broker.channels import Channel, Proof
from broker.codec import FLAG_ZSTD, seal
from broker.ids import DeviceRef
from broker.payloads import LINES, SAMPLES, Line, Sample, pack_lines, pack_samples
from broker.policy import Grants, Policy
from broker.policy_rows import Rows
from broker.signing import MacKey, Prover, Signatures, Signer, Verifier, key_id

ALLOWED: dict[str, Any] = {
    name: True if row.annotation is bool else ["pid"] if name == "allow_host_namespaces" else ["a"]
    for name, row in Rows.model_fields.items()
}

FOLDER = Path(__file__).parent / "v1"
INDEX = FOLDER / "index.txt"

DEVICE = DeviceRef("oaaaaaaaaaaa", "daaaaaaaaaaa")
ROOT = Signer(bytes([1]) * 32)
ONLINE = Signer(bytes([2]) * 32)
RETIRED = Signer(bytes([4]) * 32)
MAC = MacKey(bytes([3]) * 32)

_PROVERS: dict[Proof, Prover] = {Proof.ROOT: ROOT, Proof.SIGNED: ONLINE, Proof.MAC: MAC}
_VERIFIERS: dict[Proof, Verifier] = {
    Proof.ROOT: Signatures((ROOT.public,)),
    Proof.SIGNED: Signatures((ONLINE.public,)),
    Proof.MAC: MAC,
}


@dataclass(frozen=True)
class Example:
    """A message on its channel; `name` is its file's name."""

    name: str
    channel: Channel
    message: Any

    @property
    def prover(self) -> Prover:
        return _PROVERS[self.channel.proof]

    @property
    def verifier(self) -> Verifier:
        return _VERIFIERS[self.channel.proof]

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.hex"

    def sealed(self) -> bytes:
        return seal(self.channel, DEVICE, self.message, self.prover)

    def golden(self) -> bytes:
        return bytes.fromhex(self.file.read_text())

    def line(self, sealed: bytes, digest: str) -> str:
        """Return this example's line in the index."""
        form = "zstd" if sealed[1] & FLAG_ZSTD else "plain"
        place = f"{self.channel.direction.value}/{self.channel.name}"
        return (
            f"{self.name:16} {place:12} {type(self.message).__name__:13} {self.channel.proof.value:7} {form:6} {digest}"
        )


def hex_text(sealed: bytes) -> str:
    """Return bytes as lines of hexadecimal digits, so that a difference shows where it is."""
    return "\n".join(sealed[at : at + 32].hex() for at in range(0, len(sealed), 32)) + "\n"


SPEC = AppSpec.model_validate(
    {
        "name": "hello",
        "services": {
            "web": {
                "image": {
                    "repository": "oaaaaaaaaaaa/aaaaaaaaaaaa/web",
                    "digest": "sha256:" + "1" * 64,
                    "platform": "linux/arm64",
                },
                "command": ["serve", "--port", "80"],
                "entrypoint": ["/bin/start"],
                "environment": {"MODE": "sea", "NAME": "Skerryvore é"},
                "user": "1000:1000",
                "working_dir": "/srv",
                "hostname": "web",
                "domainname": "example",
                "init": True,
                "tty": True,
                "stdin_open": True,
                "read_only": True,
                "privileged": True,
                "labels": {"owner": "harbour"},
                "ports": [{"target": 80, "published": 8080, "host_ip": "127.0.0.1", "protocol": "udp"}],
                "expose": ["9000/tcp"],
                "mounts": [
                    {"type": "volume", "target": "/data", "source": "data", "no_copy": True},
                    {
                        "type": "bind",
                        "target": "/etc/tides",
                        "source": "/srv/tides",
                        "read_only": True,
                        "create_host_path": False,
                        "propagation": "rslave",
                    },
                    {"type": "tmpfs", "target": "/run", "tmpfs_size": 65536, "tmpfs_mode": 0o1777},
                ],
                "networks": {
                    "front": {"aliases": ["www"], "ipv4_address": "10.9.0.2", "ipv6_address": "fd00::2"},
                },
                "depends_on": {"db": {"condition": "service_healthy", "required": False, "restart": True}},
                "healthcheck": {
                    "test": ["CMD", "/bin/true"],
                    "interval_ms": 1000,
                    "timeout_ms": 2000,
                    "start_period_ms": 3000,
                    "retries": 4,
                },
                "restart": {"policy": "on-failure", "retries": 5},
                "stop_signal": "SIGINT",
                "stop_grace_ms": 1500,
                "cap_add": ["NET_ADMIN"],
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges"],
                "devices": ["/dev/ttyUSB0:/dev/gps:rw"],
                "group_add": ["dialout"],
                "extra_hosts": {"peer": "10.0.0.1"},
                "dns": ["10.0.0.53"],
                "dns_search": ["example"],
                "sysctls": {"net.core.somaxconn": "64"},
                "ulimits": {"nofile": {"soft": 100, "hard": 200}},
                "shm_size": 1 << 20,
                "mem_limit": 1 << 26,
                "memswap_limit": 1 << 27,
                "nano_cpus": 500_000_000,
                "pids_limit": 50,
                "oom_score_adj": 100,
                "logging": {"driver": "local", "options": {"max-size": "1m"}},
                "telemetry": {"access": "tcp"},
            },
            "db": {
                "image": {"repository": "oaaaaaaaaaaa/aaaaaaaaaaaa/db", "digest": "sha256:" + "2" * 64},
                "network_mode": "none",
            },
        },
        "networks": {
            "front": {
                "driver": "bridge",
                "internal": True,
                "labels": {"side": "lee"},
                "options": {"com.docker.network.driver.mtu": "1400"},
                "subnet": "10.9.0.0/24",
                "gateway": "10.9.0.1",
            }
        },
        "volumes": {
            "data": {"driver": "local", "options": {"type": "tmpfs", "device": "tmpfs"}, "labels": {"keep": "yes"}}
        },
    }
)

# What came to the AppSpec after its first devices: left out of a message at its default, so SPEC has none of it.
LATER_SPEC = AppSpec.model_validate(
    {
        "name": "hello",
        "services": {
            "web": {
                "image": {"repository": "oaaaaaaaaaaa/aaaaaaaaaaaa/web", "digest": "sha256:" + "1" * 64},
                "mounts": [
                    {"type": "volume", "target": "/data", "source": "data", "subpath": "web"},
                    {"type": "bind", "target": "/etc/tides", "source": "/srv/tides", "recursive": "disabled"},
                    {"type": "tmpfs", "target": "/fast", "tmpfs_uid": 1, "tmpfs_gid": 2, "tmpfs_exec": True},
                ],
                "networks": {
                    "front": {
                        "link_local_ips": ["169.254.1.2"],
                        "mac_address": "02:42:ac:11:00:02",
                        "driver_opts": {"wind": "west"},
                        "interface_name": "sea0",
                        "priority": 3,
                        "gw_priority": 4,
                    },
                },
                "depends_on": {"db": {}},
                "healthcheck": {"test": ["CMD", "/bin/true"], "start_interval_ms": 500},
                "pid": "service:db",
                "ipc": "private",
                "uts": "host",
                "userns_mode": "host",
                "cgroup": "private",
                "cgroup_parent": "/apps",
                "device_cgroup_rules": ["c 1:3 mr"],
                "device_requests": [
                    {
                        "driver": "nvidia",
                        "count": 1,
                        "device_ids": ["0"],
                        "capabilities": ["gpu"],
                        "options": {"a": "b"},
                    }
                ],
                "extra_hosts": {"peer": ["10.0.0.1", "10.0.0.2"]},
                "dns_opt": ["ndots:2"],
                "mem_limit": 1 << 26,
                "mem_reservation": 1 << 25,
                "mem_swappiness": 10,
                "cpu_shares": 512,
                "cpu_period": 100_000,
                "cpu_quota": 50_000,
                "cpu_rt_period": 10_000,
                "cpu_rt_runtime": 1_000,
                "cpuset": "0-1",
                "blkio": {
                    "weight": 300,
                    "weight_device": [{"path": "/dev/sda", "weight": 400}],
                    "device_read_bps": [{"path": "/dev/sda", "rate": 1000}],
                    "device_read_iops": [{"path": "/dev/sda", "rate": 10}],
                    "device_write_bps": [{"path": "/dev/sda", "rate": 2000}],
                    "device_write_iops": [{"path": "/dev/sda", "rate": 20}],
                },
                "oom_kill_disable": True,
                "runtime": "runc",
                "storage_opt": {"size": "1G"},
                "annotations": {"tide": "low"},
                "volumes_from": ["db:ro"],
                "configs": [{"source": "buoys", "target": "/etc/buoys", "uid": 1, "gid": 2, "mode": 0o440}],
                "secrets": [{"source": "key", "target": "/run/secrets/key"}],
                "update": {
                    "parallelism": 2,
                    "delay_ms": 1000,
                    "failure_action": "pause",
                    "monitor_ms": 2000,
                    "max_failure_ppm": 250_000,
                },
                "rollback": {"failure_action": "continue"},
            },
            "db": {
                "image": {
                    "repository": "oaaaaaaaaaaa/aaaaaaaaaaaa/db",
                    "digest": "sha256:" + "2" * 64,
                    "plain": "sha256:" + "3" * 64,
                    "unpacked_bytes": 1_000_000,
                },
                "replicas": 2,
                "post_start": [
                    {
                        "command": ["/bin/fill"],
                        "user": "root",
                        "privileged": True,
                        "working_dir": "/data",
                        "environment": {"TIDE": "high"},
                    }
                ],
                "pre_stop": [{"command": ["/bin/drain"]}],
                "redis": True,
                "display": "auto",
                "lock": True,
            },
            "buoy": {
                "image": {"repository": "oaaaaaaaaaaa/aaaaaaaaaaaa/buoy", "digest": "sha256:" + "5" * 64},
                "update": {"order": "start-first"},
            },
        },
        "networks": {
            "front": {
                "pools": [
                    {
                        "subnet": "10.9.0.0/24",
                        "gateway": "10.9.0.1",
                        "ip_range": "10.9.0.128/25",
                        "aux_addresses": {"crane": "10.9.0.130"},
                    },
                    {"subnet": "fd00:9::/64"},
                ],
                "ipam_options": {"a": "b"},
                "enable_ipv6": True,
            },
            "quay": {"driver": "macvlan"},
            "lan": {"external": "br-lan"},
        },
        "volumes": {"data": {}, "nas": {"external": "nas"}},
        "configs": {"buoys": {"content": "red\n"}, "logo": {"content": "AP8=", "encoding": "base64"}},
        "secrets": {"key": {"version": 7}},
    }
)

CONN = messages.Conn(boot="0123456789abcdef" * 2, count=7)
ACCEPTED = messages.Generation(era=2, generation=40, digest="sha256:" + "3" * 64)
LATER = messages.Instant(boot=CONN.boot, mono_ms=1_000, wall_ms=1_700_000_000_000, clock="synchronised")

_BARE = messages.AppSection(
    instance="iaaaaaaaaaaa",
    name="hello",
    app="aaaaaaaaaaaa",
    release=SPEC.digest,
    spec=SPEC,
    variables={"MODE": "storm"},
    settings={"priority": 3},
    attempt=1,
)
SECTION = _BARE.model_copy(update={"digest": _BARE.computed_digest()})
_GRANTED = {"grants": Grants.model_validate(ALLOWED)}
_SECRETS = {"secrets": {"key": messages.SealedSecret(version=7, sealed=b"\x00\xff sealed")}}
_LATER = _BARE.model_copy(update={"release": LATER_SPEC.digest, "spec": LATER_SPEC} | _GRANTED | _SECRETS)
LATER_SECTION = _LATER.model_copy(update={"digest": _LATER.computed_digest()})
DESIRED = messages.DesiredState(
    org=DEVICE.org,
    device=DEVICE.device,
    era=2,
    generation=41,
    issued_ms=1_700_000_000_000,
    apps=(SECTION,),
    link=messages.LinkPolicy(
        bytes_per_day=1 << 24,
        metered=True,
        hours=((0, 6), (22, 24)),
        without_clock="closed",
        bytes_per_window=1 << 22,
        mirrors=("http://10.0.0.9:5080",),
    ),
    host={"ntp": "10.0.0.123"},
    worker={"version": "1"},
    retire=messages.Retire(wipe="secrets"),
    reference=messages.Reference(digest="sha256:" + "4" * 64, bytes=100_000),
)
TRUST = messages.Trust(
    version=3,
    era=2,
    roots=(ROOT.public,),
    keys=(
        messages.TrustKey(public=ONLINE.public, roles=("desired", "command", "release")),
        messages.TrustKey(public=RETIRED.public, roles=("desired",)),
    ),
    revoked=(key_id(RETIRED.public),),
    chain=(b"an earlier document",),
)
COMMAND = messages.Command(
    id="c-1", counter=9, conn=CONN, ttl_s=60, verb="app.restart", args={"instance": SECTION.instance}
)
SYNC = messages.Sync(
    conn=CONN,
    n=5,
    store="s1",
    time_ms=1_700_000_000_500,
    desired=ACCEPTED,
    streams=(
        messages.StreamHeld(
            stream="telemetry:hello",
            epoch=2**62 - 1,
            contiguous=100,
            ranges=((105, 110),),
            refused=(messages.Refusal(first=101, last=104, reason="too_large", retry_after_s=30),),
        ),
    ),
    status=12,
    replies=("c-1",),
)
FRAME = messages.StreamFrame(session="x-1", seq=3, window=4096, data=b"\x1b[H", end=True)
BIRTH = messages.Birth(
    conn=CONN,
    n=1,
    instance="waaaaaaaaaaa",
    worker="0.1.0",
    host=messages.Host(
        os="Debian GNU/Linux 12",
        kernel="6.1.0",
        arch="aarch64",
        hostname="buoy-3",
        engine="docker",
        engine_version="20.10",
        engine_api="1.41",
        cpus=4,
        memory_bytes=1 << 30,
        zone="north",
    ),
    policy=Policy.model_validate(ALLOWED | {"allow_registries": ["here.example"], "widen": ALLOWED}),
    accepted=ACCEPTED,
    streams=(messages.StreamKept(stream="telemetry:hello", epoch=2**62 - 1, first=101, last=120),),
    status=12,
    store="s1",
)
BEAT = messages.Beat(conn=CONN, n=2, era=2, generation=40, status=12)
WILL = messages.Will(conn=CONN)
STATUS = messages.Status(
    conn=CONN,
    n=3,
    revision=12,
    accepted=ACCEPTED,
    conditions=(messages.Condition(type="EngineAnswers", status=False, reason="unavailable", message="no answer"),),
    instances=(
        messages.InstanceStatus(
            instance=SECTION.instance,
            name="hello",
            release=SECTION.release,
            section="sha256:" + "5" * 64,
            state="degraded",
            message="service web is exited with code 3",
            services=(
                messages.ServiceStatus(
                    name="web",
                    state="exited",
                    health="unhealthy",
                    container="0123456789ab",
                    image="127.0.0.1:5000/oaaaaaaaaaaa/aaaaaaaaaaaa/web",
                    exit_code=3,
                    reason="ended",
                ),
            ),
        ),
    ),
    disk_free_bytes=1 << 33,
    link={"sent": 100},
)
LATER_STATUS = STATUS.model_copy(
    update={
        "instances": (
            STATUS.instances[0].model_copy(
                update={
                    "services": (
                        STATUS.instances[0]
                        .services[0]
                        .model_copy(
                            update={
                                "index": 2,
                                "restarts": 3,
                                "started_at_ms": 1_700_000_000_000,
                                "digest": "sha256:" + "6" * 64,
                            }
                        ),
                    ),
                    "conditions": (messages.Condition(type="Waiting", status=True, reason="locked", message="busy"),),
                    "plan": ("stop web 0123456789ab: made from 1, wanted 2",),
                }
            ),
        )
    }
)

PROGRESS = messages.Progress(conn=CONN, n=4, instance=SECTION.instance, phase="pull", done=10, total=200, saved=4000)
BATCH = messages.Batch(
    conn=CONN,
    n=6,
    stream="telemetry:hello",
    epoch=2**62 - 1,
    first=101,
    last=110,
    at=LATER,
    format="samples.v2",
    payload=bytes(range(64)),
    gaps=(messages.Gap(first=101, last=104, cause="trimmed_by_app"),),
)
REPLY = messages.Reply(
    conn=CONN, n=8, id="c-1", about="command:9", ok=False, reason="not_supported", message="no", envelope=b"\x01\x02"
)

EXAMPLES: tuple[Example, ...] = (
    Example("desired", channels.DESIRED, DESIRED),
    Example(
        "desired-empty",
        channels.DESIRED,
        messages.DesiredState(org=DEVICE.org, device=DEVICE.device, era=1, generation=1, issued_ms=1),
    ),
    Example("trust", channels.TRUST, TRUST),
    Example("command", channels.COMMAND, COMMAND),
    Example("sync", channels.SYNC, SYNC),
    Example("sync-empty", channels.SYNC, messages.Sync(conn=CONN, n=1, store="s1", time_ms=1)),
    Example("stream-down", channels.STREAM_D, FRAME),
    Example("birth", channels.PRESENCE, BIRTH),
    Example("birth-first", channels.PRESENCE, messages.Birth(conn=CONN, n=1, instance="waaaaaaaaaaa", worker="0")),
    Example("beat", channels.PRESENCE, BEAT),
    Example("will", channels.PRESENCE, WILL),
    Example("status", channels.STATUS, STATUS),
    Example(
        "status-newer",  # from a worker that says more than we know
        channels.STATUS,
        messages.Status.model_validate(STATUS.model_dump() | {"later": {"field": 1}, "accepted": None}),
    ),
    Example("progress", channels.PROGRESS, PROGRESS),
    Example("batch", channels.BATCH, BATCH),
    Example("reply", channels.REPLY, REPLY),
    Example("stream-up", channels.STREAM_U, FRAME),
    Example("desired-later", channels.DESIRED, DESIRED.model_copy(update={"apps": (LATER_SECTION,)})),
    Example("status-later", channels.STATUS, LATER_STATUS),
)

SAMPLES_SENT = [Sample(1_700_000_000_000, {"height": "1.5"}), Sample(1_700_000_000_100, {"height": "é", "": "0"})]
LINES_SENT = [Line(1_700_000_000_000, "web", "out", "begun"), Line(1_700_000_000_100, "web", "err", "stormy é")]
PAYLOADS: dict[str, bytes] = {SAMPLES: pack_samples(SAMPLES_SENT), LINES: pack_lines(LINES_SENT)}


def payload_file(name: str) -> Path:
    """Return where the golden payload of a batch lies."""
    return FOLDER / f"payload-{name}.hex"
