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
from broker.messages import AppSection, LinkPolicy
from broker.signing import Signer
from cloud.desired import Placed, content, next_generation, sections, state
from cloud.store import apps, desired, instances, links, presence, releases
from cloud.store.database import Connection


class Issuer:
    """Holds the key that signs desired states. `store` is the database's incarnation."""

    def __init__(self, signer: Signer, *, era: int, store: str) -> None:
        self._signer = signer
        self._era = era
        self._store = store

    def sections_of(self, tx: Connection, org: str, fleet: str) -> tuple[AppSection, ...]:
        """Return the sections every device of the fleet should run."""
        names = apps.names(tx, org)
        placed = []
        for instance in instances.of_fleet(tx, fleet):
            release = releases.get(tx, instance.app, instance.release)
            assert release is not None  # a foreign key says so
            spec = AppSpec.model_validate(json.loads(release.spec))
            placed.append(Placed(instance, names[instance.app], spec))
        return sections(placed)

    def issue(
        self, tx: Connection, device: DeviceRef, wanted: tuple[AppSection, ...], *, now_ms: int, anew: bool = False
    ) -> desired.Desired:
        """Return the newest desired state of the device: a new one, unless the stored one asks for the same already.

        `anew` issues the same content again. Raises `Refused` (`desired_too_large`) when it cannot travel.
        """
        newest = desired.newest(tx, device.device)
        link = policy_of(links.of_devices(tx, [device.device]).get(device.device, {}))
        asked = content(wanted, link)
        if newest is not None and newest.content == asked and newest.era == self._era and not anew:
            return newest
        stored = newest.generation if newest is not None and newest.era == self._era else 0
        generation = next_generation(self._era, stored, presence.get(tx, device.device).reported)
        row = self._sealed(device, wanted, link, generation=generation, asked=asked, now_ms=now_ms)
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
        settings = links.of_devices(tx, names)
        asked_with: dict[LinkPolicy | None, str] = {}
        made = list[desired.Desired]()
        for device in devices:
            link = policy_of(settings.get(device.device, {}))
            if link not in asked_with:
                asked_with[link] = content(wanted, link)
            asked = asked_with[link]
            newest = held.get(device.device)
            is_ours = newest is not None and newest.era == self._era
            if newest is not None and is_ours and newest.content == asked:
                continue
            stored = newest.generation if newest is not None and is_ours else 0
            generation = next_generation(self._era, stored, claimed.get(device.device, (0, 0)))
            made.append(self._sealed(device, wanted, link, generation=generation, asked=asked, now_ms=now_ms))
        desired.add_all(tx, made)
        held |= {row.device: desired.Issued(row.device, row.era, row.generation, row.content) for row in made}
        return [held[name] for name in names]

    def _sealed(
        self,
        device: DeviceRef,
        wanted: tuple[AppSection, ...],
        link: LinkPolicy | None,
        *,
        generation: int,
        asked: str,
        now_ms: int,
    ) -> desired.Desired:
        message = state(device, wanted, link, era=self._era, generation=generation, now_ms=now_ms)
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
            content=asked,
            envelope=envelope,
            issued_ms=now_ms,
            store=self._store,
        )


def policy_of(settings: links.Settings) -> LinkPolicy | None:
    """Return the link policy that settings make; None where nothing is set."""
    return LinkPolicy.model_validate(settings) if settings else None
