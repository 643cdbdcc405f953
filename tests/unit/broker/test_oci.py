"""Manifests, indexes and configs as registries have them, and the release manifest made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.canonical import digest
from broker.errors import Refused
from broker.oci import Index, Manifest, parse_config, parse_manifest, release_manifest

D = [f"sha256:{n:064x}" for n in range(9)]
CONFIG = json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [D[1], D[2]]}}).encode()


def manifest(**changes: Any) -> bytes:
    whole: dict[str, Any] = {
        "schemaVersion": 2,
        "config": {"mediaType": "c", "digest": D[0], "size": 3},
        "layers": [{"mediaType": "l", "digest": D[1], "size": 5}],
    }
    return json.dumps(whole | changes).encode()


def index(*platforms: str) -> Index:
    entries = []
    for number, platform in enumerate(platforms):
        os, _, rest = platform.partition("/")
        architecture, _, variant = rest.partition("/")
        described = {"os": os, "architecture": architecture} | ({"variant": variant} if variant else {})
        entries.append({"mediaType": "m", "digest": D[number], "size": 7, "platform": described})
    parsed = parse_manifest(json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
    assert isinstance(parsed, Index)
    return parsed


def test_the_release_manifest_is_these_bytes_for_ever() -> None:
    # Golden: its digest is in releases and in the names by which engines hold images.
    assert release_manifest(CONFIG, [10, 20]).decode() == (
        '{"config":{"digest":"' + digest(CONFIG) + '","mediaType":"application/vnd.oci.image.config.v1+json",'
        f'"size":{len(CONFIG)}}},"layers":['
        f'{{"digest":"{D[1]}","mediaType":"application/vnd.oci.image.layer.v1.tar","size":10}},'
        f'{{"digest":"{D[2]}","mediaType":"application/vnd.oci.image.layer.v1.tar","size":20}}],'
        '"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}'
    )


def test_sizes_and_layers_must_be_as_many() -> None:
    with pytest.raises(Refused, match="2 layers, there are 1"):
        release_manifest(CONFIG, [10])


def test_a_manifest_gives_config_and_layers() -> None:
    parsed = parse_manifest(manifest())
    assert isinstance(parsed, Manifest)
    assert (parsed.config.digest, parsed.config.size) == (D[0], 3)
    assert [(layer.digest, layer.size, layer.media_type) for layer in parsed.layers] == [(D[1], 5, "l")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"schemaVersion":1}',
        manifest(schemaVersion=3),
        manifest(config={"digest": "sha256:short", "size": 1}),
        manifest(config={"digest": D[0], "size": -1}),
        manifest(config={"digest": D[0], "size": 2**60}),
        manifest(layers=[{"digest": D[1], "size": 1}] * 257),
        b'{"schemaVersion":2,"manifests":7}',
        b"[" * 100_000,
        b" " * (1024 * 1024 + 1),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_manifest(data)
    assert refused.value.reason == "bad_manifest"


def test_what_is_no_config_is_refused() -> None:
    for data in (b"", b"{}", b'{"rootfs":{"diff_ids":["x"]}}', b" " * (4 * 1024 * 1024 + 1)):
        with pytest.raises(Refused) as refused:
            parse_config(data)
        assert refused.value.reason == "bad_config"


def test_of_an_index_the_platform_chooses() -> None:
    several = index("linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/arm/v6")
    assert several.chosen("linux/amd64").digest == D[0]
    assert several.chosen("linux/arm64").digest == D[1]
    assert several.chosen("linux/arm/v6").digest == D[3]


@pytest.mark.parametrize(
    ("platforms", "wanted"), [(("linux/amd64",), "linux/arm64"), (("linux/amd64", "linux/arm64"), ""), ((), "")]
)
def test_an_index_without_exactly_one_answer_is_refused_with_what_it_has(
    platforms: tuple[str, ...], wanted: str
) -> None:
    with pytest.raises(Refused) as refused:
        index(*platforms).chosen(wanted)
    assert refused.value.reason == "bad_platform"


def test_attestations_are_no_images() -> None:
    assert index("linux/amd64", "unknown/unknown").chosen("").digest == D[0]
