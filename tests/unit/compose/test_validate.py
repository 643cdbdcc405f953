"""What must hold of a whole project."""

from __future__ import annotations

import pytest

from compose.errors import ComposeError
from tests.unit.compose.conftest import Load, LoadService


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("depends_on: [db]", "there is no service 'db'"),
        ("depends_on: {web: {restart: true}}", "needs 'condition'"),
        ("depends_on: [web]", "circle: web -> web"),
        ("networks: [back]", "there is no network 'back'"),
        ("networks: [default]\nnetwork_mode: host", "exclude each other"),
        ("network_mode: service:db", "there is no service 'db'"),
        ("volumes: ['data:/data']", "there is no volume 'data'"),
        ("volumes: [{type: bind, target: /x}]", "needs a source"),
        ("volumes: [{type: volume}]", "needs 'target'"),
        ("volumes: [{target: /x}]", "needs 'type'"),
        ("volumes: [{type: tmpfs, target: /x, source: y}]", "has no source"),
        ("secrets: [key]", "there is no secret 'key'"),
        ("configs: [file]", "there is no config 'file'"),
        ("models: [llm]", "there is no model 'llm'"),
        ("devices: [{target: /dev/x}]", "needs 'source'"),
        ("env_file: [{required: true}]", "needs 'path'"),
        ("ulimits: {nofile: {soft: 1}}", "needs 'hard'"),
        ("mem_limit: 1g\ndeploy: {resources: {limits: {memory: 2g}}}", "keep one of them"),
        ("scale: 2\ndeploy: {replicas: 3}", "keep one of them"),
        ("scale: 2\ncontainer_name: xy", "several containers"),
        ("build: {context: ., platforms: [a, b]}\nplatform: c", "not among build.platforms"),
        ("build: {context: ., secrets: [key]}", "there is no secret 'key'"),
        ("mem_reservation: 1g\ndeploy: {resources: {reservations: {memory: 2g}}}", "keep one of them"),
        ("gpus: [{count: 1, device_ids: [a]}]", "exclude each other"),
        ("develop: {watch: [{path: ., action: sync}]}", "needs 'target'"),
        ("build: {dockerfile_inline: FROM scratch, dockerfile: D}", "keep one"),
        ("deploy: {resources: {reservations: {devices: [{count: 1}]}}}", "needs 'capabilities'"),
        (
            "deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 1, device_ids: [a]}]}}}",
            "exclude each other",
        ),
        ("develop: {watch: [{path: .}]}", "needs 'action'"),
        ("develop: {watch: [{path: '', action: restart}]}", "needs 'path'"),
        ("build: {additional_contexts: {x: 'service:db'}}", "there is no service 'db'"),
    ],
)
def test_a_service_that_does_not_hold_together_is_refused(load_service: LoadService, lines: str, message: str) -> None:
    with pytest.raises(ComposeError, match=message) as caught:
        load_service(lines)
    assert caught.value.path.startswith("services.web")
    assert caught.value.line >= 2


def test_a_context_of_a_service_that_is_not_built_is_refused(load_text: Load) -> None:
    with pytest.raises(ComposeError, match="service 'db' is not built"):
        load_text("services: {web: {build: {additional_contexts: [x=service:db]}}, db: {image: a}}")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("image: 5", "must be a text; put it in quotes"),
        ("ports:", "is empty; remove the key"),
        ("environment: text", "must be a mapping or a list"),
        ("cap_add: NET_ADMIN", "must be a list"),
        ("restart: [always]", "must be a text"),
        ("pull_policy: sometimes", "must be one of always"),
        ("privileged: maybe", "must be true or false"),
        ("healthcheck: {test: [echo]}", "must start with CMD"),
        ("healthcheck: {interval: 10}", "write 10s for seconds"),
        ("depends_on: {db: {condition: sometimes}}", "must be one of service_started"),
        ("expose: [http]", "must be a port"),
        ("extra_hosts: [somehost]", "must be host=address"),
        ("command: echo 'open", "quote that is not closed"),
        ("logging: {driver: x, options: {a: [1]}}", "must be a text or a number"),
        ("networks: {'a b': {}}", "not a valid name"),
    ],
)
def test_a_value_of_the_wrong_shape_is_refused(load_service: LoadService, lines: str, message: str) -> None:
    with pytest.raises(ComposeError, match=message):
        load_service(lines.replace("image", "hostname"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("volumes: {v: {external: true, driver: x}}", "is external"),
        ("networks: {n: {external: {name: a}, name: b}}", "keep only name"),
        ("secrets: {s: {}}", "needs one of file, environment"),
        ("secrets: {s: {file: a, environment: b}}", "keep one"),
        ("configs: {c: {content: a, file: b}}", "keep one"),
        ("models: {m: {}}", "needs 'model'"),
        ("networks: {n: text}", "must be a mapping"),
        ("volumes: []", "must be a mapping"),
        ("services: {other: }", "must be a mapping"),
        ("services: {other: {}}", "neither image nor build"),
        ("services: {'a b': {image: x}}", "not a valid name"),
        ("web: {image: x}", "'web' is not a key of Compose here"),
    ],
)
def test_a_resource_that_does_not_hold_together_is_refused(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ComposeError, match=message):
        load_text("services: {web: {image: x}}", text)


def test_a_circle_of_dependencies_is_named(load_text: Load) -> None:
    with pytest.raises(ComposeError, match=r"circle: (a -> b -> a|b -> a -> b)"):
        load_text("services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}")


def test_an_old_external_name_becomes_the_name(load_text: Load) -> None:
    project = load_text("services: {web: {image: x}}\nvolumes: {v: {external: {name: shared}}, w: {external: true}}")
    assert {key: (volume.name, volume.external) for key, volume in project.volumes.items()} == {
        "v": ("shared", True),
        "w": ("w", True),
    }


def test_a_message_is_one_line_whatever_the_file_holds(load_text: Load) -> None:
    with pytest.raises(ComposeError) as caught:
        load_text('services: {web: {"a\\n\\u0007b": 1}}')
    assert str(caught.value).isprintable()
