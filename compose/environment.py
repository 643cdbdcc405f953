"""The environment and labels of services: their files read, bare names looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compose.errors import Path, Place
from compose.interpolate import Lookup
from compose.tree import Items, Node, Scalar, Table, table_of, text_of


@dataclass(frozen=True)
class WantedFile:
    """A file of variables that a service asks for. One that is not `required` may be missing."""

    file: str
    asked_at: Place
    path: Path
    raw: bool = False
    required: bool = True


ReadVariables = Callable[[WantedFile, Lookup], Mapping[str, str | None]]
"""Returns the variables of a file; the lookup is for variables in its values."""


def with_environment(model: Table, environment: Mapping[str, str], read: ReadVariables) -> Table:
    """Return the model with every service's variables complete; a name that has a value nowhere keeps none."""
    services = table_of(model.nodes.get("services"))
    nodes: dict[str, Node] = {}
    for name, node in services.nodes.items():
        service = _with_variables(name, table_of(node), environment, read)
        service = _with_label_files(name, service, environment.get, read)
        nodes[name] = _with_build_arguments(service, environment)
    return model.having(services=services.of(nodes)) if nodes else model


def _with_variables(name: str, service: Table, environment: Mapping[str, str], read: ReadVariables) -> Table:
    """The environment wins over the files, a later file over an earlier one; variables in values go by that order."""
    found: dict[str, Node] = {}
    files = service.nodes.get("env_file")
    own = service.nodes.get("environment")
    given = {key: text_of(node) for key, node in table_of(own).nodes.items() if not _bare(node)}

    def lookup(name: str) -> str | None:
        for values in (environment, given):
            if name in values:
                return values[name]
        return text_of(found[name]) if name in found else None

    for at, entry in enumerate(files.nodes if isinstance(files, Items) else ()):
        table = table_of(entry)
        raw = text_of(table.nodes.get("format")) == "raw"
        optional = table.nodes.get("required")
        required = not (isinstance(optional, Scalar) and optional.value is False)
        path: Path = ("services", name, "env_file", at)
        wanted = WantedFile(text_of(table.nodes.get("path")), entry.place, path, raw=raw, required=required)
        for key, value in read(wanted, lookup).items():
            _set(found, key, value, environment, entry.place)
            if value is None and key not in environment:
                del found[key]
    for key, node in table_of(own).nodes.items():
        _set(found, key, given.get(key), environment, node.place)
    if not found:
        return service.without("environment")
    return service.having(environment=Table(found, own.place if own else service.place))


def _bare(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _set(found: dict[str, Node], key: str, value: str | None, environment: Mapping[str, str], place: Place) -> None:
    value = environment.get(key) if value is None else value
    found[key] = Scalar(value, value or "", place)


def _with_label_files(name: str, service: Table, lookup: Lookup, read: ReadVariables) -> Table:
    files = service.nodes.get("label_file")
    if not isinstance(files, Items):
        return service
    found: dict[str, Node] = {}
    for at, node in enumerate(files.nodes):
        path: Path = ("services", name, "label_file", at)
        for key, value in read(WantedFile(text_of(node), node.place, path), lookup).items():
            found[key] = Scalar(value or "", value or "", node.place)
    labels = table_of(service.nodes.get("labels"))
    return service.without("label_file").having(labels=labels.of({**found, **labels.nodes}))


def _with_build_arguments(service: Table, environment: Mapping[str, str]) -> Table:
    build = table_of(service.nodes.get("build"))
    arguments = build.nodes.get("args")
    if not isinstance(arguments, Table):
        return service
    found: dict[str, Node] = {}
    for key, node in arguments.nodes.items():
        value = text_of(node) if isinstance(node, Scalar) and node.value is not None else None
        _set(found, key, value, environment, node.place)
    return service.having(build=build.having(args=arguments.of(found)))
