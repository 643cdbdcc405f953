"""What an engine would leave out unseen of what is wanted of it; the table is `broker/engine_limits.py`. Pure."""

from __future__ import annotations

from broker import engine_limits
from device.engine.port import WantedContainer, WantedNetwork

# What Podman carries out differently, and nothing breaks by it: told by `skerry-device doctor`, not refused.
PODMAN_DIFFERS = (
    ("logging: options: max-file", "one log file is kept, of max-size"),
    ("read_only", "some folders for temporary files are memory that can be written"),
    ("restart", "a restart policy is changed by making the container anew"),
    ("pull progress", "an image's layers are told, not its bytes"),
)


def left_out(container: WantedContainer, engine: str, api: str) -> list[str]:
    """Return what `container` asks that this engine would leave out without a word."""
    return [limit.key for limit in engine_limits.left_out(container.spec, engine, api)]


def network_left_out(network: WantedNetwork, engine: str) -> list[str]:
    """Return what a network asks that this engine would leave out without a word."""
    return engine_limits.network_left_out(
        engine, pools=network.pools, ipam_options=network.ipam_options, options=network.options
    )
