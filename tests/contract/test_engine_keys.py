"""Every key of the AppSpec reaches the engine: made on a real one and looked at there, container by container.

The memory engine takes the same, and both refuse alike what their API does not know.
"""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

import docker
import pytest

from broker.appspec import AppSpec, Attachment, Network, Service, Volume
from broker.ids import new_id
from broker.policy import Policy
from device.engine.docker import UNFINISHED, DockerEngine
from device.engine.memory import MemoryEngine
from device.engine.port import Engine, EngineRefused
from device.reconcile.wanted import Place, Wanted, wanted
from tests.harness.apps import section, service
from tests.harness.engine import device_engine, docker_client, push_image, registry, remove_everything, remove_images

REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/web"
SLEEP = ["/bin/busybox", "sleep", "60"]
NULL = "/dev/null"
OWNER = Policy(allow_bind_prefixes=("/tmp",))
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
    "environment": ({"environment": {"A": "b=c"}}, config(Env=["A=b=c"])),
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
    "attachment.aliases": (on(aliases=["www"]), endpoint(Aliases=["web", "www"])),
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


class Bench:
    """An engine with the image in it, and a client to look at what the engine made."""

    def __init__(self, engine: Engine, image: str, device: str, client: docker.APIClient | None) -> None:
        self.engine, self.image, self.device, self.client = engine, image, device, client
        engine.pull(image, token="none", progress=lambda done, total: None)

    def app(self, services: Mapping[str, Keys], **top: Any) -> Wanted:
        registry_address, _, rest = self.image.partition("/")
        digest = rest.partition("@")[2]
        made = section(
            {name: service(digest=digest) | {"command": SLEEP} | keys for name, keys in services.items()},
            instance=INSTANCE,
            **top,
        )
        return wanted(made, Place(device=self.device, registry=registry_address, intake={}, policy=OWNER))

    def web(self, keys: Keys, **more: Keys) -> Wanted:
        asked = keys.get("networks", {})
        networks = {name: POOLS if name == "default" else {} for name in asked}
        return self.app({"web": keys, **more}, networks=networks, volumes={"data": {}})

    def up(self, app: Wanted) -> None:
        for network in app.networks:
            self.engine.create_network(network)
        for volume in app.volumes:
            self.engine.create_volume(volume)
        for name in sorted(app.containers, reverse=True, key=lambda name: name != "web"):
            self.engine.create(app.containers[name])

    def seen(self, name: str = f"{APP}.web") -> Any:
        assert self.client is not None
        return self.client.inspect_container(name)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    client = docker_client()
    with registry(tmp_path_factory.mktemp("registry")) as address, device_engine() as engine:
        yield Bench(engine, push_image(client, address, REPOSITORY, b"keys"), engine._device, client)
        remove_everything(engine)
        remove_images(client, address)
    client.close()


@pytest.fixture
def on_docker(real: Bench) -> Iterator[Bench]:
    yield real
    assert isinstance(real.engine, DockerEngine)
    remove_everything(real.engine)


@pytest.fixture
def in_memory() -> Bench:
    image = f"127.0.0.1:5000/{REPOSITORY}@sha256:{'1' * 64}"
    engine = MemoryEngine()
    engine.registry.add(image)
    return Bench(engine, image, "daaaaaaaaaaa", None)


@pytest.fixture(params=["memory", "docker"])
def bench(request: pytest.FixtureRequest) -> Bench:
    made: Bench = request.getfixturevalue("in_memory" if request.param == "memory" else "on_docker")
    return made


def at(seen: Any, path: Path) -> Any:
    for key in path:
        seen = seen[int(key)] if isinstance(seen, list) else seen.get(key)
    return seen


def test_every_key_of_the_appspec_has_a_case() -> None:
    services = {name.partition(".")[0] for name in (*SERVICE, *JOINING, *TOO_NEW, *ELSEWHERE)}
    assert set(Service.model_fields) - services == set()
    attachments = {name.partition(".")[2] for name in (*SERVICE, *TOO_NEW) if name.startswith("attachment.")}
    assert set(Attachment.model_fields) == attachments
    assert set(Network.model_fields) - {"driver", "gateway", "enable_ipv6", "ipam_options", "external"} == set(NETWORK)
    assert set(Volume.model_fields) == {"driver", "options", "labels", "external"}
    assert set(AppSpec.model_fields) == {"v", "name", "services", "networks", "volumes", "configs", "secrets"}


@pytest.mark.parametrize("key", SERVICE)
def test_a_key_shows_in_the_container(on_docker: Bench, key: str) -> None:
    keys, expected = SERVICE[key]
    on_docker.up(on_docker.web(keys))
    seen = on_docker.seen()
    found = {path: at(seen, path) for path in expected}
    for path, value in expected.items():
        if isinstance(value, OneOf):
            assert found[path] in value
        elif path == ("Config", "Env") or path[-1] == "Aliases":
            assert set(value) <= set(found[path])
        else:
            assert found[path] == value


@pytest.mark.parametrize("key", SERVICE)
def test_the_memory_engine_takes_the_key_as_well(in_memory: Bench, key: str) -> None:
    app = in_memory.web(SERVICE[key][0])
    in_memory.up(app)
    assert [seen.hash for seen in in_memory.engine.observe().containers] == [app.containers["web"].hash]


@pytest.mark.parametrize("key", JOINING)
def test_a_service_joins_another_of_its_app(on_docker: Bench, key: str) -> None:
    keys, path = JOINING[key]
    on_docker.up(on_docker.web(keys | {"depends_on": {"db": {}}}, db={"ipc": "shareable"}))
    other = on_docker.seen(f"{APP}.db")
    names = {other["Id"], other["Name"].lstrip("/")}
    assert at(on_docker.seen(), path) in {f"container:{n}" for n in names} | {f"{n}:ro" for n in names}


@pytest.mark.parametrize("key", JOINING)
def test_a_service_cannot_join_one_that_is_not_there(bench: Bench, key: str) -> None:
    app = bench.web(JOINING[key][0] | {"depends_on": {"db": {}}}, db={"ipc": "shareable"})
    with pytest.raises(EngineRefused):  # noqa: PT012 - some engines notice when it starts
        bench.engine.create(app.containers["web"])
        bench.engine.start(bench.engine.observe().containers[0].id)


@pytest.mark.parametrize("key", TOO_NEW)
def test_an_engine_too_old_for_a_key_refuses_it_by_name_and_makes_nothing(bench: Bench, key: str) -> None:
    if tuple(map(int, bench.engine.info().api.split("."))) >= (1, 49):
        pytest.skip("this engine knows all of them")
    app = bench.web(TOO_NEW[key])
    with pytest.raises(
        EngineRefused, match=r"does not know .*(annotations|recursive|subpath|_address|_priority|_name)"
    ):
        bench.up(app)
    assert bench.engine.observe().containers == ()


@pytest.mark.parametrize("key", NETWORK)
def test_a_key_shows_in_the_network(on_docker: Bench, key: str) -> None:
    keys, expected = NETWORK[key]
    assert on_docker.client is not None
    (network,) = on_docker.app({"web": {}}, networks={"n": keys}).networks
    on_docker.engine.create_network(network)
    seen = on_docker.client.inspect_network(network.name)
    for path, value in expected.items():
        first, _, rest = path.partition(".")
        found = seen[first][rest] if rest else seen[first]
        assert found == value


def test_the_options_and_labels_of_a_volume_show(on_docker: Bench) -> None:
    assert on_docker.client is not None
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    app = on_docker.app({"web": {}}, volumes={"data": {"options": options, "labels": {"x": "y"}}})
    on_docker.up(app)
    seen = on_docker.client.inspect_volume(f"{APP}.data")
    assert (seen["Driver"], seen["Options"], seen["Labels"]["x"]) == ("local", options, "y")


FILES: Keys = {
    "configs": [{"source": "c", "target": "/etc/deep/er/c", "uid": 5, "gid": 6, "mode": 0o640}],
    "secrets": [{"source": "s", "target": "/run/secrets/s", "mode": 0o400}],
}
CONTENTS: Keys = {
    "configs": {"c": {"content": "config\n"}},
    "secrets": {"s": {"content": "AP8=", "encoding": "base64"}},
}


def with_files(bench: Bench) -> Wanted:
    bare = bench.app({"web": {}})
    web = bare.section.spec.services["web"].model_dump() | FILES
    spec = AppSpec.model_validate(bare.section.spec.model_dump() | CONTENTS | {"services": {"web": web}})
    made = bare.section.model_copy(update={"spec": spec})
    return wanted(made, Place(device=bench.device, registry=bench.image.partition("/")[0], intake={}, policy=OWNER))


def test_configs_and_secrets_are_in_the_container_before_it_starts(on_docker: Bench) -> None:
    assert on_docker.client is not None
    on_docker.up(with_files(on_docker))
    found = {}
    for path in ("/etc/deep/er/c", "/run/secrets/s"):
        stream, _ = on_docker.client.get_archive(f"{APP}.web", path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            (member,) = tar.getmembers()
            file = tar.extractfile(member)
            assert file is not None
            found[path] = (file.read(), member.uid, member.gid, oct(member.mode & 0o7777))
    assert found == {
        "/etc/deep/er/c": (b"config\n", 5, 6, "0o640"),
        "/run/secrets/s": (b"\x00\xff", 0, 0, "0o400"),
    }
    (seen,) = on_docker.engine.observe().containers
    assert seen.name == f"{APP}.web"


def test_a_container_with_files_is_seen_as_what_was_wanted(bench: Bench) -> None:
    app = with_files(bench)
    bench.up(app)
    assert [seen.hash for seen in bench.engine.observe().containers] == [app.containers["web"].hash]
    with pytest.raises(EngineRefused):
        bench.engine.create(app.containers["web"])
    assert len(bench.engine.observe().containers) == 1


def test_a_container_that_was_not_made_whole_is_gone(on_docker: Bench) -> None:
    keys = {"networks": {"default": {}, "other": {"ipv4_address": "10.99.0.1"}}}  # not an address of that network
    with pytest.raises(EngineRefused):
        on_docker.up(on_docker.web(keys))
    assert on_docker.engine.observe().containers == ()


def test_a_container_that_was_left_half_made_is_not_taken_for_what_is_wanted(on_docker: Bench) -> None:
    # As after a kill between two calls: it was started without its second network or its files.
    assert on_docker.client is not None
    app = on_docker.web({})
    on_docker.up(app)
    on_docker.client.rename(f"{APP}.web", f"{APP}.web" + UNFINISHED)
    (seen,) = on_docker.engine.observe().containers
    assert seen.hash == ""
