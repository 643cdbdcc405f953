"""Writes bundles: envelopes as the cloud gave them, blobs as the registry has them."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from broker.bundle import Entry, Index, Writer
from broker.channels import DESIRED, TRUST
from broker.clock import Clock
from broker.oci import CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX, Manifest, parse_manifest
from cloud.cli.answers import Bundle, Bundled, Image
from cloud.cli.blobs import Registry
from cloud.cli.errors import RequestRefused
from cloud.cli.progress import shown_progress
from compose.local_engine import Progress


def write(output: Path, bundle: Bundle, registry: Registry, *, delta: bool, clock: Clock) -> int:
    """Write the file whole or not at all; return its size."""
    partial = output.with_name(output.name + ".part")
    try:
        with partial.open("wb") as file, shown_progress(clock) as progress:
            writer = Writer(file, Index(made_ms=clock.wall_ms(), devices=tuple(map(_entry, bundle.devices))))
            for one in bundle.devices:
                writer.envelope(one.device, TRUST, base64.b64decode(one.trust))
                writer.envelope(one.device, DESIRED, base64.b64decode(one.desired))
            manifests = _Manifests(registry)
            for digest, data in _small(bundle.devices, manifests, registry).items():
                writer.blob(digest, len(data), (data,))
            layers = _layers(bundle.devices, manifests, delta=delta)
            done, total = 0, sum(size for _, size in layers.values())
            for digest, (repository, size) in layers.items():
                progress(Progress(output.name, "pull", done, total))
                writer.blob(digest, size, registry.chunks(repository, digest, size))
                done += size
            writer.finish()
            file.flush()
            os.fsync(file.fileno())
        size = partial.stat().st_size
        partial.replace(output)
    except OSError as error:
        raise RequestRefused("not_written", f"cannot write {output}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return size


def _entry(one: Bundled) -> Entry:
    return Entry(org=one.org, device=one.device, name=one.name, era=one.era, generation=one.generation)


class _Manifests:
    """Manifests of the registry, each read once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[bytes, Manifest]] = {}

    def of(self, image: Image) -> tuple[bytes, Manifest]:
        if image.digest not in self._known:
            data = self._registry.manifest(image.repository, image.digest, size_max=MANIFEST_BYTES_MAX)
            parsed = parse_manifest(data)
            if not isinstance(parsed, Manifest):
                raise RequestRefused("bad_manifest", f"{image.digest} names several images: a release names one")
            self._known[image.digest] = (data, parsed)
        return self._known[image.digest]


def _small(devices: Sequence[Bundled], manifests: _Manifests, registry: Registry) -> Mapping[str, bytes]:
    """Return every manifest and config."""
    found: dict[str, bytes] = {}
    for image in (image for one in devices for image in one.images):
        data, manifest = manifests.of(image)
        config = manifest.config.digest
        found[image.digest] = data
        if config not in found:
            found[config] = registry.small(image.repository, config, size_max=CONFIG_BYTES_MAX)
    return found


def _layers(devices: Sequence[Bundled], manifests: _Manifests, *, delta: bool) -> Mapping[str, tuple[str, int]]:
    """Return the layers that some device needs: its repository and size by digest, the smallest first."""
    found: dict[str, tuple[str, int]] = {}
    for one in devices:
        held = {layer.digest for image in one.holds for layer in manifests.of(image)[1].layers} if delta else set()
        for image in one.images:
            for layer in manifests.of(image)[1].layers:
                if layer.digest not in held:
                    found[layer.digest] = (image.repository, layer.size)
    return dict(sorted(found.items(), key=lambda item: (item[1][1], item[0])))
