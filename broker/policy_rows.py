"""The rows of an owner's policy: what may be allowed, and what an entry of a row covers. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from broker.appspec_values import later

Entry = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Listed = Annotated[tuple[Entry, ...], Field(max_length=64)]
Namespace = Literal["pid", "ipc", "uts", "userns", "cgroup"]

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


class Rows(BaseModel):
    """What apps may ask of a device. The defaults deny. Rows that this version does not know are kept, and deny too."""

    model_config = ConfigDict(frozen=True, extra="allow")

    allow_privileged: bool = later(False)
    allow_privileged_hooks: bool = later(False)
    allow_host_network: bool = later(False)
    allow_host_namespaces: tuple[Namespace, ...] = later(())
    allow_devices: Listed = later(())
    allow_device_cgroup_rules: Listed = later(())
    allow_device_requests: bool = later(False)
    allow_capabilities: Listed = later(())
    allow_bind_prefixes: Listed = later(())
    allow_engine_socket: bool = later(False)
    allow_security_opt: Listed = later(())
    allow_sysctls: Listed = later(())
    allow_runtimes: Listed = later(())
    allow_cgroup_parents: Listed = later(())
    allow_annotations: Listed = later(())
    allow_ports: Listed = later(())
    allow_subnets: Listed = later(())
    allow_network_drivers: Listed = later(())
    allow_external_networks: Listed = later(())
    allow_external_volumes: Listed = later(())
    allow_containers: Listed = later(())
    allow_logging_drivers: Listed = later(())
    allow_display: bool = later(False)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The names of rows that this version does not know."""
        return tuple(sorted(self.model_extra or {}))

    def covers(self, row: str, asked: str) -> bool:
        """Return whether an entry of a listed row allows `asked`, or all that `asked` as an entry would allow."""
        covers = _COVERS.get(row, _matches)
        return any(covers(entry, asked) for entry in getattr(self, row))

    def entries(self) -> Iterator[tuple[str, str]]:
        """Yield each (row, entry) that is allowed; the entry of a row without entries is empty."""
        for row in Rows.model_fields:
            value = getattr(self, row)
            if value is True:
                yield row, ""
            elif value:
                yield from ((row, entry) for entry in value)

    def with_more(self, more: Rows) -> Self:
        """Return these rows, widened by others."""
        added: dict[str, Any] = {}
        for row in Rows.model_fields:
            mine, theirs = getattr(self, row), getattr(more, row)
            added[row] = (mine or theirs) if isinstance(mine, bool) else (*mine, *(e for e in theirs if e not in mine))
        return self.model_copy(update=added)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield (row, why) for what could never allow anything: a slip of the pen."""
        yield from ((row, "there is no such row") for row in self.unknown)
        for row, entry in self.entries():
            why = _MISTAKES.get(row, _no_mistake)(entry)
            if why:
                yield row, f"{entry!r} {why}"


def _matches(entry: str, asked: str) -> bool:
    """Return whether `asked` is the entry, or begins as an entry with a star at its end does."""
    return asked == entry or (entry.endswith("*") and asked.startswith(entry[:-1]))


def _device(entry: str, asked: str) -> bool:
    """Return whether a device is the entry's: a star stands for a name or its end, not for folders."""
    if asked == entry or not entry.endswith("*") or not asked.startswith(entry[:-1]):
        return asked == entry
    name = asked[len(entry) - 1 :]
    return bool(name) and "/" not in name and name not in (".", "..")


def _inside(entry: str, asked: str) -> bool:
    return ".." not in PurePosixPath(asked).parts and PurePosixPath(asked).is_relative_to(entry)


def _capability(entry: str, asked: str) -> bool:
    return _short(entry) == _short(asked)


def _short(capability: str) -> str:
    """Return a capability as Compose files spell it: kernel and people also write CAP_NET_ADMIN or net_admin."""
    return capability.upper().removeprefix("CAP_")


def _ports(entry: str, asked: str) -> bool:
    wide, narrow = _span(entry), _span(asked)
    return wide is not None and narrow is not None and wide[0] <= narrow[0] and narrow[1] <= wide[1]


def _span(text: str) -> tuple[int, int] | None:
    match = _PORTS.fullmatch(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return (first, last) if 1 <= first <= last <= 65535 else None


def _subnet(entry: str, asked: str) -> bool:
    wide, narrow = _addresses(entry), _addresses(asked)
    if isinstance(narrow, IPv4Network):
        return isinstance(wide, IPv4Network) and narrow.subnet_of(wide)
    return isinstance(wide, IPv6Network) and isinstance(narrow, IPv6Network) and narrow.subnet_of(wide)


def _addresses(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


_COVERS: Mapping[str, Callable[[str, str], bool]] = {
    "allow_devices": _device,
    "allow_bind_prefixes": _inside,
    "allow_capabilities": _capability,
    "allow_ports": _ports,
    "allow_subnets": _subnet,
}


def _no_mistake(entry: str) -> str:
    return ""


def _path_mistake(entry: str) -> str:
    right = entry.startswith("/") and ".." not in PurePosixPath(entry).parts
    return "" if right else "is no absolute path of the device"


_MISTAKES: Mapping[str, Callable[[str], str]] = {
    "allow_devices": lambda entry: "" if "=" in entry else _path_mistake(entry),
    "allow_bind_prefixes": _path_mistake,
    "allow_ports": lambda entry: "" if _span(entry) else "is no port, and no range such as 8000-8099",
    "allow_subnets": lambda entry: "" if _addresses(entry) else "is no range of addresses",
}
