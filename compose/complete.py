"""What a merged project leaves unsaid: implied dependencies, the default network, names, defaults. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from compose.errors import ComposeError
from compose.tree import Items, Node, Plain, Scalar, Table, grown, table_of, text_of

DEFAULT_NETWORK = "default"


def completed(model: Table, name: str) -> Table:
    """Return the model with everything said that Compose implies."""
    services = _each(table_of(model.nodes.get("services")), _service)
    networks = table_of(model.nodes.get("networks"))
    if _default_network_used(services) and DEFAULT_NETWORK not in networks.nodes:
        networks = networks.having(default=Table({}))
    nodes: dict[str, Node] = {**model.nodes, "name": Scalar(name, name), "services": services}
    for section in ("networks", "volumes", "secrets", "configs"):
        resources = networks if section == "networks" else table_of(model.nodes.get(section))
        if resources.nodes:
            nodes[section] = _named(resources, name)
    return model.of(nodes)


def _each(services: Table, change: Callable[[str, Table], Table]) -> Table:
    return services.of({key: change(key, table_of(node)) for key, node in services.nodes.items()})


def _service(name: str, service: Table) -> Table:
    service = _with_implied_dependencies(service)
    service = _with_one_word_for_each(service)
    service = _with_build_defaults(service)
    service = _with_all_devices(service)
    service = _with_default_network(service)
    return _with_default_targets(service)


def _with_implied_dependencies(service: Table) -> Table:
    """A service that uses another one's network, namespace or volumes starts after it."""
    implied: dict[str, bool] = {}  # whether it is also restarted with the other
    for link in _texts(service.nodes.get("links")):
        implied[link.partition(":")[0]] = True
    for key in ("network_mode", "ipc", "pid", "uts", "cgroup"):
        word, _, other = text_of(service.nodes.get(key)).partition(":")
        if word == "service" and other:
            implied[other] = True
    for source in _texts(service.nodes.get("volumes_from")):
        if not source.startswith("container:"):
            implied.setdefault(source.partition(":")[0], False)
    dependencies = table_of(service.nodes.get("depends_on"))
    added: dict[str, Node] = {}
    for other, restart in implied.items():
        if other not in dependencies.nodes:
            condition: dict[str, Plain] = {"condition": "service_started", "required": True}
            added[other] = grown(condition | ({"restart": True} if restart else {}), service.place)
    if not added:
        return service
    return service.having(depends_on=dependencies.of({**dependencies.nodes, **added}))


def _with_one_word_for_each(service: Table) -> Table:
    """What can be said in two ways is said in one."""
    if text_of(service.nodes.get("pull_policy")) == "if_not_present":
        service = service.having(pull_policy=Scalar("missing", "missing", service.nodes["pull_policy"].place))
    deploy = service.nodes.get("deploy")
    if "scale" in service.nodes and isinstance(deploy, Table) and "replicas" not in deploy.nodes:
        service = service.having(deploy=deploy.having(replicas=service.nodes["scale"]))
    return service


def _with_build_defaults(service: Table) -> Table:
    build = service.nodes.get("build")
    if not isinstance(build, Table) or any(
        text_of(build.nodes.get(key)) for key in ("dockerfile", "dockerfile_inline")
    ):
        return service
    return service.having(build=build.having(dockerfile=Scalar("Dockerfile", "Dockerfile", build.place)))


def _with_all_devices(service: Table) -> Table:
    """A request that says neither how many devices nor which ones asks for all."""
    if "gpus" in service.nodes:
        service = service.having(gpus=_all(service.nodes["gpus"]))
    deploy = table_of(service.nodes.get("deploy"))
    resources = table_of(deploy.nodes.get("resources"))
    reservations = table_of(resources.nodes.get("reservations"))
    if "devices" not in reservations.nodes:
        return service
    reservations = reservations.having(devices=_all(reservations.nodes["devices"]))
    return service.having(deploy=deploy.having(resources=resources.having(reservations=reservations)))


def _all(requests: Node) -> Node:
    if not isinstance(requests, Items):
        return requests
    tables = (table_of(node) for node in requests.nodes)
    every = Scalar(-1, "-1")
    nodes = tuple(
        table if {"count", "device_ids"} & table.nodes.keys() else table.having(count=every) for table in tables
    )
    return requests.of(nodes)


def _with_default_network(service: Table) -> Table:
    if text_of(service.nodes.get("network_mode")) or "provider" in service.nodes:
        return service
    networks = service.nodes.get("networks")
    if isinstance(networks, Table) and networks.nodes:
        return service
    return service.having(networks=Table({DEFAULT_NETWORK: Scalar(None)}))


def _with_default_targets(service: Table) -> Table:
    """A secret is found in /run/secrets under its own name; what runs before a service starts uses its image."""
    secrets = service.nodes.get("secrets")
    if isinstance(secrets, Items):
        nodes = tuple(_with_target(table_of(node)) for node in secrets.nodes)
        service = service.having(secrets=secrets.of(nodes))
    hooks = service.nodes.get("pre_start")
    if isinstance(hooks, Items) and "image" in service.nodes:
        tables = tuple(table_of(node) for node in hooks.nodes)
        nodes = tuple(
            table if "image" in table.nodes else table.having(image=service.nodes["image"]) for table in tables
        )
        service = service.having(pre_start=hooks.of(nodes))
    return service


def _with_target(reference: Table) -> Table:
    if text_of(reference.nodes.get("target")):
        return reference
    target = "/run/secrets/" + text_of(reference.nodes.get("source"))
    return reference.having(target=Scalar(target, target, reference.place))


def _default_network_used(services: Table) -> bool:
    return any(
        DEFAULT_NETWORK in table_of(table_of(node).nodes.get("networks")).nodes for node in services.nodes.values()
    )


def _named(resources: Table, project: str) -> Table:
    nodes: dict[str, Node] = {}
    for key, node in resources.nodes.items():
        resource = table_of(node)
        if not text_of(resource.nodes.get("name")):
            outside = table_flag(resource, "external")
            name = key if outside else f"{project}_{key}"
            resource = resource.having(name=Scalar(name, name, resource.place))
        nodes[key] = resource
    return resources.of(nodes)


def table_flag(table: Table, key: str) -> bool:
    node = table.nodes.get(key)
    return isinstance(node, Scalar) and node.value is True


def _texts(node: Node | None) -> list[str]:
    return [text_of(item) for item in node.nodes] if isinstance(node, Items) else []


def with_build_contexts(model: Table, folder: str) -> Table:
    """Return the model with every build given a context: without one, it is the project's own folder."""

    def change(name: str, service: Table) -> Table:
        build = service.nodes.get("build")
        if not isinstance(build, Table) or "context" in build.nodes:
            return service
        return service.having(build=build.having(context=Scalar(folder, folder, build.place)))

    services = model.nodes.get("services")
    return model.having(services=_each(services, change)) if isinstance(services, Table) else model


def with_profiles(model: Table, profiles: frozenset[str]) -> Table:
    """Return the model with the services that no active profile asks for taken out; `*` asks for all.

    A dependency on a service that was taken out is dropped when it is not required, and refused when it is.
    """
    services = table_of(model.nodes.get("services"))
    kept = {key: table_of(node) for key, node in services.nodes.items() if _active(table_of(node), profiles)}
    gone = services.nodes.keys() - kept.keys()
    nodes = {key: _without_dependencies(key, service, services.nodes, gone) for key, service in kept.items()}
    return model.having(services=services.of(nodes))


def _active(service: Table, profiles: frozenset[str]) -> bool:
    wanted = set(_texts(service.nodes.get("profiles")))
    return not wanted or "*" in profiles or bool(wanted & profiles)


def _without_dependencies(name: str, service: Table, known: Mapping[str, Node], gone: set[str]) -> Table:
    dependencies = table_of(service.nodes.get("depends_on"))
    kept: dict[str, Node] = {}
    for other, node in dependencies.nodes.items():
        required = table_of(node).nodes.get("required")
        optional = isinstance(required, Scalar) and required.value is False
        if other in gone and not optional:
            wanted = ", ".join(_texts(table_of(known[other]).nodes.get("profiles")))
            message = (
                f"needs service {other!r}, which runs only with profile {wanted}; activate it, or set required: false"
            )
            raise ComposeError(message, place=node.place, path=("services", name, "depends_on", other))
        if optional and (other in gone or other not in known):
            continue
        kept[other] = node
    if len(kept) == len(dependencies.nodes):
        return service
    if not kept:
        return service.without("depends_on")
    return service.having(depends_on=dependencies.of(kept))
