"""Images at push: each is read once in the registry, so that a release names what every device will start.

The registry keeps what the builder pushed; the release names the manifest of it and the release manifest (see
`broker/oci.py`), which needs the size of every layer's tar. A layer is read to its end for that, which also shows that
it can be unpacked: what is broken is refused at push, not on a thousand devices.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from broker.appspec import AppSpec, Image
from broker.canonical import digest
from broker.errors import Refused
from broker.layers import Measured, measured
from broker.oci import (
    CONFIG_BYTES_MAX,
    MANIFEST_BYTES_MAX,
    Blob,
    Index,
    Manifest,
    parse_config,
    parse_manifest,
    release_manifest,
)

MANIFESTS_KNOWN_MAX = 2_000
LAYERS_KNOWN_MAX = 20_000  # about 200 bytes each; a layer is told by its digest, so what is known of it stays true
READING_MAX = 2  # layers at once: reading one takes a processor


class Contents(Protocol):
    """What is read of a registry. Both return None for what is not there and raise `Passing` when nobody knows."""

    def manifest(self, repository: str, digest: str, *, now_s: int) -> bytes | None: ...

    def blob(self, repository: str, digest: str, *, now_s: int) -> AbstractContextManager[Iterator[bytes] | None]: ...


class ReleaseImages:
    """Turns the images of a pushed AppSpec into those of a release."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._lock = threading.Lock()
        self._layers: OrderedDict[str, Measured] = OrderedDict()
        self._manifests: OrderedDict[str, Mapping[str, int]] = OrderedDict()
        self._reading = threading.BoundedSemaphore(READING_MAX)

    def completed(self, spec: AppSpec, *, now_s: int) -> AppSpec:
        """Return the spec with every image by manifest, release manifest and size.

        Raises `Refused` (`missing_image`, `bad_image`, `bad_platform`) naming the service, and `Passing`.
        """
        known: dict[tuple[str, str, str], Image] = {}
        services = {}
        for name, service in sorted(spec.services.items()):
            image = service.image
            key = (image.repository, image.digest, image.platform)
            try:
                if key not in known:
                    known[key] = self._completed(image, now_s)
            except Refused as error:
                reason = error.reason if error.reason in ("missing_image", "bad_platform") else "bad_image"
                raise Refused(reason, f"services.{name}.image: {error}") from error
            services[name] = service.model_copy(update={"image": known[key]})
        return spec.model_copy(update={"services": services})

    def layers(self, image: Image, *, now_s: int) -> Mapping[str, int]:
        """Return the sizes of an image's layers by digest, as they travel whole. Raises as `completed` does."""
        with self._lock:
            known = self._manifests.get(image.digest)
        if known is None:
            _, manifest = self._manifest(image, now_s)
            known = {layer.digest: layer.size for layer in manifest.layers}
            with self._lock:
                self._manifests[image.digest] = known
                while len(self._manifests) > MANIFESTS_KNOWN_MAX:
                    self._manifests.popitem(last=False)
        return known

    def _completed(self, image: Image, now_s: int) -> Image:
        manifest_digest, manifest = self._manifest(image, now_s)
        config = self._bytes(image.repository, manifest.config, now_s, size_max=CONFIG_BYTES_MAX)
        diff_ids = parse_config(config).diff_ids
        if len(diff_ids) != len(manifest.layers):
            raise Refused("bad_image", f"its config names {len(diff_ids)} layers, its manifest {len(manifest.layers)}")
        sizes = []
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True):
            found = self._layer(image.repository, layer, now_s)
            if found.diff_id != diff_id:
                raise Refused("bad_image", f"layer {layer.digest} is {found.diff_id}, the config says {diff_id}")
            sizes.append(found.unpacked_bytes)
        plain = digest(release_manifest(config, sizes))
        return image.model_copy(update={"digest": manifest_digest, "plain": plain, "unpacked_bytes": sum(sizes)})

    def _manifest(self, image: Image, now_s: int) -> tuple[str, Manifest]:
        found = self._found_manifest(image.repository, image.digest, now_s)
        if isinstance(found, Manifest):
            return image.digest, found
        entry = found.chosen(image.platform)
        inner = self._found_manifest(image.repository, entry.digest, now_s)
        if isinstance(inner, Index):
            raise Refused("bad_image", f"{entry.digest} is an index inside an index")
        return entry.digest, inner

    def _found_manifest(self, repository: str, wanted: str, now_s: int) -> Manifest | Index:
        data = self._contents.manifest(repository, wanted, now_s=now_s)
        if data is None:
            raise Refused("missing_image", f"{repository}@{wanted} was not pushed")
        if len(data) > MANIFEST_BYTES_MAX or digest(data) != wanted:
            raise Refused("bad_image", f"the registry has other bytes under {wanted}")
        return parse_manifest(data)

    def _bytes(self, repository: str, blob: Blob, now_s: int, *, size_max: int) -> bytes:
        if blob.size > size_max:
            raise Refused("bad_image", f"blob {blob.digest} has {blob.size} bytes; {size_max} may be")
        with self._contents.blob(repository, blob.digest, now_s=now_s) as chunks:
            if chunks is None:
                raise Refused("missing_image", f"blob {blob.digest} was not pushed")
            data = b"".join(_at_most(chunks, size_max))
        if digest(data) != blob.digest:
            raise Refused("bad_image", f"the registry has other bytes under {blob.digest}")
        return data

    def _layer(self, repository: str, layer: Blob, now_s: int) -> Measured:
        with self._lock:
            known = self._layers.get(layer.digest)
        if known is not None:
            return known
        with self._reading, self._contents.blob(repository, layer.digest, now_s=now_s) as chunks:
            if chunks is None:
                raise Refused("missing_image", f"layer {layer.digest} was not pushed")
            found = measured(_at_most(chunks, layer.size))
        if found.digest != layer.digest:
            raise Refused("bad_image", f"the registry has other bytes under {layer.digest}")
        with self._lock:
            self._layers[layer.digest] = found
            while len(self._layers) > LAYERS_KNOWN_MAX:
                self._layers.popitem(last=False)
        return found


def _at_most(chunks: Iterator[bytes], size_max: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > size_max:
            raise Refused("bad_image", f"the registry sends more than {size_max} bytes")
        yield chunk
