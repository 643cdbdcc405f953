"""What came to the Engine API after 1.41, the oldest we speak: an older engine would ignore it unseen. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from device.engine.port import WantedContainer


def older(api: str, than: str) -> bool:
    """Return whether one version of the Engine API came before another."""
    return _numbers(api) < _numbers(than)


def _numbers(api: str) -> tuple[int, ...]:
    return tuple(int(number) for number in api.split("."))


def unknown_to(container: WantedContainer, api: str) -> list[str]:
    """Return what `container` asks that an engine of this API version would leave out without a word."""
    return [what for what, since in _needs(container) if older(api, since)]


def _needs(container: WantedContainer) -> Iterator[tuple[str, str]]:
    if container.spec.annotations:
        yield "annotations", "1.43"
    for mount in container.mounts:
        if mount.recursive in ("writable", "readonly"):
            yield f"mount {mount.target}: recursive {mount.recursive}", "1.44"
        if mount.subpath:
            yield f"mount {mount.target}: subpath", "1.45"
    for at, (network, attachment) in enumerate(container.attachments.items()):
        if attachment.mac_address and at > 0:
            yield f"network {network}: mac_address on another network than the first", "1.44"
        if attachment.gw_priority:
            yield f"network {network}: gw_priority", "1.48"
        if attachment.interface_name:
            yield f"network {network}: interface_name", "1.49"
