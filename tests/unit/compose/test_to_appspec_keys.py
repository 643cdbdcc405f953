"""Keys that only some engines or owners allow, and configs and secrets, become fields of the AppSpec or are refused."""

from __future__ import annotations

import pytest

from broker.appspec import FILE_BYTES_MAX, Secret
from compose.errors import Unsupported
from tests.unit.compose.conftest import Load
from tests.unit.compose.test_to_appspec import convert, web

DB = "  db: {image: x, ipc: shareable}\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("pid: host", {"pid": "host"}),
        ("ipc: shareable", {"ipc": "shareable"}),
        ("uts: host", {"uts": "host"}),
        ("userns_mode: host", {"userns_mode": "host"}),
        ("cgroup: private", {"cgroup": "private"}),
        ("cgroup_parent: /x", {"cgroup_parent": "/x"}),
        ("privileged: true", {"privileged": True}),
        ("cpu_shares: 512", {"cpu_shares": 512}),
        ("cpu_period: 10ms\ncpu_quota: 5000", {"cpu_period": 10_000, "cpu_quota": 5_000}),
        ("cpu_rt_period: 1000\ncpu_rt_runtime: 400us", {"cpu_rt_period": 1_000, "cpu_rt_runtime": 400}),
        ("cpuset: 0-1", {"cpuset": "0-1"}),
        ("mem_reservation: 1m", {"mem_reservation": 1 << 20}),
        ("deploy: {resources: {reservations: {memory: 1m}}}", {"mem_reservation": 1 << 20}),
        ("mem_swappiness: 0", {"mem_swappiness": 0}),
        ("oom_kill_disable: true\nmem_limit: 1m", {"oom_kill_disable": True, "mem_limit": 1 << 20}),
        ("pids_limit: -1", {"pids_limit": -1}),
        ("runtime: nvidia", {"runtime": "nvidia"}),
        ("storage_opt: {size: 1G}", {"storage_opt": {"size": "1G"}}),
        ("dns_opt: [ndots:2]", {"dns_opt": ["ndots:2"]}),
        ("annotations: {a: b}", {"annotations": {"a": "b"}}),
        ("device_cgroup_rules: ['c 1:3 mr']", {"device_cgroup_rules": ["c 1:3 mr"]}),
        ("extra_hosts: ['a=1.1.1.1', 'a=2.2.2.2']", {"extra_hosts": {"a": ["1.1.1.1", "2.2.2.2"]}}),
        (
            "blkio_config: {weight: 300, device_read_bps: [{path: /dev/sda, rate: 1k}]}",
            {"blkio": {"weight": 300, "device_read_bps": [{"path": "/dev/sda", "rate": 1024}]}},
        ),
        ("gpus: all", {"device_requests": [{"count": -1, "capabilities": ["gpu"]}]}),
        (
            "gpus: [{driver: nvidia, device_ids: ['0']}]",
            {"device_requests": [{"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}]},
        ),
        (
            "deploy: {resources: {reservations: {devices: [{capabilities: [tpu], count: 2}]}}}",
            {"device_requests": [{"count": 2, "capabilities": ["tpu"]}]},
        ),
        (
            "deploy: {update_config: {order: start-first, delay: 1s, max_failure_ratio: 0.25, monitor: 2s}}",
            {"update": {"order": "start-first", "delay_ms": 1000, "max_failure_ppm": 250_000, "monitor_ms": 2000}},
        ),
        ("deploy: {rollback_config: {failure_action: continue}}", {"rollback": {"failure_action": "continue"}}),
        (
            "healthcheck: {test: [CMD, x], start_interval: 1s}",
            {"healthcheck": {"test": ["CMD", "x"], "start_interval_ms": 1000}},
        ),
        (
            "tmpfs: ['/t:uid=5,gid=6,exec']",
            {"mounts": [{"type": "tmpfs", "target": "/t", "tmpfs_uid": 5, "tmpfs_gid": 6, "tmpfs_exec": True}]},
        ),
        (
            "volumes: [{type: bind, source: /srv/x, target: /x, bind: {recursive: disabled}}]",
            {"mounts": [{"type": "bind", "target": "/x", "source": "/srv/x", "recursive": "disabled"}]},
        ),
    ],
)  # fmt: skip
def test_a_key_becomes_its_field(load_text: Load, lines: str, expected: dict[str, object]) -> None:
    assert web(load_text, lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("network_mode: service:db", {"network_mode": "service:db"}),
        ("pid: service:db", {"pid": "service:db"}),
        ("ipc: service:db", {"ipc": "service:db"}),
        ("volumes_from: [db:ro]", {"volumes_from": ["db:ro"]}),
    ],
)
def test_a_service_of_the_app_may_be_joined_and_is_then_started_first(
    load_text: Load, lines: str, expected: dict[str, object]
) -> None:
    found = web(load_text, lines, DB)
    assert list(found.pop("depends_on")) == ["db"]  # type: ignore[call-overload]
    assert found == expected


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        ("network_mode: container:/x", "network_mode", "is not possible on a device"),
        ("external_links: [x]", "external_links", "joins the device or another app"),
        ("labels: {io.skerry.device: x}", "labels", "reserved"),
        ("post_start: [{command: []}]", "post_start[0].command", "at least 1 item"),
        ("uts: private", "uts", "use host"),
        ("cpu_shares: 0.5", "cpu_shares", "whole number"),
        ("mac_address: '02:42:ac:11:00:02'\nnetwork_mode: none", "mac_address", "needs a network"),
        ("volumes: ['./x:/x']", "volumes[0]", "on this machine and not on the device"),
        ("oom_kill_disable: true", "oom_kill_disable", "without mem_limit"),
        ("deploy: {update_config: {max_failure_ratio: 2}}", "deploy.update_config.max_failure_ratio", "between 0"),
        ("configs: [{source: c, uid: me}]", "configs[0].uid", "must be a number"),
        ("volumes: ['v:/run:ro']\nsecrets: [s]", "secrets", "would be inside of /run, where no file can be put"),
        ("volumes: ['v:/c']\nconfigs: [c]", "configs", "something else is mounted at /c"),
        ("ports: ['80:80']\ndeploy: {update_config: {order: start-first}}", "deploy.update_config.order", "stop-first"),
    ],
)  # fmt: skip
def test_what_no_device_does_is_refused_by_its_name(load_text: Load, lines: str, key: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message) as caught:
        web(
            load_text,
            lines,
            "configs: {c: {content: x}}\nsecrets: {s: {environment: COMPOSE_PROJECT_NAME}}\nvolumes: {v: }\n",
        )
    if key:
        assert caught.value.path == f"services.web.{key}"


def test_ports_are_not_published_on_the_hosts_own_network_and_that_is_told(load_text: Load) -> None:
    made = convert(load_text("services: {web: {image: x, network_mode: host, ports: ['80:80']}}"))
    assert made.spec.services["web"].ports == ()
    assert made.warnings == ("services.web.ports is ignored: on the host's network every port is the host's own",)


def test_configs_travel_with_their_content_and_secrets_beside_the_release(load_text: Load) -> None:
    text = """
services:
  web:
    image: x
    configs: [inline, {source: My.File, target: /etc/f, uid: '5', gid: '6', mode: 0440}]
    secrets: [env, {source: env, target: other}, {source: env, target: /abs}]
configs: {inline: {content: "a=${HOST}"}, My.File: {file: ./f}, unused: {external: true}}
secrets: {env: {environment: KEY}}
"""
    project = load_text(text, files={"f": "file"}, environment={"KEY": "sesame", "HOST": "sea"})
    converted = convert(project)
    configs = {name: file.data for name, file in converted.spec.configs.items()}
    assert configs == {"inline": b"a=sea", "my-file": b"file"}
    assert (converted.spec.secrets, converted.values) == ({"env": Secret()}, {"env": b"sesame"})
    made = converted.spec.services["web"]
    assert [(c.source, c.target, c.uid, c.gid, c.mode) for c in made.configs] == [
        ("inline", "/inline", 0, 0, 0o444),
        ("my-file", "/etc/f", 5, 6, 0o440),
    ]
    assert [each.target for each in made.secrets] == ["/run/secrets/env", "/run/secrets/other", "/abs"]
    assert "sesame" not in repr(project) + repr(project.plain()) + repr(converted)


def test_an_external_secret_is_asked_for_and_has_no_value_here(load_text: Load) -> None:
    made = convert(load_text("services: {web: {image: x, secrets: [s]}}\nsecrets: {s: {external: true}}"))
    assert (made.spec.secrets, made.values) == ({"s": Secret()}, {})


def test_a_file_that_is_no_text_travels_as_it_is(load_text: Load, folder: object) -> None:
    project = load_text("services: {web: {image: x, secrets: [s]}}\nsecrets: {s: {file: ./s}}", files={"s": ""})
    (project.folder / "s").write_bytes(b"\x00\xff")
    project = load_text("services: {web: {image: x, secrets: [s]}}\nsecrets: {s: {file: ./s}}")
    assert convert(project).values == {"s": b"\x00\xff"}


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ("{file: ./missing}", "missing cannot be read here"),
        ("{file: .}", "cannot be read here"),
        ("{file: ./large}", "the content is 32769 bytes; "),
        ("{environment: NOTHING}", "the variable NOTHING has no value here"),
    ],
)
@pytest.mark.parametrize("section", ["configs", "secrets"])
def test_a_config_or_secret_that_cannot_travel_is_refused(
    load_text: Load, section: str, resource: str, message: str
) -> None:
    text = f"services: {{web: {{image: x, {section}: [s]}}}}\n{section}: {{s: {resource}}}"
    project = load_text(text, files={"large": "a" * (FILE_BYTES_MAX + 100)})
    with pytest.raises(Unsupported, match=message) as caught:
        convert(project)
    assert caught.value.path.startswith(f"{section}.s")


def test_an_external_config_is_refused(load_text: Load) -> None:
    text = "services: {web: {image: x, configs: [s]}}\nconfigs: {s: {external: true}}"
    with pytest.raises(Unsupported, match="external: is refused: a device has no store of them"):
        convert(load_text(text))


def test_a_network_may_have_several_subnets_of_both_families(load_text: Load) -> None:
    text = """
services: {web: {image: x, mac_address: '02:42:ac:11:00:02', networks: {a: , n: {priority: 5, gw_priority: 2}}}}
networks:
  a:
    ipam: {config: [{subnet: 10.2.0.0/24, gateway: 10.2.0.1}]}
  n:
    enable_ipv4: true
    enable_ipv6: true
    ipam:
      options: {x: y}
      config:
        - {subnet: 10.1.0.0/24, ip_range: 10.1.0.128/25, aux_addresses: {host1: 10.1.0.5}}
        - {subnet: 'fd00:1::/64', gateway: 'fd00:1::1'}
"""
    spec = convert(load_text(text)).spec
    assert spec.networks["a"].model_dump(exclude_defaults=True) == {"subnet": "10.2.0.0/24", "gateway": "10.2.0.1"}
    assert spec.networks["n"].model_dump(exclude_defaults=True) == {
        "enable_ipv6": True,
        "ipam_options": {"x": "y"},
        "pools": (
            {"subnet": "10.1.0.0/24", "ip_range": "10.1.0.128/25", "aux_addresses": {"host1": "10.1.0.5"}},
            {"subnet": "fd00:1::/64", "gateway": "fd00:1::1"},
        ),
    }
    attachments = spec.services["web"].networks
    assert (attachments["a"].mac_address, attachments["n"].mac_address) == ("", "02:42:ac:11:00:02")
    assert attachments["n"].gw_priority == 2


@pytest.mark.parametrize("section", ["networks", "volumes"])
def test_what_is_external_is_named_and_a_name_of_its_own_is_not_taken(load_text: Load, section: str) -> None:
    used = {"networks": "networks: [n]", "volumes": "volumes: ['n:/d']"}[section]
    app = f"services: {{web: {{image: x, {used}}}}}\n{section}: "
    for outside, name in (("{external: true}", "n"), ("{external: true, name: lan}", "lan")):
        outer = convert(load_text(app + f"{{n: {outside}}}"))
        assert getattr(outer.spec, section)["n"].model_dump(exclude_defaults=True) == {"external": name}
        assert outer.warnings == ()
    made = convert(load_text(app + "{n: {name: of-another-app}}"))
    assert list(getattr(made.spec, section)) == ["n"]
    assert "of-another-app" not in made.spec.model_dump_json()
    assert made.warnings[0].startswith(f"{section}.n.name is ignored: the device names")
