"""Networks and volumes of a project to those of an AppSpec. Pure."""

from __future__ import annotations

from functools import partial

from broker import appspec
from compose.errors import Unsupported
from compose.project import IpamConfig, Network, Volume
from compose.specified import specified

_LAN_DRIVERS = ("macvlan", "ipvlan")


def network_spec(name: str, network: Network) -> appspec.Network:
    path = ("networks", name)
    if network.external:
        return specified((*path, "external"), lambda: appspec.Network(external=network.name))
    if network.driver not in ("", "bridge", "default", *_LAN_DRIVERS):
        raise Unsupported(
            f"the driver {network.driver[:40]!r} does not run on one device; use bridge", path=(*path, "driver")
        )
    if network.ipam.driver not in ("", "default"):
        raise Unsupported("must be default", path=(*path, "ipam", "driver"))
    if not network.enable_ipv4:
        raise Unsupported("must be true", path=(*path, "enable_ipv4"))
    blocks = network.ipam.config
    for at, block in enumerate(blocks):
        if not block.subnet:
            raise Unsupported("needs a subnet", path=(*path, "ipam", "config", at))
    simple = len(blocks) == 1 and not blocks[0].ip_range and not blocks[0].aux_addresses
    pools = [specified((*path, "ipam", "config", at), partial(_pool, block)) for at, block in enumerate(blocks)]
    return specified(
        path,
        lambda: appspec.Network(
            driver=network.driver if network.driver in _LAN_DRIVERS else "bridge",  # type: ignore[arg-type]
            internal=network.internal,
            labels=network.labels,
            options=network.driver_opts,
            subnet=pools[0].subnet if simple else "",
            gateway=pools[0].gateway if simple else "",
            pools=() if simple else tuple(pools),
            ipam_options=network.ipam.options,
            enable_ipv6=network.enable_ipv6,
        ),
    )


def _pool(block: IpamConfig) -> appspec.Pool:
    return appspec.Pool(
        subnet=block.subnet, gateway=block.gateway, ip_range=block.ip_range, aux_addresses=block.aux_addresses
    )


def volume_spec(name: str, volume: Volume) -> appspec.Volume:
    if volume.external:
        return specified(("volumes", name, "external"), lambda: appspec.Volume(external=volume.name))
    if volume.driver not in ("", "local", "default"):
        message = f"the driver {volume.driver[:40]!r} is not on devices; use local"
        raise Unsupported(message, path=("volumes", name, "driver"))
    return specified(("volumes", name), lambda: appspec.Volume(options=volume.driver_opts, labels=volume.labels))
