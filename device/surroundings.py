"""What apps need around them besides their containers: intake accounts, forwarders, log followers, the platform.

Called by the reconcile thread: before a round for the accounts, after each snapshot for the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from broker.messages import AppSection
from broker.policy import Policy
from device.engine.port import Engine, Observed
from device.logs.follower import Followers
from device.platform.services import Platform
from device.reconcile.wanted import Place, Wanted
from device.telemetry.accounts import Accounts
from device.telemetry.connection import Client, RedisUnavailable
from device.telemetry.forwarder import Forwarders
from device.telemetry.mover import Mover

log = logging.getLogger(__name__)


class Surroundings:
    """Keeps accounts, forwarders and followers as the apps ask."""

    def __init__(
        self,
        *,
        device: str,
        registry: str,
        images: str,
        note_images: Callable[[Sequence[AppSection]], None],
        policy: Policy,
        ours: tuple[str, ...],
        engine: Engine,
        accounts: Accounts,
        intake: Client,
        mover: Mover,
        forwarders: Forwarders,
        followers: Followers,
        platform: Platform,
    ) -> None:
        self._device = device
        self._registry = registry
        self._images = images
        self._note_images = note_images
        self._policy = policy
        self._ours = ours
        self._engine = engine
        self._accounts = accounts
        self._intake = intake
        self._mover = mover
        self._forwarders = forwarders
        self._followers = followers
        self._platform = platform
        self._placed: frozenset[str] = frozenset()
        self._applied: dict[str, str] | None = None
        self._bridges: dict[str, str] = {}

    def place_for(self, sections: Sequence[AppSection]) -> Place:
        """Return where these apps are put, their accounts made and known to the intake."""
        self._placed = frozenset(section.instance for section in sections)
        access = self._accounts.access_for(sections)
        if self._applied != self._accounts.writing:
            self.apply_accounts()
        self._note_images(sections)
        return Place(
            device=self._device,
            registry=self._registry,
            intake=access,
            policy=self._policy,
            ours=self._ours,
            fittings=self._platform.fittings(sections, with_intake=access.keys()),
            images=self._images,
        )

    def intake_up(self) -> None:
        """Get the intake ready for apps: after each of its starts, before it counts as ready."""
        try:
            self._mover.intake_is_back()
        except RedisUnavailable as error:
            log.warning("the intake is not compared with the store: %s", error)
        self.apply_accounts()

    def apply_accounts(self) -> None:
        """Tell the intake its accounts. A silent intake gets them when it is up again."""
        writing = self._accounts.writing
        try:
            self._accounts.apply(self._intake)
            self._applied = writing
            self._mover.poke()
        except RedisUnavailable as error:
            self._applied = None
            log.warning("accounts wait for the intake: %s", error)

    def observed(self, apps: Sequence[Wanted], observed: Observed) -> None:
        """Follow what runs and forward where a network has a service that asks for TCP."""
        self._followers.ensure(observed.containers, {app.instance: app.section.name for app in apps})
        asking = {
            network
            for app in apps
            for container in app.containers.values()
            if container.spec.telemetry.access == "tcp"
            for network in container.networks
        }
        present = {network.id: network.name for network in observed.networks if network.name in asking}
        self._bridges = {key: device for key, device in self._bridges.items() if key in present}
        for key, name in present.items():
            if key not in self._bridges and (device := self._engine.bridge_of(name)) is not None:
                self._bridges[key] = device
        self._forwarders.ensure(self._bridges)
        if self._accounts.leaving or self._platform.holding - self._placed:
            running = frozenset(container.instance for container in self._engine.containers())  # also of refused apps
            self._platform.keep_only(self._placed | running)
            self._let_go(running)

    def _let_go(self, running: frozenset[str]) -> None:
        """Take accounts from apps that have gone, and forget those whose samples are moved.

        An app may write until its containers have ended; what it wrote then is moved before its stream goes.
        """
        gone = {instance: name for instance, name in self._accounts.leaving.items() if instance not in running}
        for instance in gone:
            self._accounts.retire(instance)
        if self._applied != self._accounts.writing:
            self.apply_accounts()
        if self._applied is None:
            return
        for instance, stream in gone.items():
            try:
                if self._mover.finished(stream, shared=list(self._accounts.streams.values()).count(stream) > 1):
                    self._accounts.forget(instance)
            except RedisUnavailable as error:
                log.warning("the samples of %s wait: %s", instance, error)
