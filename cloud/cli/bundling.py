"""Writes bundles: envelopes as the cloud gave them, blobs as the registry has them."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from broker.bundle import ARTIFACTS_MAX, Entry, Index, Writer
from broker.channels import DESIRED, TRUST
from broker.clock import Clock
from broker.errors import Refused
from broker.oci import (
    CONFIG_BYTES_MAX,
    MANIFEST_BYTES_MAX,
    Manifest,
    Patch,
    parse_config,
    parse_manifest,
    parse_patches,
    parse_referrers,
    referrers_tag,
)
from cloud.cli.answers import Bundle, Bundled, Image
from cloud.cli.blobs import Registry
from cloud.cli.errors import RequestRefused
from cloud.cli.progress import shown_progress
from compose.local_engine import Progress


@dataclass(frozen=True)
class Written:
    """A file that was written: its size, and how many layers came as they are, and how many as patches."""

    size: int
    layers: int
    patches: int


def write(output: Path, bundle: Bundle, registry: Registry, *, delta: bool, clock: Clock) -> Written:
    """Write the file whole or not at all."""
    partial = output.with_name(output.name + ".part")
    try:
        with partial.open("wb") as file, shown_progress(clock) as progress:
            found = packed(bundle.devices, registry, delta=delta)
            devices = tuple(map(_entry, bundle.devices))
            writer = Writer(file, Index(made_ms=clock.wall_ms(), devices=devices, patches=found.artifacts))
            for one in bundle.devices:
                writer.envelope(one.device, TRUST, base64.b64decode(one.trust))
                writer.envelope(one.device, DESIRED, base64.b64decode(one.desired))
            for digest, data in found.small.items():
                writer.blob(digest, len(data), (data,))
            done, total = 0, sum(size for _, size in found.large.values())
            for digest, (repository, size) in found.large.items():
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
    return Written(size, len(found.layers), len(found.patches))


def _entry(one: Bundled) -> Entry:
    return Entry(org=one.org, device=one.device, name=one.name, era=one.era, generation=one.generation)


class _Images:
    """Images of the registry, each read once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, _Read] = {}

    def of(self, image: Image) -> _Read:
        if image.digest not in self._known:
            data = self._registry.manifest(image.repository, image.digest, size_max=MANIFEST_BYTES_MAX)
            parsed = parse_manifest(data)
            if not isinstance(parsed, Manifest):
                raise RequestRefused("bad_manifest", f"{image.digest} names several images: a release names one")
            config = self._registry.small(image.repository, parsed.config.digest, size_max=CONFIG_BYTES_MAX)
            self._known[image.digest] = _Read(data, parsed, config, parse_config(config).diff_ids)
        return self._known[image.digest]

    def patches(self, image: Image) -> dict[str, tuple[bytes, tuple[Patch, ...]]]:
        """Return the artifacts with patches to an image, by digest; none where they make no sense."""
        tag = referrers_tag(image.digest)
        index = self._registry.listing(image.repository, tag, size_max=MANIFEST_BYTES_MAX)
        found = {}
        try:
            for each in () if index is None else parse_referrers(index)[-ARTIFACTS_MAX:]:
                data = self._registry.manifest(image.repository, each.digest, size_max=MANIFEST_BYTES_MAX)
                found[each.digest] = (data, parse_patches(data))
        except Refused:
            return {}
        return found


@dataclass(frozen=True)
class _Read:
    data: bytes
    manifest: Manifest
    config: bytes
    diff_ids: tuple[str, ...]


@dataclass
class Packed:
    """What a bundle has of images: manifests, configs and artifacts by digest, and where its large blobs come from."""

    small: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, tuple[str, int]] = field(default_factory=dict)  # repository and size, by digest
    patches: dict[str, tuple[str, int]] = field(default_factory=dict)
    artifacts: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by the image that they are to

    @property
    def large(self) -> Mapping[str, tuple[str, int]]:
        """Return layers and patches, the smallest first."""
        return dict(sorted((self.layers | self.patches).items(), key=lambda item: (item[1][1], item[0])))


def packed(devices: Sequence[Bundled], registry: Registry, *, delta: bool) -> Packed:
    """Return what some devices need: all there is, or by `delta` what each lacks beside the images it holds.

    A layer that all can make of a patch comes as that.
    """
    images, found = _Images(registry), Packed()
    wanted: dict[str, tuple[Image, str, int]] = {}  # layer -> its image, diff id and size
    bases: dict[str, list[set[str]]] = {}  # layer -> what each device that needs it can patch from
    for one in devices:
        held = [images.of(image) for image in one.holds] if delta else []
        layers = {layer.digest for each in held for layer in each.manifest.layers}
        tars = {diff_id for each in held for diff_id in each.diff_ids}
        for image in one.images:
            read = images.of(image)
            found.small |= {image.digest: read.data, read.manifest.config.digest: read.config}
            for layer, diff_id in zip(read.manifest.layers, read.diff_ids, strict=True):
                if layer.digest not in layers:
                    wanted[layer.digest] = (image, diff_id, layer.size)
                    bases.setdefault(layer.digest, []).append(tars)
    for digest, (image, diff_id, size) in wanted.items():
        chosen = _patch(images.patches(image) if all(bases[digest]) else {}, diff_id, bases[digest], size)
        if chosen is None:
            found.layers[digest] = (image.repository, size)
            continue
        artifact, data, patch = chosen
        found.small[artifact] = data
        found.patches[patch.digest] = (image.repository, patch.size)
        found.artifacts[image.digest] = tuple({*found.artifacts.get(image.digest, ()), artifact})
    return found


def _patch(
    artifacts: Mapping[str, tuple[bytes, tuple[Patch, ...]]], diff_id: str, bases: Sequence[set[str]], size: int
) -> tuple[str, bytes, Patch] | None:
    """Return the smallest patch to a layer that every device can use, and its artifact."""
    fitting = [
        (artifact, data, patch)
        for artifact, (data, patches) in artifacts.items()
        for patch in patches
        if patch.result == diff_id and patch.size < size and all(patch.base in tars for tars in bases)
    ]
    return min(fitting, key=lambda each: each[2].size, default=None)
