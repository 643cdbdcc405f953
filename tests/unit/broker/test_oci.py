"""Manifests, indexes and configs as registries have them, and the release manifest made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.canonical import digest
from broker.errors import Refused
from broker.oci import (
    PATCHES_TYPE,
    Blob,
    Index,
    Manifest,
    Patch,
    Referrer,
    layer_commands,
    parse_config,
    parse_manifest,
    parse_patches,
    parse_referrers,
    patches_manifest,
    referrers_index,
    referrers_tag,
    release_manifest,
)

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


PATCHES = [Patch(digest=D[3], size=7, base=D[1], result=D[2]), Patch(digest=D[4], size=8, base=D[1], result=D[5])]


def test_what_is_made_of_patches_is_read_back() -> None:
    assert parse_patches(patches_manifest(Blob(digest=D[0], size=5), PATCHES)) == tuple(PATCHES)


def test_an_artifact_says_to_which_image_it_belongs() -> None:
    made = json.loads(patches_manifest(Blob(digest=D[0], size=5), PATCHES))
    assert (made["subject"]["digest"], made["artifactType"]) == (D[0], PATCHES_TYPE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        manifest(),
        manifest(artifactType="other"),
        json.dumps(
            {
                "schemaVersion": 2,
                "artifactType": PATCHES_TYPE,
                "layers": [{"mediaType": "application/vnd.skerry.patch.v1", "digest": D[0], "size": 1}],
            }
        ).encode(),
        b" " * 2**21,
    ],
)
def test_an_artifact_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        parse_patches(data)


def test_the_list_of_what_refers_to_an_image_is_added_to_and_taken_from() -> None:
    one, two = (Referrer(digest=D[n], size=n, bases=frozenset({D[n + 1]})) for n in (1, 2))
    both = referrers_index(referrers_index(None, [one]), [two])
    assert parse_referrers(both) == (one, two)
    assert parse_referrers(referrers_index(both, [one])) == (two, one)
    assert parse_referrers(referrers_index(both, [], removed=[D[1]])) == (two,)
    assert parse_referrers(referrers_index(b"broken", [one])) == (one,)


def test_others_that_refer_to_an_image_stay_and_are_no_patches() -> None:
    signature = {"mediaType": "m", "digest": D[7], "size": 1, "artifactType": "signature"}
    others = json.dumps({"schemaVersion": 2, "manifests": [signature]}).encode()
    made = referrers_index(others, [Referrer(digest=D[1], size=1, bases=frozenset())])
    assert signature in json.loads(made)["manifests"]
    assert [each.digest for each in parse_referrers(made)] == [D[1]]


def test_the_tag_of_what_refers_to_an_image_is_the_one_of_the_specification() -> None:
    assert referrers_tag(D[0]) == "sha256-" + "0" * 64


@pytest.mark.parametrize(
    ("history", "commands"),
    [
        ([{"created_by": "a"}, {"created_by": "env", "empty_layer": True}, {"created_by": "b"}], ("a", "b")),
        ([{"created_by": "a"}], ()),
        ([{"created_by": None}], ()),
        ("odd", ()),
    ],
)
def test_the_history_tells_the_command_of_each_layer_or_nothing(history: Any, commands: tuple[str, ...]) -> None:
    config = json.dumps({"rootfs": {"diff_ids": [D[1], D[2]]}, "history": history}).encode()
    assert layer_commands(config) == commands
