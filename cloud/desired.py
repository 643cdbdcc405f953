"""What a device should run, as a desired state: which sections, which generation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from broker.appspec import AppSpec
from broker.canonical import digest_of
from broker.ids import DeviceRef
from broker.messages import AppSection, DesiredState, LinkPolicy, Retire, SealedSecret
from broker.policy import Grants
from cloud.store.rows import Instance

CLAIM_MAX = 2**40  # generations: one a second for thirty thousand years


@dataclass(frozen=True)
class Placed:
    """An app instance with everything its section needs."""

    instance: Instance
    name: str
    spec: AppSpec
    secrets: Mapping[str, int]  # which version of each


@dataclass(frozen=True)
class Asked:
    """What is asked of one device. One that is to go runs nothing."""

    apps: tuple[AppSection, ...]
    link: LinkPolicy | None
    retire: Retire | None = None

    @cached_property
    def content(self) -> str:
        return content(self.apps, self.link, self.retire)


def section(placed: Placed) -> AppSection:
    """Return the section of one instance, its digest filled in; what is sealed is not yet there."""
    bare = AppSection(
        instance=placed.instance.instance,
        name=placed.name,
        app=placed.instance.app,
        release=placed.instance.release,
        spec=placed.spec,
        variables=placed.instance.variables,
        secrets={name: SealedSecret(version=version) for name, version in placed.secrets.items()},
        settings=placed.instance.settings,
        attempt=placed.instance.attempt,
        grants=Grants.model_validate(placed.instance.grants),
    )
    return bare.model_copy(update={"digest": bare.computed_digest()})


def sections(fleet: Iterable[Placed]) -> tuple[AppSection, ...]:
    """Return the sections of a fleet's instances, always in the same order."""
    return tuple(section(placed) for placed in sorted(fleet, key=lambda placed: placed.instance.instance))


def content(apps: Sequence[AppSection], link: LinkPolicy | None, retire: Retire | None = None) -> str:
    """Return the digest of what is asked for, whatever generation asks for it."""
    asked = [_asked_of(app) for app in apps]
    if link is None and retire is None:
        return digest_of(asked)
    parts: dict[str, object] = {"apps": asked}
    if link is not None:
        parts["link"] = link.model_dump(mode="json", exclude_none=True)
    if retire is not None:
        parts["retire"] = retire.wipe
    return digest_of(parts)


def _asked_of(app: AppSection) -> object:
    """Return what tells a section from others: also of a secret that was sealed anew, to another key."""
    named = app.digest or app.computed_digest()
    return {"section": named, "sealed": {n: s.sealed.hex() for n, s in app.secrets.items()}} if app.secrets else named


def next_generation(era: int, stored: int, claimed: tuple[int, int]) -> int:
    """Return the generation after the stored one of this era and after what a birth claims.

    A claim that no cloud could have issued is left out: else one mad device could use up its numbers.
    """
    claimed_era, generation = claimed
    believed = generation if claimed_era == era and generation <= CLAIM_MAX else 0
    return 1 + max(stored, believed)


def state(device: DeviceRef, asked: Asked, *, era: int, generation: int, now_ms: int) -> DesiredState:
    return DesiredState(
        org=device.org,
        device=device.device,
        era=era,
        generation=generation,
        issued_ms=now_ms,
        apps=asked.apps,
        link=asked.link,
        retire=asked.retire,
    )
