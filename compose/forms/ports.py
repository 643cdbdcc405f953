"""Ports: `"8080:80"`, `"127.0.0.1:5000-5010:5000-5010/udp"` and the long form, to one record for each port. Pure."""

from __future__ import annotations

import ipaddress
import re

from compose.errors import Path
from compose.forms.values import text, text_or_number, whole
from compose.shapes import mistyped, record, wrong
from compose.tree import Items, Node, Scalar, Table, text_of

_SHORT = re.compile(
    r"(?:(?P<host_ip>\[[0-9a-fA-F:.%]+\]|[0-9a-fA-F:]+:[0-9a-fA-F.]*|[0-9.]*):(?=[^:]*:[^:]*$))?"
    r"(?:(?P<published>[0-9]*(?:-[0-9]+)?):)?(?P<target>[0-9]+(?:-[0-9]+)?)(?:/(?P<protocol>[a-zA-Z]+))?"
)
_EXPOSED = re.compile(r"(?P<ports>[0-9]+(?:-[0-9]+)?)(?:/(?P<protocol>[a-zA-Z]+))?")
_RANGE_MAX = 2048  # each port of a range is a record of its own; more is a mistake, and a burden for a small device
_PROTOCOLS = ("tcp", "udp", "sctp")
_LONG = record(
    {
        "name": text,
        "mode": text,
        "host_ip": text,
        "target": whole,
        "published": text_or_number,
        "protocol": text,
        "app_protocol": text,
    }
)


def port_count(node: Node | None) -> int:
    """Return how many ports a list of short forms stands for, before it is checked."""
    count = 0
    for item in node.nodes if isinstance(node, Items) else ():
        match = _SHORT.fullmatch(text_of(item).strip()) if "-" in text_of(item) else None
        first, _, last = match["target"].partition("-") if match else ("", "", "")
        count += int(last) - int(first) + 1 if last and len(first) <= 5 and len(last) <= 5 else 1
    return count


def ports(node: Node, path: Path) -> Node:
    """A list of ports; a range becomes one record for each port."""
    if not isinstance(node, Items):
        raise mistyped(node, path, "a list")
    records: list[Node] = []
    for at, item in enumerate(node.nodes):
        where = (*path, at)
        if isinstance(item, Table):
            records.append(_long(item, where))
        elif isinstance(item, Scalar) and isinstance(item.value, str | int) and not isinstance(item.value, bool):
            records.extend(_short(item, where))
        else:
            raise wrong(item, where, 'must be a port such as "8080:80"; put it in quotes')
    return node.of(tuple(records))


def exposed(node: Node, path: Path) -> Node:
    """A port or range of ports inside the app, as a text."""
    result = text_or_number(node, path)
    match = _EXPOSED.fullmatch(text_of(result))
    if match is None:
        raise wrong(node, path, f'must be a port such as "3000" or "3000/udp", not {text_of(result)[:40]!r}')
    _span(match["ports"], node, path)
    _protocol(match["protocol"], node, path)
    return result


def _short(item: Scalar, path: Path) -> list[Node]:
    written = str(item.value)
    match = _SHORT.fullmatch(written.strip())
    if match is None:
        form = '"[address:][host port:]container port[/protocol]"'
        raise wrong(item, path, f"{written[:60]!r} is not a port; the form is {form}")
    targets = _span(match["target"], item, path)
    if 0 in targets:
        raise wrong(item, path, f"{written[:60]!r} has no container port; 0 is none")
    published = _published(match["published"] or "", len(targets), item, path)
    host_ip = _address((match["host_ip"] or "").strip("[]"), item, path)
    protocol = _protocol(match["protocol"], item, path)
    pairs = sorted(zip(targets, published, strict=True), key=lambda pair: str(pair[0]))  # as texts: 10 before 9
    return [_port(item, target=target, published=host, host_ip=host_ip, protocol=protocol) for target, host in pairs]


def _published(written: str, count: int, item: Node, path: Path) -> list[str]:
    if not written:
        return [""] * count
    hosts = _span(written, item, path)
    if len(hosts) == count:
        return [str(host) for host in hosts]
    if count == 1:
        return [written]  # any free port of the range
    raise wrong(item, path, f"the range {written} and the range of container ports differ in length")


def _span(written: str, item: Node, path: Path) -> range:
    first, _, last = written.partition("-")
    if len(first) > 5 or len(last) > 5 or not first:
        raise wrong(item, path, f"{written[:40]!r} is not a port between 1 and 65535")
    low, high = int(first), int(last or first)
    if not 0 < low <= high <= 65535 and (low, high) != (0, 0):
        raise wrong(item, path, f"{written!r} is not a port or rising range between 1 and 65535")
    if high - low >= _RANGE_MAX:
        raise wrong(item, path, f"{written!r} spans more than {_RANGE_MAX} ports; use network_mode: host instead")
    return range(low, high + 1)


def _address(written: str, item: Node, path: Path) -> str:
    if written:
        try:
            ipaddress.ip_address(written)
        except ValueError:
            raise wrong(item, path, f"{written[:40]!r} is not an IP address") from None
    return written


def _protocol(written: str | None, item: Node, path: Path) -> str:
    protocol = (written or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise wrong(item, path, f"the protocol is one of {', '.join(_PROTOCOLS)}, not {protocol[:20]!r}")
    return protocol


def _port(item: Node, *, target: int, published: str, host_ip: str, protocol: str) -> Table:
    values: dict[str, str | int] = {"mode": "ingress", "target": target, "protocol": protocol}
    values |= {"published": published} if published else {}
    values |= {"host_ip": host_ip} if host_ip else {}
    return Table({key: Scalar(value, str(value), item.place) for key, value in values.items()}, item.place, item.mark)


def _long(item: Table, path: Path) -> Node:
    long = _LONG(item, path)
    assert isinstance(long, Table)
    if "target" not in long.nodes:
        raise wrong(item, path, "has no 'target', the port inside the container")
    target = text_of(long.nodes["target"])
    published = text_of(long.nodes.get("published"))
    if not target.isdigit() or not len(_span(target, item, (*path, "target"))) >= 1 or target == "0":
        raise wrong(item, (*path, "target"), f"{target[:20]!r} is not a port between 1 and 65535")
    if published:
        if not re.fullmatch(r"[0-9]+(-[0-9]+)?", published):
            raise wrong(item, (*path, "published"), f"{published[:40]!r} is not a port or range of ports")
        _span(published, item, (*path, "published"))
    _address(text_of(long.nodes.get("host_ip")), item, (*path, "host_ip"))
    protocol = _protocol(text_of(long.nodes.get("protocol")) or None, item, (*path, "protocol"))
    mode = text_of(long.nodes.get("mode")) or "ingress"
    if mode not in ("ingress", "host"):
        raise wrong(item, (*path, "mode"), f"must be ingress or host, not {mode[:20]!r}")
    nodes = {key: node for key, node in long.nodes.items() if key != "published" or published}
    nodes["protocol"] = Scalar(protocol, protocol, item.place)
    nodes["mode"] = Scalar(mode, mode, item.place)
    return long.of(nodes)
