"""A project becomes an AppSpec, whole or not at all."""

from __future__ import annotations

import pytest

from broker.appspec import AppSpec, Image
from compose.errors import Unsupported
from compose.project import Project
from compose.running import running
from compose.to_appspec import Converted, check, converted
from tests.unit.compose.conftest import Load

IMAGE = Image(repository="o/a/web", digest="sha256:" + "1" * 64)


def convert(project: Project, *, on_this_machine: bool = False) -> Converted:
    return converted(project, dict.fromkeys(running(project).services, IMAGE), on_this_machine=on_this_machine)


def web(load_text: Load, lines: str, more: str = "") -> dict[str, object]:
    """Return the plain spec of a service with these lines, without what every service has."""
    indented = "".join(f"    {line}\n" for line in lines.splitlines())
    spec: AppSpec = convert(load_text(f"services:\n  web:\n    image: x\n{indented}{more}")).spec
    plain = spec.model_dump(mode="json", exclude_defaults=True)["services"]["web"]
    return {key: value for key, value in plain.items() if key not in ("image", "networks")}


def test_a_small_project_becomes_a_small_spec(load_text: Load) -> None:
    spec = convert(load_text("services: {web: {image: x}}")).spec
    assert spec.plain() == {
        "v": 1,
        "name": "app",
        "services": {
            "web": {"image": {"repository": "o/a/web", "digest": "sha256:" + "1" * 64}, "networks": {"default": {}}}
        },
        "networks": {"default": {}},
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("command: a 'b c'", {"command": ["a", "b c"]}),
        ("entrypoint: []", {"entrypoint": []}),
        ("command:", {}),
        ("environment: [A=1, B=, C]", {"environment": {"A": "1", "B": ""}}),
        ("ports: ['127.0.0.1:80:8080/udp']", None),
        ("expose: ['3000-3001', '53/udp']", {"expose": ["3000/tcp", "3001/tcp", "53/udp"]}),
        ("restart: on-failure:3", {"restart": {"policy": "on-failure", "retries": 3}}),
        ("restart: 'no'", {}),
        ("deploy: {restart_policy: {condition: any}}", {"restart": {"policy": "always"}}),
        ("deploy: {restart_policy: {}}", {"restart": {"policy": "always"}}),
        (
            "deploy: {restart_policy: {condition: on-failure, max_attempts: 2}}",
            {"restart": {"policy": "on-failure", "retries": 2}},
        ),
        ("stop_grace_period: 1m30s", {"stop_grace_ms": 90_000}),
        ("healthcheck: {disable: true}", {"healthcheck": {"test": ["NONE"]}}),
        ("healthcheck: {test: [NONE]}", {"healthcheck": {"test": ["NONE"]}}),
        (
            "healthcheck: {test: ok, interval: 5s, timeout: 1s, start_period: 1m, retries: 2}",
            {
                "healthcheck": {
                    "test": ["CMD-SHELL", "ok"],
                    "interval_ms": 5000,
                    "timeout_ms": 1000,
                    "start_period_ms": 60_000,
                    "retries": 2,
                }
            },
        ),
        ("cpus: 0.5\nmem_limit: 64m\npids_limit: 5", {"nano_cpus": 5 * 10**8, "mem_limit": 64 << 20, "pids_limit": 5}),
        (
            "deploy: {resources: {limits: {cpus: '0.5', memory: 64m, pids: 5}}}",
            {"nano_cpus": 5 * 10**8, "mem_limit": 64 << 20, "pids_limit": 5},
        ),
        ("memswap_limit: -1", {"memswap_limit": -1}),
        ("ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}", None),
        ("devices: [/dev/a, '/dev/b:/dev/c:r']", {"devices": ["/dev/a:/dev/a:rwm", "/dev/b:/dev/c:r"]}),
        ("extra_hosts: {a: 1.2.3.4}", {"extra_hosts": {"a": "1.2.3.4"}}),
        ("logging: {options: {max-size: 1m}}", {"logging": {"options": {"max-size": "1m"}}}),
        ("x-skerry: {telemetry: tcp}", {"telemetry": {"access": "tcp"}}),
        (
            "tmpfs: '/run/:size=1m,mode=1777,noexec'",
            {"mounts": [{"type": "tmpfs", "target": "/run", "tmpfs_size": 1 << 20, "tmpfs_mode": 0o1777}]},
        ),
        ("volumes: ['/var/lib/x/:/x:ro,rslave']", None),
        ("volumes: ['/data']", {"mounts": [{"type": "volume", "target": "/data"}]}),
        ("network_mode: host", {"network_mode": "host"}),
        ("scale: 1", {}),
        ("platform: linux/arm64", {}),
    ],
)
def test_a_key_becomes_its_field(load_text: Load, lines: str, expected: dict[str, object] | None) -> None:
    others: dict[str, dict[str, object]] = {
        "ports": {"ports": [{"target": 8080, "published": 80, "host_ip": "127.0.0.1", "protocol": "udp"}]},
        "ulimits": {"ulimits": {"nofile": {"soft": 5, "hard": 5}, "nproc": {"soft": 1, "hard": 2}}},
        "volumes": {
            "mounts": [
                {"type": "bind", "target": "/x", "source": "/var/lib/x", "read_only": True, "propagation": "rslave"}
            ]
        },
    }
    assert web(load_text, lines) == (others[lines.partition(":")[0]] if expected is None else expected)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("network_mode: bridge", "remove it"),
        ("restart: sometimes", "is not one of"),
        ("restart: always:3", "is not one of"),
        ("scale: 65", r"services.web.scale: is 65; a device runs up to 64"),
        ("deploy: {replicas: 65}", r"services.web.deploy.replicas: is 65; a device runs up to 64"),
        ("deploy: {mode: global-job}", "must be replicated or global"),
        ("deploy: {restart_policy: {condition: never}}", "is not one of"),
        (
            "scale: 2\nports: ['8000:80']",
            r"ports\[0\]: 8000 is not enough for 2 replicas; publish a range such as 8000-8001",
        ),
        ("scale: 3\nports: ['80', '8000-8001:80']", r"ports\[1\]: 8000-8001 is not enough for 3 replicas"),
        (
            "scale: 2\nnetworks: {default: {ipv4_address: 10.0.0.5}}",
            r"networks.default.ipv4_address: 2 replicas cannot",
        ),
        ("scale: 2\nmac_address: '02:42:ac:11:00:02'", r"networks.default.mac_address: 2 replicas cannot share 02:42"),
        ("post_start: [{command: []}]", r"services.web.post_start\[0\].command: "),
        ("tmpfs: /run:uid=me", "uid=me"),
        ("tmpfs: run", "absolute"),
        ("volumes: ['./x:/x']", "not on the device"),
        ("volumes: ['/x:x']", "absolute"),
        ("volumes: [{type: image, source: a, target: /x}]", "type image"),
        ("labels: {io.skerry.app: x}", "reserved"),
        ("stop_grace_period: 100w", r"services\.web\.stop_grace_ms"),
    ],
)
def test_what_a_device_cannot_do_is_refused_with_its_key(load_text: Load, lines: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message) as caught:
        web(load_text, lines, "secrets: {s: {file: s}}\n")
    assert caught.value.path.startswith("services.web")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("networks: {default: {external: true, name: bridge}}", r"networks\.default\.external: 'bridge' is a mode"),
        ("networks: {default: {driver: overlay}}", "use bridge"),
        ("networks: {default: {ipam: {config: [{gateway: 10.0.0.1}]}}}", "needs a subnet"),
        ("networks: {default: {enable_ipv4: false}}", r"networks\.default\.enable_ipv4: must be true"),
        ("networks: {a.b: {}, a-b: {}}", "cannot be told from others"),
        ("volumes: {v: {driver: nfs}}", "use local"),
    ],
)
def test_a_network_or_volume_that_leaves_the_app_is_refused(load_text: Load, section: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        convert(load_text(f"services: {{web: {{image: x}}}}\n{section}"))


def test_what_is_ignored_is_told(load_text: Load) -> None:
    text = "services: {web: {image: x, cpu_count: 1, environment: [A]}}\nvolumes: {v: {name: mine}}"
    assert convert(load_text(text)).warnings == (
        "services.web.cpu_count is ignored: it means something on other systems only",
        "volumes.v.name is ignored: the device names networks and volumes after the app itself, "
        "so that no app reaches another's",
        "services.web.environment.A has no value here and is left out",
    )


def test_a_service_without_image_is_refused(load_text: Load) -> None:
    with pytest.raises(Unsupported, match=r"services\.web\.image: has no published image"):
        converted(load_text("services: {web: {image: x}}"), {})


def test_a_service_whose_name_is_no_host_name_is_refused(load_text: Load) -> None:
    with pytest.raises(Unsupported, match="'Web' cannot name a service"):
        convert(load_text("services: {Web: {image: x}}"))


def test_the_projects_files_may_be_mounted_on_this_machine(load_text: Load) -> None:
    project = load_text("services: {web: {image: x, volumes: ['./x:/x']}}")
    mounts = convert(project, on_this_machine=True).spec.services["web"].mounts
    assert [mount.source for mount in mounts] == [str(project.folder / "x")]


def test_names_of_networks_and_volumes_are_made_valid(load_text: Load) -> None:
    text = (
        "services: {web: {image: x, networks: [Meet.Net], volumes: ['My.Data:/d']}}\n"
        "networks: {Meet.Net: }\nvolumes: {My.Data: }"
    )
    spec = convert(load_text(text)).spec
    assert (list(spec.networks), list(spec.volumes)) == (["meet-net"], ["my-data"])
    assert list(spec.services["web"].networks) == ["meet-net"]
    assert spec.services["web"].mounts[0].source == "my-data"


def test_a_link_and_a_container_name_are_aliases(load_text: Load) -> None:
    text = "services: {web: {image: x, links: ['db:database']}, db: {image: x, container_name: Main.Db}}"
    assert convert(load_text(text)).spec.services["db"].networks["default"].aliases == ("Main.Db", "database")


def test_an_unused_network_is_left_out(load_text: Load) -> None:
    assert list(convert(load_text("services: {web: {image: x}}\nnetworks: {n: }")).spec.networks) == ["default"]


def test_equal_projects_have_equal_digests(load_text: Load) -> None:
    one = convert(load_text("services: {web: {image: x, environment: {A: 1, B: 2}}}")).spec
    other = convert(load_text("services: {web: {environment: [B=2, A=1], image: y}}")).spec
    assert one.digest == other.digest


def test_a_project_can_be_checked_before_it_has_images(load_text: Load) -> None:
    assert check(load_text("services: {web: {image: x}}")) == ()
    with pytest.raises(Unsupported, match="is not one of"):
        check(load_text("services: {web: {image: x, restart: sometimes}}"))


def test_a_value_that_no_device_takes_is_shown_with_its_form(load_text: Load) -> None:
    with pytest.raises(Unsupported, match=r"^services\.web\.networks\.n\.aliases\[0\]: 'a b' is not possible"):
        check(load_text("services: {web: {image: x, networks: {n: {aliases: [a b]}}}}\nnetworks: {n: }"))
