"""What must hold of a whole project: needed keys are there, names refer to something, values fit together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from broker.circles import dependency_cycle
from compose.complete import table_flag
from compose.errors import ComposeError, Path
from compose.tree import Items, Node, Scalar, Table, table_of, text_of

REQUIRED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("depends_on", "*"): ("condition",),
    ("devices", "#"): ("source",),
    ("env_file", "#"): ("path",),
    ("volumes", "#"): ("type", "target"),
    ("develop", "watch", "#"): ("path", "action"),
    ("provider",): ("type",),
    ("ulimits", "*"): ("soft", "hard"),
    ("build", "ulimits", "*"): ("soft", "hard"),
    ("post_start", "#"): ("command",),
    ("pre_stop", "#"): ("command",),
    ("secrets", "#"): ("source",),
    ("configs", "#"): ("source",),
    ("build", "secrets", "#"): ("source",),
}
_OUTSIDE_KEYS = ("driver", "driver_opts", "ipam", "internal", "labels", "file", "environment", "content")


def validate(model: Table) -> None:
    """Raise a `ComposeError` for the first thing that is wrong with a merged and completed project."""
    services = table_of(model.nodes.get("services"))
    for name, node in services.nodes.items():
        for check in _SERVICE_CHECKS:
            check(name, table_of(node), model)
    for section in ("networks", "volumes", "secrets", "configs"):
        for name, node in table_of(model.nodes.get(section)).nodes.items():
            _check_resource(section, name, table_of(node))
    for name, node in table_of(model.nodes.get("models")).nodes.items():
        if not text_of(table_of(node).nodes.get("model")):
            raise ComposeError("needs 'model'", place=node.place, path=("models", name))
    for name, node in table_of(model.nodes.get("jobs")).nodes.items():
        if not {"manual", "schedule"} & table_of(table_of(node).nodes.get("triggers")).nodes.keys():
            message = "needs 'triggers', with 'manual' or 'schedule'"
            raise ComposeError(message, place=node.place, path=("jobs", name))
    edges = {
        name: tuple(table_of(table_of(node).nodes.get("depends_on")).nodes) for name, node in services.nodes.items()
    }
    if circle := dependency_cycle(edges):
        place = services.nodes[circle[0]].place
        message = f"depends_on goes in a circle: {' -> '.join(circle)}"
        raise ComposeError(message, place=place, path=("services", circle[0], "depends_on"))


def check_required(model: Table) -> None:
    """Raise a `ComposeError` for the first record of a merged project that lacks a key it cannot do without."""
    for name, service in table_of(model.nodes.get("services")).nodes.items():
        for pattern, keys in REQUIRED.items():
            for path, node in _matching(service, pattern, ("services", name)):
                missing = [key for key in keys if isinstance(node, Table) and _says_nothing(node.nodes.get(key))]
                if missing:
                    raise ComposeError(f"needs {missing[0]!r}", place=node.place, path=path)


def _says_nothing(node: Node | None) -> bool:
    return node is None or (isinstance(node, Scalar) and node.value is None)


def _matching(node: Node, pattern: tuple[str, ...], path: Path) -> Iterator[tuple[Path, Node]]:
    if not pattern:
        yield path, node
    elif pattern[0] == "#" and isinstance(node, Items):
        for at, item in enumerate(node.nodes):
            yield from _matching(item, pattern[1:], (*path, at))
    elif pattern[0] == "*" and isinstance(node, Table):
        for key, item in node.nodes.items():
            yield from _matching(item, pattern[1:], (*path, key))
    elif isinstance(node, Table) and pattern[0] in node.nodes:
        yield from _matching(node.nodes[pattern[0]], pattern[1:], (*path, pattern[0]))


def _check_image(name: str, service: Table, model: Table) -> None:
    build = service.nodes.get("build")
    if not {"image", "build", "provider"} & service.nodes.keys():
        raise ComposeError("has neither image nor build; add one", place=service.place, path=("services", name))
    if "image" in service.nodes and not text_of(service.nodes["image"]) and build is None:
        raise ComposeError("is empty", place=service.nodes["image"].place, path=("services", name, "image"))
    if not isinstance(build, Table):
        return
    path: Path = ("services", name, "build")
    platforms = [text_of(item) for item in _items(build.nodes.get("platforms"))]
    if platforms and (platform := text_of(service.nodes.get("platform"))) not in ("", *platforms):
        message = f"{platform} is not among build.platforms; name it there, or remove one of them"
        raise ComposeError(message, place=service.nodes["platform"].place, path=("services", name, "platform"))
    if all(text_of(build.nodes.get(key)) for key in ("dockerfile", "dockerfile_inline")):
        raise ComposeError("has dockerfile and dockerfile_inline; keep one", place=build.place, path=path)


def _check_references(name: str, service: Table, model: Table) -> None:
    for section, key in (("services", "depends_on"), ("networks", "networks"), ("models", "models")):
        known = table_of(model.nodes.get(section)).nodes
        for other, node in table_of(service.nodes.get(key)).nodes.items():
            optional = key == "depends_on" and not _required(node)
            if other not in known and not optional:
                _raise_undefined(section, other, node, ("services", name, key, other))
    build = table_of(service.nodes.get("build"))
    holders: tuple[tuple[str, Table, Path], ...] = (
        ("secrets", service, ("secrets",)),
        ("configs", service, ("configs",)),
        ("secrets", build, ("build", "secrets")),
    )
    for section, holder, path in holders:
        known = table_of(model.nodes.get(section)).nodes
        for at, node in enumerate(_items(holder.nodes.get(section))):
            source = text_of(table_of(node).nodes.get("source"))
            if source not in known:
                _raise_undefined(section, source, node, ("services", name, *path, at))


def _check_build_contexts(name: str, service: Table, model: Table) -> None:
    services = table_of(model.nodes.get("services")).nodes
    contexts = table_of(table_of(service.nodes.get("build")).nodes.get("additional_contexts"))
    for key, node in contexts.nodes.items():
        word, _, other = text_of(node).partition(":")
        if word != "service":
            continue
        path: Path = ("services", name, "build", "additional_contexts", key)
        if other not in services:
            _raise_undefined("services", other, node, path)
        if "build" not in table_of(services[other]).nodes:
            raise ComposeError(
                f"service {other!r} is not built, so nothing can be taken of it", place=node.place, path=path
            )


def _required(node: Node) -> bool:
    required = table_of(node).nodes.get("required")
    return not (isinstance(required, Scalar) and required.value is False)


def _raise_undefined(section: str, name: str, node: Node, path: Path) -> None:
    message = f"there is no {section.removesuffix('s')} {name!r}; define it under {section}: or correct the name"
    raise ComposeError(message, place=node.place, path=path)


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.nodes if isinstance(node, Items) else ()


def _check_mounts(name: str, service: Table, model: Table) -> None:
    known = table_of(model.nodes.get("volumes")).nodes
    for at, node in enumerate(_items(service.nodes.get("volumes"))):
        mount = table_of(node)
        path: Path = ("services", name, "volumes", at)
        kind = text_of(mount.nodes.get("type"))
        source = text_of(mount.nodes.get("source"))
        if not text_of(mount.nodes.get("target")):
            raise ComposeError("needs a target, the path in the container", place=node.place, path=path)
        if kind == "bind" and not source:
            raise ComposeError("a bind mount needs a source, the path on the host", place=node.place, path=path)
        if kind == "volume" and source and source not in known:
            _raise_undefined("volumes", source, node, path)
        if kind == "tmpfs" and source:
            raise ComposeError("a tmpfs has no source; remove it", place=node.place, path=path)


def _check_network_mode(name: str, service: Table, model: Table) -> None:
    node = service.nodes.get("network_mode")
    if node is None or not text_of(node):
        return
    path: Path = ("services", name, "network_mode")
    if "networks" in service.nodes:
        raise ComposeError("network_mode and networks exclude each other; keep one", place=node.place, path=path)
    word, _, other = text_of(node).partition(":")
    if word == "service" and other not in table_of(model.nodes.get("services")).nodes:
        _raise_undefined("services", other, node, path)


def _check_limits(name: str, service: Table, model: Table) -> None:
    deploy = table_of(service.nodes.get("deploy"))
    resources = table_of(deploy.nodes.get("resources"))
    limits = table_of(resources.nodes.get("limits"))
    reservations = table_of(resources.nodes.get("reservations"))
    pairs = (
        ("scale", deploy, "replicas", "deploy.replicas"),
        ("mem_limit", limits, "memory", "deploy.resources.limits.memory"),
        ("cpus", limits, "cpus", "deploy.resources.limits.cpus"),
        ("pids_limit", limits, "pids", "deploy.resources.limits.pids"),
        ("mem_reservation", reservations, "memory", "deploy.resources.reservations.memory"),
    )
    for key, table, other_key, shown in pairs:
        one, other = service.nodes.get(key), table.nodes.get(other_key)
        if isinstance(one, Scalar) and isinstance(other, Scalar) and one.value != other.value:
            message = f"is {one.value}, but {shown} is {other.value}; keep one of them"
            raise ComposeError(message, place=one.place, path=("services", name, key))
    scale = service.nodes.get("scale") or deploy.nodes.get("replicas")
    if "container_name" in service.nodes and isinstance(scale, Scalar) and int(scale.value or 0) > 1:
        path: Path = ("services", name, "container_name")
        place = service.nodes["container_name"].place
        raise ComposeError("a service with container_name cannot have several containers", place=place, path=path)


def _check_watch(name: str, service: Table, model: Table) -> None:
    path: Path = ("services", name, "develop", "watch")
    for at, node in enumerate(_items(table_of(service.nodes.get("develop")).nodes.get("watch"))):
        keys = table_of(node).nodes
        action = text_of(keys.get("action"))
        if not text_of(keys.get("path")):
            raise ComposeError("needs 'path', the files to watch", place=node.place, path=(*path, at))
        if "sync" in action and not text_of(keys.get("target")):
            message = f"needs 'target', where {action} puts the files"
            raise ComposeError(message, place=node.place, path=(*path, at))


def _check_device_requests(name: str, service: Table, model: Table) -> None:
    resources = table_of(table_of(service.nodes.get("deploy")).nodes.get("resources"))
    reserved = table_of(resources.nodes.get("reservations")).nodes.get("devices")
    shown: Path = ("services", name, "deploy", "resources", "reservations", "devices")
    for at, node in enumerate(_items(reserved)):
        if "capabilities" not in table_of(node).nodes:
            raise ComposeError("needs 'capabilities'", place=node.place, path=(*shown, at))
        _check_count(node, (*shown, at))
    for at, node in enumerate(_items(service.nodes.get("gpus"))):
        _check_count(node, ("services", name, "gpus", at))


def _check_count(node: Node, path: Path) -> None:
    if {"count", "device_ids"} <= table_of(node).nodes.keys():
        raise ComposeError("count and device_ids exclude each other; keep one", place=node.place, path=path)


_SERVICE_CHECKS: tuple[Callable[[str, Table, Table], None], ...] = (
    _check_image,
    _check_references,
    _check_build_contexts,
    _check_mounts,
    _check_network_mode,
    _check_limits,
    _check_watch,
    _check_device_requests,
)


def _check_resource(section: str, name: str, resource: Table) -> None:
    path: Path = (section, name)
    if table_flag(resource, "external"):
        for key in _OUTSIDE_KEYS:
            if key in resource.nodes:
                message = f"is external, so {key!r} cannot be set here; remove one of them"
                raise ComposeError(message, place=resource.nodes[key].place, path=path)
        return
    origins = _ORIGINS.get(section, ())
    given = [key for key in origins if key in resource.nodes and (key == "content" or text_of(resource.nodes[key]))]
    if origins and len(given) != 1:
        problem = f"has {' and '.join(given)}; keep one" if given else f"needs one of {', '.join(origins)}, external"
        raise ComposeError(problem, place=resource.place, path=path)


_ORIGINS: Mapping[str, tuple[str, ...]] = {
    "secrets": ("file", "environment"),
    "configs": ("file", "environment", "content"),
}
