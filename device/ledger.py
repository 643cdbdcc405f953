"""The ledger: which desired state this device has accepted, on disk, and what it refuses because of that."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from broker.channels import DESIRED
from broker.codec import Opened, open_sealed
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import AppSection, DesiredState, Generation
from broker.signing import Verifier
from device.checked_file import CheckedFile

log = logging.getLogger(__name__)


class StaleGeneration(Refused):
    """The desired state is older than the one this device has accepted."""

    def __init__(self, *, accepted: Generation, received: DesiredState) -> None:
        super().__init__(
            "stale_generation",
            f"generation {received.era}.{received.generation} is older than the accepted "
            f"{accepted.era}.{accepted.generation}",
        )


class AlteredGeneration(Refused):
    """The same generation came with other content."""

    def __init__(self, *, accepted: Generation) -> None:
        super().__init__(
            "altered_generation",
            f"generation {accepted.era}.{accepted.generation} was accepted before with another content",
        )


@dataclass(frozen=True)
class Accepted:
    """An accepted desired state with its sealed bytes and its place in the order."""

    desired: DesiredState
    sealed: bytes
    generation: Generation


class Ledger:
    """The accepted desired state; the inbox thread owns it."""

    def __init__(self, file: CheckedFile, *, device: DeviceRef) -> None:
        self._file = file
        self._device = device
        self._accepted: Accepted | None = None
        self._floor: Generation | None = None

    @property
    def accepted(self) -> Accepted | None:
        return self._accepted

    def load(self, verifier: Verifier) -> Accepted | None:
        """Read the accepted state from disk, checked as if it had just come. None leaves everything as it runs."""
        sealed = self._file.read()
        if sealed is not None:
            try:
                opened = open_sealed(DESIRED, self._device, sealed, verifier)
                self._accepted = _accepted(opened, sealed)
                self._floor = self._accepted.generation
            except Refused as error:
                log.error("the accepted desired state on disk is not usable: %s", error)
                self._floor = self._order_alone(sealed)
        return self._accepted

    def _order_alone(self, sealed: bytes) -> Generation | None:
        """Return the order of a state that was verified when it was accepted and is not any more: its key is revoked.

        It is not carried out, but what is older than it stays old.
        """
        try:
            return _accepted(open_sealed(DESIRED, self._device, sealed, _AcceptedBefore()), sealed).generation
        except Refused:
            return None

    def offer(self, opened: Opened, sealed: bytes, *, era: int) -> Accepted | None:
        """Accept a newer state, durably, and return it; None when it is the one already held.

        Raises `Refused`: foreign, stale, altered, of an era no trust document has begun, or with contradictions inside.
        """
        offered = _accepted(opened, sealed)
        desired, floor = offered.desired, self._floor
        if (desired.org, desired.device) != (self._device.org, self._device.device):
            raise Refused("foreign", f"a desired state for {desired.org}/{desired.device}, not for this device")
        if desired.era > era:
            raise Refused("unknown_era", f"era {desired.era} has not been announced by a trust document (held: {era})")
        if floor is not None:
            if offered.generation.order < floor.order:
                raise StaleGeneration(accepted=floor, received=desired)
            if offered.generation.order == floor.order and offered.generation.digest != floor.digest:
                raise AlteredGeneration(accepted=floor)
            if offered.generation.order == floor.order and self._accepted is not None:
                return None
        _check(desired)
        self._file.write(sealed)
        if desired.retire is not None:
            self._file.forget_previous()  # it has the variables of apps
        self._accepted, self._floor = offered, offered.generation
        return offered


class _AcceptedBefore:
    """Verifies nothing: for bytes of our own ledger, whose checksum holds and whose signature held once."""

    def verify(self, algorithm: int, key: bytes, data: bytes, proof: bytes) -> None:
        return


def _accepted(opened: Opened, sealed: bytes) -> Accepted:
    desired: DesiredState = opened.message
    return Accepted(desired, sealed, Generation(era=desired.era, generation=desired.generation, digest=opened.digest))


def _check(desired: DesiredState) -> None:
    if desired.reference is not None:
        raise Refused("not_supported", "desired states by reference are not supported by this worker")
    if desired.retire is not None and desired.apps:
        raise Refused("invalid", "a device that is to go runs no apps")
    names = [section.name for section in desired.apps]
    instances = [section.instance for section in desired.apps]
    if len(set(names)) < len(names) or len(set(instances)) < len(instances):
        raise Refused("invalid", "two app instances have one name or id")
    for section in desired.apps:
        if section.digest is None or section.digest != _digest_of(section):
            raise Refused("invalid", f"app {section.name}: the section's digest does not fit its content")


def _digest_of(section: AppSection) -> str:
    try:
        return section.computed_digest()
    except (TypeError, ValueError) as error:  # a value without a canonical form: a float, bytes that are no text
        raise Refused("invalid", f"app {section.name}: {error}") from error
