"""The platform services of this device put together: what each app gets, what cannot be given, what ends with an app.

Called by the reconcile thread, as the surroundings are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from broker.appspec import AppSpec
from broker.messages import AppSection
from device.engine.port import BindOrVolume
from device.platform import app_redis, locks
from device.platform.app_redis import AppRedis
from device.platform.display import Display
from device.platform.locks import Locks
from device.reconcile.wanted import Asked, Fitting, asked

MayDisplay = Callable[[AppSection], bool]  # what the owner's policy and the app's grants say


class Platform:
    """Fits apps with locks, Redis servers and a display, within what the owner gives."""

    def __init__(
        self, *, locks: Locks, redis: AppRedis, redis_servers_max: int, display: Display, may_display: MayDisplay
    ) -> None:
        self._locks = locks
        self._redis = redis
        self._redis_servers_max = redis_servers_max
        self._with_redis: dict[str, None] = {}  # those who have a server, first come, first served
        self._display = display
        self._may_display = may_display

    def objections(self, spec: AppSpec, section: AppSection) -> list[str]:
        """Return one sentence for each thing that a release of the app asks for and this device does not have now."""
        return [f"service {name}: {why}" for name, why in sorted(self._unmet(spec, section))]

    def _unmet(self, spec: AppSpec, section: AppSection) -> Iterator[tuple[str, str]]:
        for name, service in spec.services.items():
            if service.redis and not self._redis_servers_max:
                yield name, "no app may have a Redis of its own (platform.redis_servers is 0)"
            elif service.redis and not self._takes_redis(section.instance):
                yield name, f"there are {self._redis_servers_max} Redis servers for apps, and all are in use"
            if service.display == "require" and not (self._may_display(section) and self._display.look()):
                yield (
                    name,
                    "a display is required, and this device has none (platform.x11, platform.wayland)",
                )

    def _takes_redis(self, instance: str) -> bool:
        if instance not in self._with_redis and len(self._with_redis) < self._redis_servers_max:
            self._with_redis[instance] = None
        return instance in self._with_redis

    def fittings(
        self, sections: Sequence[AppSection], *, with_intake: Collection[str]
    ) -> dict[tuple[str, Asked], Fitting]:
        """Return what the containers of these apps are fitted with, all of it there."""
        asking: dict[str, set[Asked]] = {}
        for section in sections:  # several of one app: the newest, the one that runs, the one to go back to
            asking.setdefault(section.instance, set()).update(_asked(section))
        locking = [instance for instance, wishes in asking.items() if "lock" in wishes]
        self._locks.prepare(locking, with_keys=set(locking) & set(with_intake))
        caching = [instance for instance, wishes in asking.items() if "redis" in wishes and self._takes_redis(instance)]
        self._redis.ensure(caching)
        made: dict[tuple[str, Asked], Fitting] = {}
        for instance in locking:
            folder = BindOrVolume("bind", locks.INSIDE, source=str(self._locks.folder(instance)))
            environment = locks.environment(instance, with_key=instance in with_intake)
            made[instance, "lock"] = Fitting(environment, (folder,))
        for instance in caching:
            folder = BindOrVolume("bind", app_redis.INSIDE, source=str(self._redis.folder(instance)), read_only=True)
            made[instance, "redis"] = Fitting(self._redis.environment(), (folder,))
        showing = {s.instance for s in sections if "display" in asking[s.instance] and self._may_display(s)}
        if showing and (found := self._display.look()):
            made |= {(instance, "display"): Fitting(found.environment, found.mounts) for instance in showing}
        return made

    @property
    def holding(self) -> frozenset[str]:
        """Return the instances that something is kept for."""
        return frozenset(self._with_redis) | self._locks.folders

    def close(self) -> None:
        self._redis.close()

    def keep_only(self, instances: Collection[str]) -> None:
        """End what belonged to apps that have gone: neither wanted nor with a container left."""
        self._with_redis = {instance: None for instance in self._with_redis if instance in instances}
        self._redis.keep_only(instances)
        self._locks.forget(instances)


def _asked(section: AppSection) -> set[Asked]:
    return {what for service in section.spec.services.values() for what in asked(service)}
