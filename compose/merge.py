"""What a later file or an extending service changes in an earlier one. Both sides are canonical. Pure.

Mappings merge key by key, lists add up, single values are replaced; the tables below name the exceptions, and the marks
`!reset` and `!override` overrule everything.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace

from compose.errors import Path
from compose.tree import Items, Mark, Node, Scalar, Table, plain, table_of, text_of

Pattern = tuple[str, ...]
Identity = Callable[[Node], Hashable]

REPLACED: frozenset[Pattern] = frozenset(
    {
        ("services", "*", "command"),
        ("services", "*", "entrypoint"),
        ("services", "*", "healthcheck", "test"),
    }
)


def _whole(node: Node) -> Hashable:
    return repr(plain(node))


def _by(*keys: str) -> Identity:
    def identity(node: Node) -> Hashable:
        return tuple(text_of(node.nodes.get(key)) for key in keys) if isinstance(node, Table) else _whole(node)

    return identity


def _file_below(folder: str) -> Identity:
    """A file is where its target says, and in `folder` under its own name when it says nothing."""

    def identity(node: Node) -> Hashable:
        keys = table_of(node).nodes
        return text_of(keys.get("target")) or f"{folder}/{text_of(keys.get('source'))}"

    return identity


def _port(node: Node) -> Hashable:
    host_ip, *others = (
        text_of(table_of(node).nodes.get(key)) for key in ("host_ip", "published", "target", "protocol")
    )
    return host_ip or "0.0.0.0", *others  # noqa: S104 - an address in a file, nothing is bound


def _before_sign(node: Node) -> Hashable:
    return text_of(node).partition("=")[0]


_BLOCKS = ("networks", "*", "ipam", "config")

# Elements of these lists are one and the same when their identity is: the later one takes the place of the earlier.
IDENTITIES: dict[Pattern, Identity] = {
    ("services", "*", "ports"): _port,
    ("services", "*", "volumes"): _by("target"),
    ("services", "*", "devices"): _by("target"),
    ("services", "*", "secrets"): _file_below("/run/secrets"),
    ("services", "*", "configs"): _file_below(""),
    ("services", "*", "env_file"): _by("path"),
    ("services", "*", "build", "secrets"): _file_below("/run/secrets"),
    ("services", "*", "tmpfs"): _before_sign,
    ("services", "*", "extra_hosts", "*"): _whole,
    ("services", "*", "build", "extra_hosts", "*"): _whole,
    **{
        ("services", "*", key): _whole
        for key in (
            *("cap_add", "cap_drop", "dns", "dns_opt", "dns_search", "expose", "external_links", "links", "profiles"),
            *("security_opt", "group_add", "label_file", "device_cgroup_rules", "volumes_from"),
        )
    },
    ("services", "*", "networks", "*", "aliases"): _whole,
    ("services", "*", "networks", "*", "link_local_ips"): _whole,
    ("services", "*", "build", "cache_from"): _whole,
    ("services", "*", "build", "tags"): _whole,
    ("services", "*", "build", "platforms"): _whole,
}


def merged(base: Node, over: Node, path: Path = ()) -> Node | None:
    """Return `base` as changed by `over`; None when it is taken away."""
    if over.mark is Mark.RESET:
        return None
    if over.mark is Mark.OVERRIDE:
        return settled(over, path)
    pattern = _pattern(path)
    if isinstance(over, Scalar) and over.value is None and not isinstance(base, Scalar) and pattern not in REPLACED:
        return base  # `front:` under networks adds nothing to what is known of it
    if isinstance(base, Table) and isinstance(over, Table) and pattern not in REPLACED:
        return _merged_tables(base, over, path)
    if isinstance(base, Items) and isinstance(over, Items) and pattern == _BLOCKS:
        return over.of(_merged_blocks(base, over, path))
    if isinstance(base, Items) and isinstance(over, Items) and pattern not in REPLACED:
        nodes = (*base.nodes, *_settled_items(over, path))
        return over.of(_unique(nodes, IDENTITIES.get(pattern)))
    return settled(over, path)


def _merged_blocks(base: Items, over: Items, path: Path) -> tuple[Node, ...]:
    """Blocks of addresses are the same when their subnet is, and then merge."""
    blocks: dict[str, Node] = {text_of(table_of(block).nodes.get("subnet")): block for block in base.nodes}
    for block in _settled_items(over, path):
        subnet = text_of(table_of(block).nodes.get("subnet"))
        below = blocks.get(subnet)
        blocks[subnet] = (merged(below, block, (*path, 0)) or block) if below is not None else block
    return tuple(blocks.values())


def without_silence(document: Table, earlier: Table) -> Table:
    """Return a file without the services and keys of services that it leaves empty and that earlier files have.

    An empty command is not silence: it takes the earlier one away.
    """
    services = table_of(document.nodes.get("services"))
    known = table_of(earlier.nodes.get("services"))
    nodes: dict[str, Node] = {}
    for name, service in services.nodes.items():
        below = table_of(known.nodes.get(name)).nodes
        if below and _silent(service):
            continue
        if below and isinstance(service, Table):
            gone = [key for key, node in service.nodes.items() if key in below and _silent(node)]
            service = service.without(*(key for key in gone if key not in ("command", "entrypoint")))  # noqa: PLW2901
        nodes[name] = service
    return document.having(services=services.of(nodes)) if known.nodes and services.nodes else document


def _silent(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None and node.mark is Mark.MERGE


def settled(node: Node, path: Path = ()) -> Node:
    """Return `node` as it stands when nothing is below it: marks done away with, double elements made one."""
    match node:
        case Scalar():
            return node if node.mark is Mark.MERGE else replace(node, mark=Mark.MERGE)
        case Items():
            nodes = _unique(_settled_items(node, path), IDENTITIES.get(_pattern(path)))
            return Items(nodes, node.place)
        case Table():
            kept = {key: item for key, item in node.nodes.items() if item.mark is not Mark.RESET}
            entries = {key: settled(item, (*path, key)) for key, item in kept.items()}
            return Table(entries, node.place)


def _settled_items(node: Items, path: Path) -> tuple[Node, ...]:
    kept = (item for item in node.nodes if item.mark is not Mark.RESET)
    return tuple(settled(item, (*path, at)) for at, item in enumerate(kept))


def _merged_tables(base: Table, over: Table, path: Path) -> Table:
    if _pattern(path) == ("services", "*", "logging"):
        base = _same_driver(base, over)
    nodes = dict(base.nodes)
    for key, item in over.nodes.items():
        below = nodes.get(key)
        if below is None:
            result = None if item.mark is Mark.RESET else settled(item, (*path, key))
        else:
            result = merged(below, item, (*path, key))
        if result is None:
            nodes.pop(key, None)
        else:
            nodes[key] = result
    return replace(base, nodes=nodes, place=over.place)


def _same_driver(base: Table, over: Table) -> Table:
    """Return a logging record without options when the other one has another driver, for which they mean nothing."""
    drivers = {text_of(table.nodes.get("driver")) for table in (base, over)} - {""}
    return base.without("options") if len(drivers) > 1 else base


def _unique(nodes: tuple[Node, ...], identity: Identity | None) -> tuple[Node, ...]:
    if identity is None:
        return nodes
    found: dict[Hashable, Node] = {}
    for node in nodes:
        found[identity(node)] = node
    return tuple(found.values())


def _pattern(path: Path) -> Pattern:
    """Return a path with the names that a file gives replaced by `*`, which is every second part of the known ones."""
    parts = [str(part) for part in path]
    if len(parts) > 1 and parts[0] in ("services", "networks", "volumes", "secrets", "configs"):
        parts[1] = "*"
    if len(parts) > 3 and parts[2] in ("ulimits", "extra_hosts", "networks"):
        parts[3] = "*"
    if len(parts) > 4 and parts[3] in ("ulimits", "extra_hosts"):
        parts[4] = "*"
    return tuple(parts)
