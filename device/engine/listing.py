"""From an engine's lists and inspections to the values of the port. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from device.engine import labels
from device.engine.port import Container, Details, Health, NetworkSeen, State, Usage

UNFINISHED = ".making"  # ends the name of a container that took more than one call, until the last of them
_EXIT = re.compile(r"\((\d+)\)")
_STATES: dict[str, State] = {
    "created": "created",
    "running": "running",
    "paused": "running",
    "restarting": "restarting",
    "removing": "restarting",  # it may not be started any more, nor its name taken: an event tells when it is gone
    "exited": "exited",
    "dead": "exited",
    "stopping": "running",
    "stopped": "restarting",  # by Podman: its process has ended, and whether it is started again is not decided yet
}


def container(item: dict[str, Any]) -> Container:
    """Return a container as a list shows it."""
    marks = item.get("Labels") or {}
    status = str(item.get("Status", ""))
    state = _STATES.get(str(item.get("State", "")).lower(), "exited")
    exit_match = _EXIT.search(status) if state in ("exited", "restarting") else None
    names = item.get("Names") or [""]
    name = str(names[0]).lstrip("/")
    return Container(
        id=str(item["Id"]),
        name=name,
        instance=str(marks.get(labels.INSTANCE, "")),
        service=str(marks.get(labels.SERVICE, "")),
        hash="" if name.endswith(UNFINISHED) else str(marks.get(labels.HASH, "")),
        state=state,
        health=_health(status) if state == "running" else "none",
        exit_code=int(exit_match[1]) if exit_match else None,
        image=str(item.get("Image", "")),
        release=str(marks.get(labels.RELEASE, "")),
        index=int(marks.get(labels.INDEX, "1")),
        restart=str(marks.get(labels.RESTART, "")),
        joined=str(marks.get(labels.JOINED, "")),
        networks=_networks(item.get("NetworkSettings")),
    )


def _networks(settings: Any) -> frozenset[str] | None:
    return frozenset(settings["Networks"] or ()) if isinstance(settings, dict) and "Networks" in settings else None


def _health(status: str) -> Health:
    """Read the health out of the list's status text: an inspect for each container would cost eight calls more."""
    if "(healthy)" in status:
        return "healthy"
    if "(unhealthy)" in status:
        return "unhealthy"
    return "starting" if "(health: starting)" in status else "none"


def network(item: dict[str, Any]) -> NetworkSeen:
    """Return a network as a list shows it."""
    marks = item.get("Labels") or {}
    return NetworkSeen(
        id=str(item["Id"]),
        name=str(item["Name"]),
        instance=str(marks.get(labels.INSTANCE, "")),
        hash=str(marks.get(labels.HASH, "")),
    )


def details(found: dict[str, Any]) -> Details:
    """Return what an inspection of a container tells besides."""
    state = found["State"]
    started = at_ns(str(state.get("StartedAt", "")))
    has_run = started is not None and started > 0
    is_running = state.get("Status") in ("running", "paused")
    return Details(
        started_at_ms=started // 1_000_000 if started is not None and has_run else None,
        restarts=int(found.get("RestartCount") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        exit_code=int(state["ExitCode"]) if has_run and not is_running else None,
        state=_STATES.get(str(state.get("Status", ""))),
    )


CUT_OFF = 255  # the exit code that Docker gives to what ran when the machine went down


def cut_off(found: dict[str, Any]) -> bool:
    """Return whether an inspection by Podman shows a container that ran when the machine went down: after a reboot it
    has that as one that is only created and yet was started, and as one without an end."""
    state = found["State"]
    started, ended = (at_ns(str(state.get(key, ""))) or 0 for key in ("StartedAt", "FinishedAt"))
    if started <= 0 or state.get("Status") not in ("created", "configured", "exited"):
        return False
    return ended <= 0 or (state["Status"] != "exited" and ended < started)


def death(event: dict[str, Any]) -> tuple[str, int | None] | None:
    """Return which container an event says has ended, and its exit code."""
    if event.get("Type") != "container" or event.get("Action") not in ("die", "died"):
        return None
    actor = event.get("Actor") or {}
    code = str((actor.get("Attributes") or {}).get("exitCode", ""))
    return str(actor.get("ID", "")), int(code) if code.isdecimal() else None


def at_ns(stamp: str) -> int | None:
    """Return the nanoseconds since 1970 of a time stamp with up to nine digits of a second; negative: never."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    whole, fraction, zone = match.groups()
    try:
        at = datetime.fromisoformat(whole + (zone if zone != "Z" else "+00:00"))
    except ValueError:
        return None
    return int(at.timestamp()) * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def usage(told: Mapping[str, Any]) -> Usage | None:
    """Return what the engine tells of a container's use; nothing of one that does not run."""
    cpu_ns = ((told.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
    memory = told.get("memory_stats") or {}
    if not cpu_ns or "usage" not in memory:
        return None
    detail = memory.get("stats") or {}
    cache = detail.get("inactive_file", detail.get("total_inactive_file", 0))  # can be had back at any time
    networks = told.get("networks")
    return Usage(
        cpu_s=round(int(cpu_ns) / 1e9, 3),
        memory_bytes=max(0, int(memory["usage"]) - int(cache)),
        received_bytes=None if networks is None else sum(int(one.get("rx_bytes", 0)) for one in networks.values()),
        sent_bytes=None if networks is None else sum(int(one.get("tx_bytes", 0)) for one in networks.values()),
    )
