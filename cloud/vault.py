"""The vault: the key that secrets lie under in the database. It opens them to seal them to devices, and for no more.

A stolen database or a watched broker tells no secret. The cloud itself, which has the key, can read them: so a device
that is enrolled next year gets them without anybody typing them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker.errors import Refused
from broker.messages import AppSection, SealedSecret
from broker.sealing import Opener, about_secret, seal
from cloud.store import secrets
from cloud.store.database import Connection
from cloud.store.rows import Instance
from cloud.store.secrets import Seal


class Vault:
    """Stateless beside its key; thread-safe."""

    def __init__(self, seed: bytes) -> None:
        self._opener = Opener(seed)

    @property
    def public(self) -> bytes:
        """Return the Ed25519 public key that values are sealed to on their way here."""
        return self._opener.public

    def opened(self, app: str, name: str, sealed: bytes) -> bytes:
        """Return a value; raise `Refused` (`not_sealed`)."""
        return self._opener.open(about_secret(app, name), sealed)

    def given(
        self, tx: Connection, names: Sequence[str], wanted: tuple[AppSection, ...]
    ) -> Mapping[str, tuple[AppSection, ...]]:
        """Return the sections for each device, with their secrets sealed to it; stores what it seals.

        A device is sealed a version once: what is asked of it stays the same. What comes sealed is left as it is.
        """
        asked = {
            (section.app, name): secret.version
            for section in wanted
            for name, secret in section.secrets.items()
            if not secret.sealed
        }
        if not asked:
            return dict.fromkeys(names, wanted)
        known, keys = secrets.seals_of(tx, names), secrets.keys_of(tx, names)
        values: dict[tuple[str, str], bytes] = {}
        made, given = list[Seal](), dict[str, tuple[AppSection, ...]]()
        for device in names:
            number, identity = keys[device]
            held: dict[tuple[str, str], SealedSecret] = {}
            for (app, name), version in asked.items():
                had = known.get((device, app, name))
                if had is None or (had.version, had.key_number) != (version, number):
                    if (app, name) not in values:
                        values[app, name] = self._value(tx, app, name, version)
                    box = seal(identity, about_secret(app, name), values[app, name])
                    had = Seal(device, app, name, version, number, box)
                    made.append(had)
                held[app, name] = SealedSecret(version=version, sealed=had.sealed)
            given[device] = tuple(_with(section, held) for section in wanted)
        secrets.put_seals(tx, made)
        return given

    def _value(self, tx: Connection, app: str, name: str, version: int) -> bytes:
        found = secrets.version(tx, app, name, version)
        if found is None:
            raise Refused("secret_missing", f"version {version} of secret {name} was erased")
        return self.opened(app, name, found.sealed)


def chosen(tx: Connection, instance: Instance, declared: Mapping[str, int | None], *, app: str) -> dict[str, int]:
    """Return which version of each declared secret an instance gets; raise `Refused` (`secret_missing`).

    A release may name a version, and otherwise gets the newest of its fleet. `app` is the app's name, for people.
    """
    if not declared:
        return {}
    holding = secrets.holding(tx, instance.app, fleet=instance.fleet)
    there = secrets.versions(tx, instance.app)
    made = {}
    for name, pinned in declared.items():
        version = holding.get(name) if pinned is None else pinned
        if version is None or (name, version) not in there:
            which = "has no value" if pinned is None else f"has no version {pinned} any more"
            raise Refused("secret_missing", f"secret {name} of app {app} {which}")
        made[name] = version
    return made


def _with(section: AppSection, held: Mapping[tuple[str, str], SealedSecret]) -> AppSection:
    mine = {name: held.get((section.app, name), secret) for name, secret in section.secrets.items()}
    return section.model_copy(update={"secrets": mine}) if mine else section
