"""The short form of memory mounts: `tmpfs: /run:size=64m,mode=755`. Pure."""

from __future__ import annotations

import posixpath
from functools import partial

from broker import appspec
from compose.errors import Path, Unsupported
from compose.forms.values import mode, size
from compose.specified import specified
from compose.tree import Scalar

_STANDARD = frozenset({"rw", "noexec", "nosuid", "nodev", "noatime"})  # what engines set, or what changes nothing


def tmpfs_mount(written: str, path: Path) -> appspec.Mount:
    """Return the mount that a short form stands for."""
    target, _, options = written.partition(":")
    if not target.startswith("/"):
        raise Unsupported(f"{target[:80]!r} must be an absolute path", path=path)
    values: dict[str, int] = {}
    read_only = executable = False
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key in ("size", "mode") and value:
            shape = size if key == "size" else mode
            number = shape(Scalar(value, value), path)
            assert isinstance(number, Scalar)
            assert isinstance(number.value, int)
            values[key] = number.value
        elif key in ("uid", "gid") and value.isdecimal():
            values[key] = int(value)
        elif option == "exec":
            executable = True
        elif option == "ro":
            read_only = True
        elif option not in _STANDARD:
            raise Unsupported(
                f"the option {option[:40]!r} is not possible on a device; use size, mode, uid, gid, exec, ro", path=path
            )
    make = partial(
        appspec.Mount,
        type="tmpfs",
        target=posixpath.normpath(target),
        read_only=read_only,
        tmpfs_size=values.get("size") or None,
        tmpfs_mode=values.get("mode"),
        tmpfs_uid=values.get("uid"),
        tmpfs_gid=values.get("gid"),
        tmpfs_exec=executable,
    )
    return specified(path, make)
