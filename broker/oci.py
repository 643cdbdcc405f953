"""Images as registries have them, and the release manifest that every engine pulls. Pure.

A builder's manifest names compressed layers. The *release manifest* of the same image names each layer as a plain tar,
whose digest is the diff id in the image's config: so it is a function of that config and the sizes of the tars alone,
and both sides make the same bytes of it, however a layer travelled. The image has the same id, for the config is it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broker.canonical import canonical, digest
from broker.errors import Refused
from broker.ids import Digest

MANIFEST_BYTES_MAX = 1024 * 1024  # 256 layers with annotations stay far below
CONFIG_BYTES_MAX = 4 * 1024 * 1024  # a long history with long commands
LAYERS_MAX = 256  # engines stop at 127
ENTRIES_MAX = 256
ANNOTATIONS_MAX = 64
HISTORY_MAX = 4096

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_TYPES = (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json")
ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
PATCHES_TYPE = "application/vnd.skerry.patches.v1"
PATCH_TYPE = "application/vnd.skerry.patch.v1"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
_BASE, _RESULT, _BASES = "io.skerry.patch.base", "io.skerry.patch.result", "io.skerry.patch.bases"

T = TypeVar("T", bound="_Parsed")
Size = Annotated[int, Field(ge=0, lt=2**53)]


class _Parsed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Platform(_Parsed):
    os: Annotated[str, Field(max_length=64)] = ""
    architecture: Annotated[str, Field(max_length=64)] = ""
    variant: Annotated[str, Field(max_length=64)] = ""

    def fits(self, wanted: str) -> bool:
        """Return whether this is the platform `os/architecture[/variant]`."""
        parts = wanted.split("/")
        return parts in ([self.os, self.architecture], [self.os, self.architecture, self.variant])

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Blob(_Parsed):
    """A descriptor: some bytes by digest and size."""

    digest: Digest
    size: Size
    media_type: Annotated[str, Field(alias="mediaType", max_length=255)] = ""
    platform: Platform = Platform()


class Manifest(_Parsed):
    """One image: its config and its layers, the lowest first."""

    version: Literal[2] = Field(alias="schemaVersion")
    config: Blob
    layers: Annotated[tuple[Blob, ...], Field(max_length=LAYERS_MAX)]


class Index(_Parsed):
    """Several images under one digest, for several platforms."""

    version: Literal[2] = Field(alias="schemaVersion")
    manifests: Annotated[tuple[Blob, ...], Field(max_length=ENTRIES_MAX)]

    def chosen(self, platform: str) -> Blob:
        """Return the image for a platform; without one, the only image there is. Raises `Refused` (`bad_platform`)."""
        images = [entry for entry in self.manifests if entry.platform.os != "unknown"]  # so are attestations marked
        fitting = [entry for entry in images if not platform or entry.platform.fits(platform)]
        if len(fitting) == 1:
            return fitting[0]
        there = ", ".join(sorted({str(entry.platform) for entry in images})) or "none"
        raise Refused("bad_platform", f"the image has no single form for {platform or 'any platform'}; it has: {there}")


class Patch(_Parsed):
    """A blob that makes one layer of another (`broker/patches.py`): `base` and `result` are diff ids."""

    digest: Digest
    size: Size
    base: Digest
    result: Digest


class _Annotated(Blob):
    artifact_type: Annotated[str, Field(alias="artifactType", max_length=255)] = ""
    annotations: Annotated[Mapping[str, str], Field(max_length=ANNOTATIONS_MAX)] = {}


class _Artifact(_Parsed):
    version: Literal[2] = Field(alias="schemaVersion")
    artifact_type: Annotated[str, Field(alias="artifactType", max_length=255)]
    layers: Annotated[tuple[_Annotated, ...], Field(max_length=LAYERS_MAX)]


class _Referrers(_Parsed):
    version: Literal[2] = Field(alias="schemaVersion")
    manifests: Annotated[tuple[_Annotated, ...], Field(max_length=ENTRIES_MAX)]


class Referrer(_Parsed):
    """An artifact with patches to an image: `bases` are the diff ids of the layers from which they start."""

    digest: Digest
    size: Size
    bases: frozenset[str]


class _Step(_Parsed):
    created_by: str = ""
    empty_layer: bool = False


class _History(_Parsed):
    history: Annotated[tuple[_Step, ...], Field(max_length=HISTORY_MAX)] = ()


class _RootFs(_Parsed):
    diff_ids: Annotated[tuple[Digest, ...], Field(max_length=LAYERS_MAX)]


class Config(_Parsed):
    """What of an image's config says which layers it has."""

    rootfs: _RootFs

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return self.rootfs.diff_ids


def parse_manifest(data: bytes) -> Manifest | Index:
    """Return what a registry has under a digest; raise `Refused` (`bad_manifest`)."""
    if b'"manifests"' in data:
        return _parsed(Index, data, size_max=MANIFEST_BYTES_MAX, what="manifest")
    return _parsed(Manifest, data, size_max=MANIFEST_BYTES_MAX, what="manifest")


def parse_config(data: bytes) -> Config:
    """Return what is needed of an image's config; raise `Refused` (`bad_config`)."""
    return _parsed(Config, data, size_max=CONFIG_BYTES_MAX, what="config")


def layer_commands(config: bytes) -> tuple[str, ...]:
    """Return the command that made each layer; nothing where the history does not tell of all of them."""
    try:
        steps = _History.model_validate_json(config).history
    except ValidationError:
        return ()
    found = tuple(step.created_by for step in steps if not step.empty_layer)
    return found if len(found) == len(parse_config(config).diff_ids) else ()


def release_manifest(config: bytes, sizes: Sequence[int]) -> bytes:
    """Return the bytes of the release manifest: `sizes` are those of the layers' tars, in order."""
    diff_ids = parse_config(config).diff_ids
    if len(diff_ids) != len(sizes):
        raise Refused("bad_manifest", f"the config names {len(diff_ids)} layers, there are {len(sizes)}")
    described: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest(config), "size": len(config)},
        "layers": [
            {"mediaType": LAYER_TYPE, "digest": diff_id, "size": size}
            for diff_id, size in zip(diff_ids, sizes, strict=True)
        ],
    }
    return canonical(described)


def referrers_tag(digest_: str) -> str:
    """Return the tag under which a registry without the referrers API lists what refers to a manifest (OCI 1.1)."""
    return digest_.replace(":", "-", 1)


def patches_manifest(subject: Blob, patches: Sequence[Patch]) -> bytes:
    """Return an artifact that holds patches to layers of the image `subject`."""
    described: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": PATCHES_TYPE,
        "config": {"mediaType": EMPTY_TYPE, "digest": digest(EMPTY), "size": len(EMPTY)},
        "layers": [
            {
                "mediaType": PATCH_TYPE,
                "digest": patch.digest,
                "size": patch.size,
                "annotations": {_BASE: patch.base, _RESULT: patch.result},
            }
            for patch in patches
        ],
        "subject": {"mediaType": subject.media_type or MANIFEST_TYPE, "digest": subject.digest, "size": subject.size},
    }
    return canonical(described)


def parse_patches(data: bytes) -> tuple[Patch, ...]:
    """Return the patches of an artifact; raise `Refused` (`bad_artifact`)."""
    found = _parsed(_Artifact, data, size_max=MANIFEST_BYTES_MAX, what="artifact")
    if found.artifact_type != PATCHES_TYPE:
        raise Refused("bad_artifact", f"an artifact of type {found.artifact_type[:80]!r}, not {PATCHES_TYPE}")
    described = ((each, each.annotations) for each in found.layers if each.media_type == PATCH_TYPE)
    try:
        return tuple(
            Patch(digest=each.digest, size=each.size, base=said.get(_BASE, ""), result=said.get(_RESULT, ""))
            for each, said in described
        )
    except ValidationError as error:
        raise Refused("bad_artifact", "a patch does not name the layers that it is from and to") from error


def referrers_index(others: bytes | None, added: Sequence[Referrer], *, removed: Collection[str] = ()) -> bytes:
    """Return what is under a referrers tag, with artifacts of ours added to and removed from what was there."""
    known = [] if others is None or not _is_index(others) else json.loads(others)["manifests"]
    gone = {*removed, *(each.digest for each in added)}
    described = [each for each in known if each.get("digest") not in gone]
    for each in added:
        entry = {"mediaType": MANIFEST_TYPE, "artifactType": PATCHES_TYPE, "digest": each.digest, "size": each.size}
        described.append(entry | {"annotations": {_BASES: " ".join(sorted(each.bases))}})
    return canonical({"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": described})


def _is_index(data: bytes) -> bool:
    try:
        parse_referrers(data)
    except Refused:
        return False
    return True


def parse_referrers(data: bytes) -> tuple[Referrer, ...]:
    """Return the artifacts with patches that refer to an image; raise `Refused` (`bad_index`)."""
    found = _parsed(_Referrers, data, size_max=MANIFEST_BYTES_MAX, what="index")
    return tuple(
        Referrer(digest=each.digest, size=each.size, bases=frozenset(each.annotations.get(_BASES, "").split(" ")))
        for each in found.manifests
        if each.artifact_type == PATCHES_TYPE
    )


def _parsed(kind: type[T], data: bytes, *, size_max: int, what: str) -> T:
    if len(data) > size_max:
        raise Refused(f"bad_{what}", f"a {what} of {len(data)} bytes; {size_max} may be")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Refused(f"bad_{what}", f"the {what} is not one of an image: {where or 'text'}: {first['msg']}") from error
