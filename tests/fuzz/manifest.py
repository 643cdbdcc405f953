"""Fuzz what a registry says of images: manifests, indexes, configs, lists of referrers, manifests of patches."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from broker.oci import (
    Blob,
    Patch,
    Referrer,
    layer_commands,
    parse_config,
    parse_manifest,
    parse_patches,
    parse_referrers,
    patches_manifest,
    referrers_index,
    release_manifest,
)
from tests.fuzz.fuzzing import changed, damaged, main

DIGEST, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
CONFIG = json.dumps(
    {
        "architecture": "arm64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [DIGEST, OTHER]},
        "history": [{"created_by": "RUN a"}, {"created_by": "CMD", "empty_layer": True}, {"created_by": "COPY b"}],
        "config": {"Env": ["A=b"], "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9}},
    }
).encode()  # fmt: skip
MANIFEST = release_manifest(CONFIG, (10, 20))
INDEX = json.dumps(
    {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": DIGEST, "size": 5,
             "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}},
        ],
    }
).encode()  # fmt: skip
BLOB = Blob(media_type="application/vnd.oci.image.manifest.v1+json", digest=DIGEST, size=5)
PATCHES = patches_manifest(BLOB, [Patch(digest=OTHER, size=9, base=DIGEST, result=OTHER)])
REFERRERS = referrers_index(None, [Referrer(digest=DIGEST, size=5, bases=frozenset({OTHER}))])
PARSERS: tuple[tuple[Callable[[bytes], object], tuple[bytes, ...]], ...] = (
    (parse_manifest, (MANIFEST, INDEX)),
    (parse_config, (CONFIG,)),
    (layer_commands, (CONFIG,)),
    (parse_patches, (PATCHES,)),
    (parse_referrers, (REFERRERS,)),
    (lambda data: referrers_index(data, [Referrer(digest=OTHER, size=7, bases=frozenset({DIGEST}))]), (REFERRERS,)),
)
Data = tuple[int, bytes]


def make(random: Random) -> Data:
    number = random.randrange(len(PARSERS))
    seeds = PARSERS[number][1]
    if random.random() < 0.3:
        return number, damaged(random, seeds)
    return number, json.dumps(changed(random, json.loads(random.choice(seeds))), default=str).encode()


def attempt(data: Data) -> None:
    number, text = data
    PARSERS[number][0](text)


if __name__ == "__main__":
    main(make, attempt)
