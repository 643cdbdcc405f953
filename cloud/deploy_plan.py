"""What deploying a release would do to one device: bytes, time, disk, services. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from broker.appspec import AppSpec, Image, Service

# Of how a service is started, replaced and ended a change makes no other container: the same list as the device's.
NOT_IN_A_CONTAINER = {"update", "rollback", "replicas", "post_start", "pre_stop", "depends_on", "restart"}

Layers = Mapping[str, int]  # size by digest


@dataclass(frozen=True)
class Known:
    """What is known of a device. `running`: the app's release that it has said to run; `held`: images of all."""

    running: AppSpec | None
    held: Collection[str]
    rate_bytes_s: int | None
    disk_free_bytes: int | None


@dataclass(frozen=True)
class Bytes:
    """Of all layers of a release: those that are there, those to move, and what patches would move in their place."""

    present: int
    layers: int
    delta: int | None
    unpacked: int


def planned(
    spec: AppSpec,
    known: Known,
    *,
    layers_of: Mapping[str, Layers],
    patches: Mapping[tuple[str, str], int],
    other_variables: bool,
) -> dict[str, Any]:
    """Return the plan for one device. `patches` is bytes by (image, base)."""
    found = _bytes(spec, known, layers_of, patches)
    services = _services(spec, known.running, other_variables=other_variables)
    free = known.disk_free_bytes
    to_move = found.layers if found.delta is None else found.delta
    return {
        "bytes": {"present": found.present, "layers": found.layers, "delta": found.delta},
        "seconds": None if not known.rate_bytes_s else -(-to_move // known.rate_bytes_s),
        "rate_bytes_s": known.rate_bytes_s,
        "disk_free_bytes": free,
        "disk_after_bytes": None if free is None else free - found.layers - found.unpacked,
        **services,
    }


def _bytes(
    spec: AppSpec, known: Known, layers_of: Mapping[str, Layers], patches: Mapping[tuple[str, str], int]
) -> Bytes:
    there = {digest for image in known.held for digest in layers_of.get(image, {})}
    images: dict[str, Image] = {service.image.digest: service.image for service in spec.services.values()}
    every = {digest: size for image in images for digest, size in layers_of.get(image, {}).items()}
    moved: set[str] = set()
    unpacked, delta, patched = 0, 0, False
    for digest, image in sorted(images.items()):
        layers = layers_of.get(digest, {})
        new = {layer: size for layer, size in layers.items() if layer not in there | moved}
        moved |= new.keys()
        size, whole = sum(new.values()), sum(layers.values())
        unpacked += image.unpacked_bytes * size // whole if whole else 0  # of single layers nothing is known here
        smaller = [patches[digest, base] for base in known.held if (digest, base) in patches]
        best = min([size, *smaller])
        delta, patched = delta + best, patched or best < size
    present = sum(size for layer, size in every.items() if layer in there)
    layers_bytes = sum(every[layer] for layer in moved)
    return Bytes(present, layers_bytes, delta if patched else None, unpacked)


def _services(spec: AppSpec, running: AppSpec | None, *, other_variables: bool) -> dict[str, list[str]]:
    """Return which services would start, restart, stop, and stay as they are."""
    before = {} if running is None else running.services
    changed = {
        name
        for name, service in spec.services.items()
        if name in before and (other_variables or _container(service) != _container(before[name]))
    }
    while True:  # who asks to be started again with a service it depends on
        more = {
            name
            for name, service in spec.services.items()
            if name in before and any(one.restart and other in changed for other, one in service.depends_on.items())
        }
        if more <= changed:
            break
        changed |= more
    return {
        "starts": sorted(spec.services.keys() - before.keys()),
        "restarts": sorted(changed),
        "stops": sorted(before.keys() - spec.services.keys()),
        "stays": sorted(spec.services.keys() & before.keys() - changed),
    }


def _container(service: Service) -> dict[str, Any]:
    return service.model_dump(mode="json", exclude_defaults=True, exclude=NOT_IN_A_CONTAINER)
