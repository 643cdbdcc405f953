"""What people ask of single apps, written into the journal: from there it is carried out, and outlives a reboot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from broker.messages import AppSection
from device.engine.port import Container
from device.reconcile.facts import MAY_END, Run
from device.reconcile.journal import Journal
from device.reconcile.moves import ALIVE
from device.reconcile.requests import Restart, Start, Stop


class Asked:
    """Takes requests about apps. Each answer is whether it was taken, and a sentence."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def take(
        self,
        request: Restart | Stop | Start,
        section: AppSection | None,
        containers: Iterable[Container],
        runs: Mapping[str, Run],
    ) -> tuple[bool, str]:
        """Note what is asked of an app; `containers` are what there is of it."""
        if section is None:
            return False, f"no app instance {request.instance} is wanted on this device"
        services = frozenset(section.spec.services)
        if request.service is not None and request.service not in services:
            return False, f"{section.name} has no service {request.service}"
        chosen = services if request.service is None else frozenset({request.service})
        mine = [c for c in containers if c.instance == request.instance and c.service in chosen]
        if isinstance(request, Restart):
            return self._restart(section, mine, runs)
        return self._stop(section, chosen) if isinstance(request, Stop) else self._start(section, chosen, mine, runs)

    def _restart(self, section: AppSection, mine: list[Container], runs: Mapping[str, Run]) -> tuple[bool, str]:
        running = {c.id: runs[c.id].started_at_ms for c in mine if c.state in ALIVE and c.id in runs}
        if not running:
            return False, "nothing of it runs"
        self._again(section.instance, running)
        return True, f"{len(running)} containers are started anew"

    def _stop(self, section: AppSection, chosen: frozenset[str]) -> tuple[bool, str]:
        stopped = self._journal.of(section.instance).stopped_for(section) | chosen
        self._journal.change(
            section.instance, stopped=tuple(sorted(stopped)), stopped_under=section.digest or "", again={}
        )
        return True, f"stopped until started: {', '.join(sorted(chosen))}"

    def _start(
        self, section: AppSection, chosen: frozenset[str], mine: list[Container], runs: Mapping[str, Run]
    ) -> tuple[bool, str]:
        stopped = self._journal.of(section.instance).stopped_for(section)
        if not stopped & chosen:
            return False, "it was not stopped by request"
        # Nothing else starts a service again that may end.
        ended = {
            c.id: runs[c.id].started_at_ms
            for c in mine
            if c.service in stopped and c.state == "exited" and c.id in runs and _may_end(section, c)
        }
        self._journal.change(section.instance, stopped=tuple(sorted(stopped - chosen)))
        self._again(section.instance, ended)
        return True, f"may run again: {', '.join(sorted(stopped & chosen))}"

    def _again(self, instance: str, containers: Mapping[str, int | None]) -> None:
        self._journal.change(instance, again={**self._journal.of(instance).again, **containers})

    def forget_done(self, instance: str, runs: Mapping[str, Run]) -> None:
        """Forget the containers that were started anew, and those that are gone."""
        again = self._journal.of(instance).again
        left = {key: at for key, at in again.items() if key in runs and runs[key].started_at_ms == at}
        if len(left) < len(again):
            self._journal.change(instance, again=left)


def _may_end(section: AppSection, container: Container) -> bool:
    return section.spec.services[container.service].restart.policy in MAY_END
