"""What of a project becomes containers: replicas, hooks, steps before a start, and what Skerry adds to a service."""

from __future__ import annotations

from typing import Any

import pytest

from broker.appspec import AppSpec
from compose.errors import Unsupported
from compose.publish_plan import plan
from compose.refusals import verdict
from tests.unit.compose.conftest import Load
from tests.unit.compose.test_to_appspec import convert, web


def app(load_text: Load, text: str) -> AppSpec:
    return convert(load_text(text)).spec


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("scale: 3", {"replicas": 3}),
        ("deploy: {replicas: 2}", {"replicas": 2}),
        ("deploy: {mode: global, replicas: 5}", {}),
        ("scale: 2\nports: ['8000-8002:80']", {"replicas": 2, "ports": [{"target": 80, "published": 8000}]}),
        ("ports: ['8000-8002:80']", {"ports": [{"target": 80, "published": 8000}]}),
        ("scale: 2\nports: ['80']", {"replicas": 2, "ports": [{"target": 80}]}),
        ("pid: container:x", {"pid": "container:x"}),
        ("volumes_from: ['container:x:ro']", {"volumes_from": ["container:x:ro"]}),
        (
            "use_api_socket: true",
            {
                "mounts": [
                    {
                        "type": "bind",
                        "target": "/var/run/docker.sock",
                        "source": "/var/run/docker.sock",
                        "create_host_path": False,
                    }
                ]
            },
        ),
        (
            "devices: [vendor.example/gpu=all, /dev/null]",
            {
                "devices": ["/dev/null:/dev/null:rwm"],
                "device_requests": [{"driver": "cdi", "device_ids": ["vendor.example/gpu=all"]}],
            },
        ),
        (
            "post_start: [{command: chown 1 /data, user: root, privileged: true, working_dir: /data, "
            "environment: [A=b, UNSET]}]\npre_stop: [{command: [a, b c]}]",
            {
                "post_start": [
                    {
                        "command": ["chown", "1", "/data"],
                        "user": "root",
                        "privileged": True,
                        "working_dir": "/data",
                        "environment": {"A": "b"},
                    }
                ],
                "pre_stop": [{"command": ["a", "b c"]}],
            },
        ),
        (
            "x-skerry: {telemetry: true, redis: true, display: true, lock: true}",
            {"telemetry": {"access": "socket"}, "redis": True, "display": "auto", "lock": True},
        ),
        ("x-skerry: {telemetry: tcp, display: require}", {"telemetry": {"access": "tcp"}, "display": "require"}),
        ("x-skerry: {telemetry: false, redis: false, display: off, lock: false}", {}),
    ],
)
def test_a_key_becomes_its_field(load_text: Load, lines: str, expected: dict[str, object]) -> None:
    assert web(load_text, lines) == expected


def test_a_service_without_replicas_is_left_out_with_all_that_waits_for_it_and_that_is_told(load_text: Load) -> None:
    text = """
services:
  web: {image: web, depends_on: {off: {condition: service_healthy}, db: {condition: service_started}}}
  db: {image: db}
  off: {image: off, scale: 0, build: ./missing}
"""
    project = load_text(text)
    made = convert(project)
    assert {name: list(service.depends_on) for name, service in made.spec.services.items()} == {"db": [], "web": ["db"]}
    assert made.warnings == ("services.off is not run: it has no replicas",)
    assert [job.name for job in plan(project)] == ["db", "web"]


def test_an_app_of_nothing_is_refused(load_text: Load) -> None:
    with pytest.raises(Unsupported, match="services: no service has replicas; one must run"):
        app(load_text, "services: {web: {image: x, scale: 0}}")


def test_a_service_cannot_join_one_that_is_not_run(load_text: Load) -> None:
    with pytest.raises(Unsupported, match=r"^services\.web: it joins service 'off', which is not there"):
        app(load_text, "services: {web: {image: x, pid: 'service:off'}, off: {image: x, scale: 0}}")


STEPS = """
services:
  web:
    image: web
    user: app
    environment: {A: a, B: b}
    ports: ['80:80']
    volumes: ['data:/data']
    networks: {default: {ipv4_address: 10.0.0.5, aliases: [www]}}
    healthcheck: {test: [CMD, x]}
    restart: always
    depends_on: [db]
    stop_grace_period: 5s
    x-skerry: {telemetry: true, lock: true}
    pre_start:
      - {command: [migrate], environment: {B: c}}
      - {command: chown 1 /data, image: tools, user: root, privileged: true, working_dir: /data}
  db: {image: db}
volumes: {data: }
"""


def test_what_is_to_be_done_before_a_start_is_a_service_that_must_end_well_first(load_text: Load) -> None:
    services = app(load_text, STEPS).services
    done = {"condition": "service_completed_successfully"}
    assert {name: service.model_dump()["depends_on"] for name, service in services.items()} == {
        "web-pre-start-1": {"db": waits()},
        "web-pre-start-2": {"db": waits(), "web-pre-start-1": waits(**done)},
        "web": {"db": waits(), "web-pre-start-2": waits(**done)},
        "db": {},
    }
    first, second, web = (services[name] for name in ("web-pre-start-1", "web-pre-start-2", "web"))
    assert (first.command, first.entrypoint, first.user, first.environment) == (
        ("migrate",),
        (),
        "app",
        {"A": "a", "B": "c"},
    )
    assert (second.command, second.user, second.privileged, second.working_dir) == (
        ("chown", "1", "/data"),
        "root",
        True,
        "/data",
    )
    for step in (first, second):
        assert step.mounts == web.mounts
        assert (step.ports, step.restart.policy, step.telemetry.access, step.lock) == ((), "no", "socket", False)
        assert step.healthcheck is not None
        assert step.healthcheck.test == ("NONE",)
        assert step.networks["default"].model_dump(exclude_defaults=True) == {}
    assert web.ports
    assert web.healthcheck is not None


def waits(condition: str = "service_started") -> dict[str, Any]:
    return {"condition": condition, "required": True, "restart": False}


def test_a_steps_image_is_pushed_with_the_others_and_a_built_one_is_built_once(load_text: Load) -> None:
    text = "services: {web: {build: ., pre_start: [{command: a}, {command: b, image: tools}]}}"
    jobs = plan(load_text(text, files={"Dockerfile": "FROM x"}))
    assert [(job.services, job.name, job.build is not None) for job in jobs] == [
        (("web",), "app-web", True),
        (("web-pre-start-1",), "app-web", False),
        (("web-pre-start-2",), "tools", False),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "services: {web: {image: x, scale: 2, pre_start: [{command: a, per_replica: true}]}}",
            r"^services\.web\.pre_start\[0\]\.per_replica: must be false where there are several replicas",
        ),
        (
            "services: {web: {image: x, pre_start: [{command: a}]}, web-pre-start-1: {image: x}}",
            r"^services\.web\.pre_start\[0\]: its container would be called like service 'web-pre-start-1'",
        ),
        (
            "services: {web: {image: x, networks: [host, other]}}\n"
            "networks: {host: {external: true}, other: {external: true}}",
            r"^services\.web\.networks: host goes with no other network",
        ),
    ],
)
def test_what_cannot_be_put_so_is_refused_with_its_key(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        app(load_text, text)


@pytest.mark.parametrize("mode", ["host", "none"])
def test_a_network_that_is_a_mode_of_the_engine_becomes_that_mode(load_text: Load, mode: str) -> None:
    text = f"services: {{web: {{image: x, networks: [n]}}}}\nnetworks: {{n: {{external: true, name: {mode}}}}}"
    made = app(load_text, text)
    assert (made.services["web"].network_mode, made.services["web"].networks, made.networks) == (mode, {}, {})


def test_all_that_is_wrong_is_told_at_once(load_text: Load) -> None:
    text = """
services:
  a: {image: x, external_links: [y], restart: sometimes}
  b: {image: x, scale: 2, ports: ['80:80']}
  c: {image: x, ports: ['80:80'], deploy: {update_config: {order: start-first}}}
  d: {image: x, labels: {io.skerry.x: y}}
networks: {default: {driver: overlay}}
volumes: {v: {driver: nfs}}
configs: {c: {external: true}}
"""
    assert [refusal.path for refusal in verdict(load_text(text)).refused] == [
        "services.a.external_links",
        "services.a.restart",
        "services.b.ports[0]",
        "services.c.deploy.update_config.order",
        "services.d.labels",
        "networks.default.driver",
        "volumes.v.driver",
    ]
