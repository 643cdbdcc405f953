"""Mounts and devices: `./data:/data:ro`, `/dev/ttyUSB0:/dev/ttyS0` and the long forms, to one record each. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace

from compose.errors import Path
from compose.forms.values import flag, mode, pairs, size, text
from compose.shapes import Shape, mistyped, one_of, record, wrong
from compose.tree import Node, Plain, Scalar, Table, grown, text_of

PROPAGATIONS = ("shared", "slave", "private", "rshared", "rslave", "rprivate")
OPTIONS = frozenset({"ro", "rw", "z", "Z", "nocopy", *PROPAGATIONS})
_DRIVE = re.compile(r"[a-zA-Z]:(?=\\|/[^:]*:/)")  # of a path of Windows; `a:/data` is a volume that is called a


def _normal(path: str) -> str:
    """Return a container path without double and trailing slashes."""
    return re.sub("^//+", "/", posixpath.normpath(path)) if path else path


def _finished(node: Node, path: Path) -> Node:
    assert isinstance(node, Table)
    target = node.nodes.get("target")
    if not isinstance(target, Scalar):
        return node
    return node.having(target=replace(target, value=_normal(text_of(target))))


_LONG = record(
    {
        "type": one_of("bind", "volume", "tmpfs", "cluster", "npipe", "image"),
        "source": text,
        "target": text,
        "read_only": flag,
        "consistency": text,
        "bind": record(
            {
                "propagation": one_of(*PROPAGATIONS),
                "create_host_path": flag,
                "recursive": one_of("enabled", "disabled", "writable", "readonly"),
                "selinux": one_of("z", "Z"),
            }
        ),
        "volume": record({"labels": pairs(), "nocopy": flag, "subpath": text}),
        "tmpfs": record({"size": size, "mode": mode}),
        "image": record({"subpath": text}),
    },
    finish=_finished,
)


def mount(node: Node, path: Path) -> Node:
    """A mount of any kind, as its long form."""
    if isinstance(node, Table):
        return _LONG(node, path)
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        raise mistyped(node, path, "a text such as ./data:/data or a mapping")
    return _short(node, node.value, path)


def _short(node: Scalar, written: str, path: Path) -> Node:
    parts = mount_parts(written)
    if len(parts) > 3 or not all(parts):
        raise wrong(node, path, f"{written[:60]!r} is not a mount; the form is source:target:options")
    if len(parts) == 1:
        return grown({"type": "volume", "target": _normal(parts[0]), "volume": {}}, node.place)
    source = parts[0]
    bind = source[0] in "./~\\" or _DRIVE.match(written) is not None
    values: dict[str, Plain] = {"type": "bind" if bind else "volume", "source": source, "target": _normal(parts[1])}
    detail: dict[str, dict[str, Plain]] = {"bind" if bind else "volume": {}}
    for option in parts[2].split(",") if len(parts) == 3 else ():
        _set_option(option, values, detail)
    return grown({**values, **detail}, node.place)


def mount_parts(written: str) -> list[str]:
    """Return the parts of a short mount. The colon of a drive (`C:\\data:/data`) separates nothing."""
    drive = _DRIVE.match(written)
    if drive is None:
        return written.split(":")
    source, *others = written[drive.end() :].split(":")
    return [drive[0] + source, *others]


def _set_option(option: str, values: dict[str, Plain], detail: dict[str, dict[str, Plain]]) -> None:
    """Carry out an option. Others have no effect, as in other Compose tools; `compose/doubts.py` tells of them."""
    match option:
        case "ro" | "rw":
            values |= {"read_only": True} if option == "ro" else {}
        case "z" | "Z":
            detail.setdefault("bind", {})["selinux"] = option
        case "nocopy":
            detail.setdefault("volume", {})["nocopy"] = True
        case _ if option in PROPAGATIONS:
            detail.setdefault("bind", {})["propagation"] = option


_DEVICE = record({"source": text, "target": text, "permissions": text})


def device(node: Node, path: Path) -> Node:
    """A device of the host, as its long form."""
    if isinstance(node, Table):
        return _DEVICE(node, path)
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        raise mistyped(node, path, "a text such as /dev/ttyUSB0:/dev/ttyUSB0 or a mapping")
    parts = node.value.split(":")
    if len(parts) > 3 or not all(parts):
        raise wrong(node, path, f"{node.value[:60]!r} is not a device; the form is source:target:permissions")
    source = parts[0]
    target = source
    permissions = "rwm"
    match parts[1:]:
        case [target]:
            pass
        case [target, permissions]:
            pass
    return grown({"source": source, "target": target, "permissions": permissions}, node.place)


def file_reference() -> Shape:
    """Return the shape of a secret or config that a service gets: a name, or a mapping."""
    long = record({"source": text, "target": text, "uid": text, "gid": text, "mode": mode})

    def shape(node: Node, path: Path) -> Node:
        if isinstance(node, Table):
            return long(node, path)
        name = text(node, path)
        return Table({"source": name}, node.place)

    return shape
