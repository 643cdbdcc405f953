"""What each running container of ours uses, as samples: asked of the engine once each."""

from __future__ import annotations

from collections.abc import Sequence

from device.engine.port import Engine


def measured(engine: Engine) -> Sequence[dict[str, str]]:
    """Return the fields of a sample for each container that runs. Raises `EngineUnavailable`."""
    found = []
    for container in engine.containers():
        usage = engine.usage(container.id) if container.state == "running" else None
        if usage is None:
            continue
        used = {
            "cpu_s": usage.cpu_s,
            "memory_bytes": usage.memory_bytes,
            "net_received_bytes": usage.received_bytes,
            "net_sent_bytes": usage.sent_bytes,
        }
        who = {"instance": container.instance, "service": container.slot, "container": container.id[:12]}
        found.append(who | {name: str(value) for name, value in used.items() if value is not None})
    return found
