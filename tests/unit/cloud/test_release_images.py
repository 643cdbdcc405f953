"""Images at push: what a release says of them, and what is refused because no device could start it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from broker.appspec import AppSpec
from broker.canonical import digest
from broker.errors import Refused
from cloud.release_images import ReleaseImages
from tests.harness.images import BuiltImage, built, layer_tar, packed

BASE, FIRST, SECOND = (layer_tar({name: name.encode() * 5000}) for name in ("base", "one", "two"))


class Contents:
    """A registry in memory that counts what is read."""

    def __init__(self, *images: BuiltImage) -> None:
        self.manifests = {image.digest: image.manifest for image in images}
        self.blobs = {key: blob for image in images for key, blob in image.blobs.items()}
        self.read: list[str] = []

    def manifest(self, repository: str, digest: str, *, now_s: int) -> bytes | None:
        return self.manifests.get(digest)

    @contextmanager
    def blob(self, repository: str, digest: str, *, now_s: int) -> Iterator[Iterator[bytes] | None]:
        data = self.blobs.get(digest)
        self.read.append(digest)
        yield None if data is None else (data[at : at + 1000] for at in range(0, len(data), 1000))


def spec(*images: tuple[str, str]) -> AppSpec:
    services = {
        f"s{number}": {"image": {"repository": "o/a/web", "digest": digest, "platform": platform}}
        for number, (digest, platform) in enumerate(images)
    }
    return AppSpec.model_validate({"name": "app", "services": services})


def completed(contents: Contents, *images: tuple[str, str]) -> AppSpec:
    return ReleaseImages(contents).completed(spec(*images), now_s=1)


@pytest.mark.parametrize("packing", ["gzip", "zstd", "plain"])
def test_a_release_names_the_release_manifest_whatever_the_builder_packed_by(packing: str) -> None:
    image = built([BASE, FIRST], packing=packing)  # type: ignore[arg-type]
    found = completed(Contents(image), (image.digest, "")).services["s0"].image
    assert (found.digest, found.plain) == (image.digest, digest(image.plain))
    assert found.unpacked_bytes == len(BASE) + len(FIRST)
    assert found.plain == built([BASE, FIRST], packing="plain").image.plain


def test_a_layer_is_read_once_for_all_releases() -> None:
    one, two = built([BASE, FIRST]), built([BASE, SECOND])
    contents = Contents(one, two)
    images = ReleaseImages(contents)
    for image in (one, two, one):
        images.completed(spec((image.digest, ""), (image.digest, "")), now_s=1)
    assert sorted(contents.read.count(digest(packed(tar, "gzip"))) for tar in (BASE, FIRST, SECOND)) == [1, 1, 1]


def test_of_an_index_the_services_platform_is_released() -> None:
    arm, amd = built([BASE, FIRST]), built([BASE, SECOND])
    entries = [
        {"digest": image.digest, "size": len(image.manifest), "platform": {"os": "linux", "architecture": name}}
        for image, name in ((arm, "arm64"), (amd, "amd64"))
    ]
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    contents = Contents(arm, amd)
    contents.manifests[digest(index)] = index
    services = completed(contents, (digest(index), "linux/arm64"), (digest(index), "linux/amd64")).services
    assert [services[name].image.digest for name in ("s0", "s1")] == [arm.digest, amd.digest]
    with pytest.raises(Refused) as refused:
        completed(contents, (digest(index), ""))
    assert refused.value.reason == "bad_platform"


def _no_manifest(contents: Contents, image: BuiltImage) -> None:
    contents.manifests.clear()


def _no_layer(contents: Contents, image: BuiltImage) -> None:
    del contents.blobs[digest(image.layers[1])]


def _no_config(contents: Contents, image: BuiltImage) -> None:
    del contents.blobs[digest(image.config)]


def _other_manifest(contents: Contents, image: BuiltImage) -> None:
    contents.manifests[image.digest] += b" "


def _other_layer(contents: Contents, image: BuiltImage) -> None:
    contents.blobs[digest(image.layers[1])] = packed(SECOND, "gzip").ljust(len(image.layers[1]), b"\0")


def _endless_layer(contents: Contents, image: BuiltImage) -> None:
    contents.blobs[digest(image.layers[1])] = image.layers[1] + bytes(10_000)


def _cut_layer(contents: Contents, image: BuiltImage) -> None:
    contents.blobs[digest(image.layers[1])] = image.layers[1][:-9]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (_no_manifest, "missing_image"),
        (_no_layer, "missing_image"),
        (_no_config, "missing_image"),
        (_other_manifest, "bad_image"),
        (_other_layer, "bad_image"),
        (_endless_layer, "bad_image"),
        (_cut_layer, "bad_image"),
    ],
)
def test_an_image_that_no_device_could_start_is_refused_by_service(
    fault: Callable[[Contents, BuiltImage], None], reason: str
) -> None:
    image = built([BASE, FIRST])
    contents = Contents(image)
    fault(contents, image)
    with pytest.raises(Refused, match=r"services\.s0\.image") as refused:
        completed(contents, (image.digest, ""))
    assert refused.value.reason == reason


def test_layers_that_are_not_those_of_the_config_are_refused() -> None:
    image, other = built([BASE, FIRST]), built([BASE, SECOND])
    mixed = json.loads(image.manifest) | {"config": json.loads(other.manifest)["config"]}
    manifest = json.dumps(mixed).encode()
    contents = Contents(image, other)
    contents.manifests[digest(manifest)] = manifest
    with pytest.raises(Refused, match="the config says") as refused:
        completed(contents, (digest(manifest), ""))
    assert refused.value.reason == "bad_image"
