"""Every key of the AppSpec: what to ask, and where an engine shows that it was asked."""

from __future__ import annotations

import secrets
from typing import Any

from broker.ids import new_id

NULL = "/dev/null"
# Names on an engine are made of the instance, and addresses must not overlap: other runs may share this engine.
INSTANCE = new_id("i")
APP = f"hello.{INSTANCE}"
NET = f"{APP}.default"
OTHER = f"{APP}.other"
V4 = f"10.{secrets.randbelow(100) + 150}.{secrets.randbelow(256)}"
V6 = f"fd{secrets.randbelow(90) + 10}:{secrets.randbelow(9000) + 1000}"

Keys = dict[str, Any]
Path = tuple[str, ...]


class OneOf(tuple[Any, ...]):
    """What may show: not every kernel can do everything, and the engine then says nothing of it."""

    __slots__ = ()


class Among(tuple[Any, ...]):
    """What must show beside what the engine adds of its own."""

    __slots__ = ()


def host(**expected: Any) -> dict[Path, Any]:
    return {("HostConfig", key): value for key, value in expected.items()}


def config(**expected: Any) -> dict[Path, Any]:
    return {("Config", key): value for key, value in expected.items()}


def mount(kind: str, **more: Any) -> dict[Path, Any]:
    return {("HostConfig", "Mounts", "0"): {"Type": kind, "Target": "/m"} | more}


def endpoint(network: str = NET, **expected: Any) -> dict[Path, Any]:
    return {("NetworkSettings", "Networks", network, key): value for key, value in expected.items()}


def on(**keys: Any) -> Keys:
    return {"networks": {"default": keys}}


def rates(kind: str) -> Keys:
    return {"blkio": {kind: [{"path": NULL, "rate": 1000}]}}


def m(**keys: Any) -> Keys:
    return {"mounts": [{"target": "/m"} | keys]}


CHECK = {"test": ["CMD", "x"], "interval_ms": 2000, "timeout_ms": 1000, "start_period_ms": 500, "retries": 5}
SEEN_CHECK = {"Test": ["CMD", "x"], "Interval": 2 * 10**9, "Timeout": 10**9, "StartPeriod": 5 * 10**8, "Retries": 5}
GPU = {"driver": "x", "device_ids": ["0"], "capabilities": ["gpu"], "options": {"a": "b"}}
SEEN_GPU = {"Driver": "x", "Count": 0, "DeviceIDs": ["0"], "Capabilities": [["gpu"]], "Options": {"a": "b"}}
RATE = [{"Path": NULL, "Rate": 1000}]
MAC = "02:42:ac:11:65:43"

SERVICE: dict[str, tuple[Keys, dict[Path, Any]]] = {
    "command": ({"command": ["a", "b c"]}, config(Cmd=["a", "b c"])),
    "entrypoint": ({"entrypoint": ["/bin/x"]}, config(Entrypoint=["/bin/x"])),
    "environment": ({"environment": {"A": "b=c"}}, config(Env=Among(["A=b=c"]))),
    "user": ({"user": "1000:5"}, config(User="1000:5")),
    "working_dir": ({"working_dir": "/srv"}, config(WorkingDir="/srv")),
    "hostname": ({"hostname": "h"}, config(Hostname="h")),
    "domainname": ({"domainname": "d"}, config(Domainname="d")),
    "init": ({"init": True}, host(Init=True)),
    "tty": ({"tty": True}, config(Tty=True)),
    "stdin_open": ({"stdin_open": True}, config(OpenStdin=True)),
    "read_only": ({"read_only": True}, host(ReadonlyRootfs=True)),
    "privileged": ({"privileged": True}, host(Privileged=True)),
    "labels": ({"labels": {"x": "y"}}, {("Config", "Labels", "x"): "y"}),
    "ports": (
        {"ports": [{"target": 80, "published": 39999, "host_ip": "127.0.0.1", "protocol": "udp"}]},
        host(PortBindings={"80/udp": [{"HostIp": "127.0.0.1", "HostPort": "39999"}]}),
    ),
    "expose": ({"expose": ["70-71/tcp"]}, config(ExposedPorts={"70/tcp": {}, "71/tcp": {}})),
    "mounts": (m(type="tmpfs"), mount("tmpfs")),
    "networks": (on(), host(NetworkMode=NET)),
    "network_mode": (
        {"network_mode": "host", "ports": [{"target": 80}]},
        host(NetworkMode="host", PortBindings=OneOf(({}, None))),
    ),
    "pid": ({"pid": "host"}, host(PidMode="host")),
    "ipc": ({"ipc": "shareable"}, host(IpcMode="shareable")),
    "uts": ({"uts": "host"}, host(UTSMode="host")),
    "userns_mode": ({"userns_mode": "host"}, host(UsernsMode="host")),
    "cgroup": ({"cgroup": "private"}, host(CgroupnsMode="private")),
    "cgroup_parent": ({"cgroup_parent": "/apps"}, host(CgroupParent="/apps")),
    "healthcheck": ({"healthcheck": CHECK}, config(Healthcheck=SEEN_CHECK)),
    "restart": (
        {"restart": {"policy": "on-failure", "retries": 3}},
        host(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 3}),
    ),
    "stop_signal": ({"stop_signal": "SIGINT"}, config(StopSignal="SIGINT")),
    "stop_grace_ms": ({"stop_grace_ms": 1500}, config(StopTimeout=2)),
    "cap_add": ({"cap_add": ["NET_ADMIN"]}, host(CapAdd=OneOf((["NET_ADMIN"], ["CAP_NET_ADMIN"])))),
    "cap_drop": ({"cap_drop": ["ALL"]}, host(CapDrop=["ALL"])),
    "security_opt": ({"security_opt": ["no-new-privileges"]}, host(SecurityOpt=["no-new-privileges"])),
    "devices": (
        {"devices": [f"{NULL}:/dev/x:r"]},
        host(Devices=[{"PathOnHost": NULL, "PathInContainer": "/dev/x", "CgroupPermissions": "r"}]),
    ),
    "device_cgroup_rules": ({"device_cgroup_rules": ["c 1:3 mr"]}, host(DeviceCgroupRules=["c 1:3 mr"])),
    "device_requests": ({"device_requests": [GPU]}, host(DeviceRequests=[SEEN_GPU])),
    "group_add": ({"group_add": ["5"]}, host(GroupAdd=["5"])),
    "extra_hosts": (
        {"extra_hosts": {"a": "1.1.1.1", "b": ["2.2.2.2", "::3"]}},
        host(ExtraHosts=["a:1.1.1.1", "b:2.2.2.2", "b:::3"]),
    ),
    "dns": ({"dns": ["10.0.0.53"]}, host(Dns=["10.0.0.53"])),
    "dns_opt": ({"dns_opt": ["ndots:2"]}, host(DnsOptions=["ndots:2"])),
    "dns_search": ({"dns_search": ["example"]}, host(DnsSearch=["example"])),
    "sysctls": ({"sysctls": {"net.core.somaxconn": "64"}}, host(Sysctls={"net.core.somaxconn": "64"})),
    "ulimits": (
        {"ulimits": {"nofile": {"soft": 1, "hard": 2}}},
        host(Ulimits=[{"Name": "nofile", "Soft": 1, "Hard": 2}]),
    ),
    "shm_size": ({"shm_size": 1 << 20}, host(ShmSize=1 << 20)),
    "mem_limit": ({"mem_limit": 1 << 26}, host(Memory=1 << 26)),
    "memswap_limit": ({"mem_limit": 1 << 26, "memswap_limit": 1 << 27}, host(MemorySwap=OneOf((1 << 27, 0, -1)))),
    "mem_reservation": ({"mem_reservation": 1 << 25}, host(MemoryReservation=1 << 25)),
    "mem_swappiness": ({"mem_swappiness": 0}, host(MemorySwappiness=OneOf((0, None)))),
    "nano_cpus": ({"nano_cpus": 5 * 10**8}, host(NanoCpus=5 * 10**8)),
    "cpu_shares": ({"cpu_shares": 512}, host(CpuShares=512)),
    "cpu_period": ({"cpu_period": 10_000}, host(CpuPeriod=10_000)),
    "cpu_quota": ({"cpu_quota": 5_000}, host(CpuQuota=5_000)),
    "cpu_rt_period": ({"cpu_rt_period": 10_000}, host(CpuRealtimePeriod=OneOf((10_000, 0)))),
    "cpu_rt_runtime": ({"cpu_rt_runtime": 1_000}, host(CpuRealtimeRuntime=OneOf((1_000, 0)))),
    "cpuset": ({"cpuset": "0"}, host(CpusetCpus="0")),
    "blkio": ({"blkio": {"weight": 300}}, host(BlkioWeight=OneOf((300, 0)))),
    "blkio.weight_device": (
        {"blkio": {"weight_device": [{"path": NULL, "weight": 10}]}},
        host(BlkioWeightDevice=OneOf(([{"Path": NULL, "Weight": 10}], [], None))),
    ),
    "blkio.device_read_bps": (rates("device_read_bps"), host(BlkioDeviceReadBps=RATE)),
    "blkio.device_read_iops": (rates("device_read_iops"), host(BlkioDeviceReadIOps=RATE)),
    "blkio.device_write_bps": (rates("device_write_bps"), host(BlkioDeviceWriteBps=RATE)),
    "blkio.device_write_iops": (rates("device_write_iops"), host(BlkioDeviceWriteIOps=RATE)),
    "pids_limit": ({"pids_limit": 5}, host(PidsLimit=5)),
    "oom_score_adj": ({"oom_score_adj": 100}, host(OomScoreAdj=100)),
    "oom_kill_disable": (
        {"oom_kill_disable": True, "mem_limit": 1 << 26},
        host(OomKillDisable=OneOf((True, False, None))),
    ),
    "runtime": ({"runtime": "runc"}, host(Runtime="runc")),
    "logging": (
        {"logging": {"driver": "local", "options": {"max-size": "1m"}}},
        host(LogConfig={"Type": "local", "Config": {"max-size": "1m"}}),
    ),
    "mount.source": (m(type="volume", source="data"), mount("volume", Source=f"{APP}.data")),
    "mount.read_only": (
        m(type="volume", source="data", read_only=True),
        {("HostConfig", "Mounts", "0", "ReadOnly"): True},
    ),
    "mount.no_copy": (
        m(type="volume", source="data", no_copy=True),
        {("HostConfig", "Mounts", "0", "VolumeOptions"): {"NoCopy": True}},
    ),
    "mount.propagation": (
        m(type="bind", source="/tmp", propagation="rslave"),
        {("HostConfig", "Mounts", "0", "BindOptions"): {"Propagation": "rslave"}},
    ),
    "mount.recursive": (
        m(type="bind", source="/tmp", recursive="disabled"),
        {("HostConfig", "Mounts", "0", "BindOptions"): {"NonRecursive": True}},
    ),
    "mount.tmpfs_size": (
        m(type="tmpfs", tmpfs_size=65536, tmpfs_mode=0o1777),
        mount("tmpfs", TmpfsOptions={"SizeBytes": 65536, "Mode": 0o1777}),
    ),
    "mount.tmpfs_uid": (
        m(type="tmpfs", tmpfs_uid=5, tmpfs_gid=6, tmpfs_exec=True, tmpfs_mode=0o700, tmpfs_size=65536, read_only=True),
        host(Tmpfs={"/m": "size=65536,uid=5,gid=6,mode=700,exec,ro"}),
    ),
    "attachment.aliases": (on(aliases=["www"]), endpoint(Aliases=Among(["web", "www"]))),
    "attachment.ipv4_address": (on(ipv4_address=f"{V4}.9"), endpoint(IPAMConfig={"IPv4Address": f"{V4}.9"})),
    "attachment.ipv6_address": (on(ipv6_address=f"{V6}::9"), endpoint(IPAMConfig={"IPv6Address": f"{V6}::9"})),
    "attachment.link_local_ips": (
        on(link_local_ips=["169.254.3.4"]),
        endpoint(IPAMConfig={"LinkLocalIPs": ["169.254.3.4"]}),
    ),
    "attachment.mac_address": (on(mac_address=MAC), endpoint(MacAddress=MAC) | config(MacAddress=OneOf((MAC, None)))),
    "attachment.driver_opts": (on(driver_opts={"a": "b"}), endpoint(DriverOpts={"a": "b"})),
    "attachment.priority": ({"networks": {"default": {}, "other": {"priority": 1}}}, host(NetworkMode=OTHER)),
}  # fmt: skip
JOINING: dict[str, tuple[Keys, Path]] = {
    "network_mode": ({"network_mode": "service:db"}, ("HostConfig", "NetworkMode")),
    "pid": ({"pid": "service:db"}, ("HostConfig", "PidMode")),
    "ipc": ({"ipc": "service:db"}, ("HostConfig", "IpcMode")),
    "volumes_from": ({"volumes_from": ["db:ro"]}, ("HostConfig", "VolumesFrom", "0")),
}
TOO_NEW: dict[str, Keys] = {  # of an engine with API 1.41; a newer one shows what it was told
    "annotations": {"annotations": {"a": "b"}},
    "mount.recursive": m(type="bind", source="/tmp", read_only=True, recursive="writable"),
    "mount.subpath": m(type="volume", source="data", subpath="x"),
    "attachment.gw_priority": on(gw_priority=1),
    "attachment.interface_name": on(interface_name="sea0"),
    "a second mac_address": {"networks": {"default": {}, "other": {"mac_address": MAC}}},
}
# Who has no case of its own, and why.
ELSEWHERE = {
    "image": "test_engine.py pulls it",
    "depends_on": "the plan's",
    "telemetry": "a mount or a host name",
    "replicas": "the plan's",
    "post_start": "test_engine.py runs hooks",
    "pre_stop": "test_engine.py runs hooks",
    "redis": "a mount",
    "display": "a mount",
    "lock": "a mount",
    "update": "the plan's",
    "rollback": "the plan's",
    "storage_opt": "needs a disk with quotas; tests/unit/device/test_docker_spec_keys.py",
    "configs": "a case of its own below",
    "secrets": "a case of its own below",
}
MTU = "com.docker.network.driver.mtu"
NETWORK: dict[str, tuple[Keys, Keys]] = {
    "internal": ({"internal": True}, {"Internal": True}),
    "labels": ({"labels": {"x": "y"}}, {"Labels.x": "y"}),
    "options": ({"options": {MTU: "1400"}}, {f"Options.{MTU}": "1400"}),
    "subnet": (
        {"subnet": f"{V4}.0/24", "gateway": f"{V4}.1"},
        {"IPAM.Config": [{"Subnet": f"{V4}.0/24", "Gateway": f"{V4}.1"}]},
    ),
    "pools": (
        {
            "enable_ipv6": True,
            "pools": [
                {"subnet": f"{V4}.0/24", "ip_range": f"{V4}.128/25", "aux_addresses": {"a": f"{V4}.130"}},
                {"subnet": f"{V6}::/64"},
            ],
        },
        {
            "EnableIPv6": True,
            "IPAM.Config": [
                {
                    "Subnet": f"{V4}.0/24",
                    "IPRange": f"{V4}.128/25",
                    "AuxiliaryAddresses": {"a": f"{V4}.130"},
                },
                {"Subnet": f"{V6}::/64"},
            ],
        },
    ),
}  # fmt: skip
POOLS = {"enable_ipv6": True, "pools": [{"subnet": f"{V4}.0/24"}, {"subnet": f"{V6}::/64"}]}

# Podman leaves these out of a container without a word; the adapter refuses them by name.
PODMAN_REFUSES = {
    "cgroup",
    "device_cgroup_rules",
    "device_requests",
    "domainname",
    "runtime",
    "logging",  # the driver `local`; json-file is a case of its own below
    "mount.tmpfs_uid",
    "attachment.link_local_ips",
    "attachment.driver_opts",
}
PODMAN_REFUSES_OF_NETWORKS = {"pools"}  # with aux_addresses
# And these it takes, and shows in words of its own: READY is the inspection of a container that is about to start,
# OCI what the runtime is told, with mounts by their place.
READY, OCI = "Ready", "OCI"
TMPFS = ["rw", "rprivate", "nosuid", "nodev"]
VOLUME = ["rprivate", "nosuid", "nodev", "rbind"]


def options(*words: str) -> dict[Path, Any]:
    return {(OCI, "mounts", "/m", "options"): Among(words)}


PODMAN_ASKS: dict[str, Keys] = {  # without a network it leaves out ports, as nobody could reach them
    "ports": SERVICE["ports"][0] | on(),
    "expose": SERVICE["expose"][0] | on(),
}
PODMAN_SHOWS: dict[str, dict[Path, Any]] = {
    "ports": {(READY, "NetworkSettings", "Ports"): {"80/udp": [{"HostIp": "127.0.0.1", "HostPort": "39999"}]}},
    "expose": {(READY, "NetworkSettings", "Ports"): {"70/tcp": None, "71/tcp": None}},
    "mounts": options(*TMPFS),
    "networks": {(READY, "NetworkSettings", "Networks"): Among([NET])},
    "userns_mode": {(OCI, "linux", "uidMappings"): None},
    "stop_signal": config(StopSignal="2"),
    "cap_drop": {(OCI, "process", "capabilities"): OneOf(({}, None))},
    "devices": {
        (OCI, "linux", "resources", "devices", "1"): {
            "allow": True,
            "type": "c",
            "major": 1,
            "minor": 3,
            "access": "r",
        }
    },
    "sysctls": {(OCI, "linux", "sysctl"): {"net.core.somaxconn": "64"}},
    "ulimits": {("HostConfig", "Ulimits", "0"): {"Name": "RLIMIT_NOFILE", "Soft": 1, "Hard": 2}},
    "mount.source": {(READY, "Mounts", "0", "Name"): f"{APP}.data"} | options("rw", *VOLUME),
    "mount.read_only": options("ro", *VOLUME),
    "mount.no_copy": options("nocopy"),
    "mount.propagation": options("rslave", "rbind"),
    "mount.recursive": options("bind"),
    "mount.tmpfs_size": options("size=65536", "mode=1777"),
    "attachment.ipv4_address": {(READY, "NetworkSettings", "Networks", NET, "IPAddress"): f"{V4}.9"},
    "attachment.ipv6_address": {(READY, "NetworkSettings", "Networks", NET, "GlobalIPv6Address"): f"{V6}::9"},
    "attachment.mac_address": {(READY, "NetworkSettings", "Networks", NET, "MacAddress"): MAC},
    "attachment.priority": {(READY, "NetworkSettings", "Networks"): Among([NET, OTHER])},
}
PODMAN_SHOWS_OF_NETWORKS: dict[str, Keys] = {"options": {"Options.mtu": "1400"}}

CONFIG, SECRET = b"config\n", b"\0\xff"
FILES: Keys = {
    "configs": [{"source": "c", "target": "/etc/deep/er/c", "uid": 5, "gid": 6, "mode": 0o640}],
    "secrets": [{"source": "s", "target": "/run/secrets/s", "mode": 0o400}],
}
CONTENTS: Keys = {
    "configs": {"c": {"content": "config\n"}},
    "secrets": {"s": {}},
}
