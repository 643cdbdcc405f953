"""Issues desired states: allocates the generation and seals the envelope in the transaction that stores it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from broker.appspec import AppSpec
from broker.canonical import digest
from broker.channels import DESIRED
from broker.codec import pack, seal_payload
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import AppSection, LinkPolicy, Retire
from broker.signing import Signer
from cloud.desired import Asked, Placed, next_generation, sections, state
from cloud.store import apps, desired, instances, links, presence, releases
from cloud.store import devices as devices_store
from cloud.store.database import Connection
from cloud.vault import Vault, chosen


class Issuer:
    """Holds the key that signs desired states. `store` is the database's incarnation."""

    def __init__(self, signer: Signer, vault: Vault, *, era: int, store: str) -> None:
        self._signer = signer
        self._vault = vault
        self._era = era
        self._store = store

    def sections_of(self, tx: Connection, org: str, fleet: str) -> tuple[AppSection, ...]:
        """Return the sections every device of the fleet should run; raise `Refused` (`secret_missing`)."""
        names = apps.names(tx, org)
        placed = []
        for instance in instances.of_fleet(tx, fleet):
            release = releases.get(tx, instance.app, instance.release)
            assert release is not None  # a foreign key says so
            spec = AppSpec.model_validate(json.loads(release.spec))
            declared = {name: secret.version for name, secret in spec.secrets.items()}
            versions = chosen(tx, instance, declared, app=names[instance.app])
            placed.append(Placed(instance, names[instance.app], spec, versions))
        return sections(placed)

    def issue(
        self, tx: Connection, device: DeviceRef, wanted: tuple[AppSection, ...], *, now_ms: int, anew: bool = False
    ) -> desired.Desired:
        """Return the newest desired state of the device: a new one, unless the stored one asks for the same already.

        `anew` issues the same content again. Raises `Refused` (`desired_too_large`) when it cannot travel.
        """
        newest = desired.newest(tx, device.device)
        asked = self._asked(tx, [device.device], wanted)[device.device]
        if newest is not None and newest.content == asked.content and newest.era == self._era and not anew:
            return newest
        stored = newest.generation if newest is not None and newest.era == self._era else 0
        generation = next_generation(self._era, stored, presence.get(tx, device.device).reported)
        row = self._sealed(device, asked, generation=generation, now_ms=now_ms)
        desired.add(tx, row)
        return row

    def issue_all(
        self, tx: Connection, devices: Sequence[DeviceRef], wanted: tuple[AppSection, ...], *, now_ms: int
    ) -> Sequence[desired.Issued]:
        """Issue the same to many devices with few statements; return what each has now, in their order.

        Raises `Refused` (`desired_too_large`) without issuing to any of them.
        """
        names = [device.device for device in devices]
        held, claimed = desired.newest_of(tx, names), presence.reported_of(tx, names)
        asked = self._asked(tx, names, wanted)
        made = list[desired.Desired]()
        for device in devices:
            newest = held.get(device.device)
            is_ours = newest is not None and newest.era == self._era
            if newest is not None and is_ours and newest.content == asked[device.device].content:
                continue
            stored = newest.generation if newest is not None and is_ours else 0
            generation = next_generation(self._era, stored, claimed.get(device.device, (0, 0)))
            made.append(self._sealed(device, asked[device.device], generation=generation, now_ms=now_ms))
        desired.add_all(tx, made)
        held |= {row.device: desired.Issued(row.device, row.era, row.generation, row.content) for row in made}
        return [held[name] for name in names]

    def _asked(self, tx: Connection, names: Sequence[str], wanted: tuple[AppSection, ...]) -> dict[str, Asked]:
        """Return what is asked of each device; equal parts are one object, whose digest is computed once."""
        settings, leaving = links.of_devices(tx, names), devices_store.retiring(tx, names)
        given = self._vault.given(tx, [name for name in names if name not in leaving], wanted)
        kinds: dict[tuple[int, LinkPolicy | None, str | None], Asked] = {}
        asked = {}
        for name in names:
            link, wipe, apps = policy_of(settings.get(name, {})), leaving.get(name), given.get(name, ())
            kind = (id(apps), link, wipe)
            if kind not in kinds:
                kinds[kind] = Asked(apps, link, None if wipe is None else Retire.model_validate({"wipe": wipe}))
            asked[name] = kinds[kind]
        return asked

    def _sealed(self, device: DeviceRef, asked: Asked, *, generation: int, now_ms: int) -> desired.Desired:
        message = state(device, asked, era=self._era, generation=generation, now_ms=now_ms)
        try:
            payload = pack(DESIRED, message)
            envelope = seal_payload(DESIRED, device, payload, self._signer)
        except Refused as error:
            if error.reason != "too_large":
                raise
            raise Refused("desired_too_large", f"the apps of device {device.device} do not fit: {error}") from error
        return desired.Desired(
            device=device.device,
            era=self._era,
            generation=generation,
            digest=digest(payload),
            content=asked.content,
            envelope=envelope,
            issued_ms=now_ms,
            store=self._store,
        )


def policy_of(settings: links.Settings) -> LinkPolicy | None:
    """Return the link policy that settings make; None where nothing is set."""
    return LinkPolicy.model_validate(settings) if settings else None
