"""What people ask of single apps, written into the journal: from there it is carried out, and outlives a reboot.

A restart is answered when what it is about runs again, or will not; the rest as soon as it is written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broker.messages import AppSection
from device.engine.port import Container
from device.reconcile.facts import MAY_END, UNKNOWN, Run, has_ended
from device.reconcile.journal import Journal
from device.reconcile.moves import ALIVE
from device.reconcile.requests import Answer, Restart, Start, Stop

RESTART_S = 45.0  # beside the time that containers have to end: who asked waits for a minute
OPEN_MAX = 32  # restarts that are not answered yet; beyond it the newest is refused
Answered = tuple[bool, str]


@dataclass(frozen=True)
class Restarting:
    """A restart that was written down, and has still to come about."""

    instance: str
    containers: Mapping[str, int | None]  # by id, with the start before
    since: float
    patience_s: float
    failures: int  # that the app's newest attempt had had before it


@dataclass(frozen=True)
class Trouble:
    """What has failed of the newest attempt at an app's release."""

    failures: int = 0
    error: str = ""


class Asked:
    """Takes requests about apps. Each answer is whether it was done, and a sentence."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._open: list[tuple[Restarting, Answer]] = []

    def restart(
        self,
        request: Restart,
        answer: Answer,
        section: AppSection | None,
        containers: Iterable[Container],
        runs: Mapping[str, Run],
        *,
        trouble: Trouble,
        now: float,
    ) -> None:
        """Note a restart, to be answered by `settle`; one that cannot be is answered at once."""
        refusal, mine = _about(request, section, containers)
        running = {c.id: runs[c.id].started_at_ms for c in mine if c.state in ALIVE and c.id in runs}
        if section is None or refusal or not running:
            answer(False, refusal or "nothing of it runs")
        elif len(self._open) >= OPEN_MAX:
            answer(False, f"{OPEN_MAX} restarts are under way; ask again later")
        else:
            self._again(section.instance, running)
            grace_s = max(section.spec.services[c.service].stop_grace_ms for c in mine if c.id in running) / 1000
            made = Restarting(section.instance, running, now, RESTART_S + grace_s, trouble.failures)
            self._open.append((made, answer))

    def settle(
        self,
        sections: Mapping[str, AppSection],
        containers: Iterable[Container],
        runs: Mapping[str, Run],
        *,
        troubles: Mapping[str, Trouble],
        now: float,
    ) -> float | None:
        """Answer the restarts that have come about or will not; return when the next one is late."""
        there = {container.id: container for container in containers}
        left: list[tuple[Restarting, Answer]] = []
        for made, answer in self._open:
            section = sections.get(made.instance)
            stopped = frozenset() if section is None else self._journal.of(made.instance).stopped_for(section)
            told = came_of(
                made, section, there, runs, trouble=troubles.get(made.instance, Trouble()), stopped=stopped, now=now
            )
            if told is None:
                left.append((made, answer))
            else:
                answer(*told)
        self._open = left
        return min((made.since + made.patience_s - now for made, _ in left), default=None)

    def take(
        self,
        request: Stop | Start,
        section: AppSection | None,
        containers: Iterable[Container],
        runs: Mapping[str, Run],
    ) -> Answered:
        """Note what is asked of an app; `containers` are what there is of it."""
        refusal, mine = _about(request, section, containers)
        if section is None or refusal:
            return False, refusal
        chosen = frozenset(section.spec.services if request.service is None else {request.service})
        return self._stop(section, chosen) if isinstance(request, Stop) else self._start(section, chosen, mine, runs)

    def _stop(self, section: AppSection, chosen: frozenset[str]) -> Answered:
        stopped = self._journal.of(section.instance).stopped_for(section) | chosen
        self._journal.change(
            section.instance, stopped=tuple(sorted(stopped)), stopped_under=section.digest or "", again={}
        )
        return True, f"stopped until started: {', '.join(sorted(chosen))}"

    def _start(
        self, section: AppSection, chosen: frozenset[str], mine: list[Container], runs: Mapping[str, Run]
    ) -> Answered:
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


def _about(
    request: Restart | Stop | Start, section: AppSection | None, containers: Iterable[Container]
) -> tuple[str, list[Container]]:
    """Return why a request is about nothing here, or the containers it is about."""
    if section is None:
        return f"no app instance {request.instance} is wanted on this device", []
    if request.service is not None and request.service not in section.spec.services:
        return f"{section.name} has no service {request.service}", []
    mine = [c for c in containers if c.instance == request.instance and c.service in section.spec.services]
    return "", [c for c in mine if request.service in (None, c.service)]


def came_of(
    made: Restarting,
    section: AppSection | None,
    containers: Mapping[str, Container],
    runs: Mapping[str, Run],
    *,
    trouble: Trouble,
    stopped: frozenset[str],
    now: float,
) -> Answered | None:
    """Return what became of a restart; None as long as that is open. `containers` are all that there are, by id."""
    if section is None:
        return False, "the app is not wanted on this device any more"
    up = 0
    late: list[str] = []
    for key, before in made.containers.items():
        container = containers.get(key)
        if container is None:
            continue  # a newer release, or somebody by hand: what stands in its place was not asked for
        spec = section.spec.services.get(container.service)
        if container.service in stopped:
            return False, f"{container.slot} was stopped by request meanwhile"
        if runs.get(key, UNKNOWN).started_at_ms == before or (container.state != "running" and spec is None):
            late.append(container.slot)
        elif container.state == "running":
            up += 1
        elif spec is not None and has_ended(container, spec):
            if container.exit_code:
                return False, f"{container.slot} was started and ended with code {container.exit_code}"
            up += 1
        else:
            late.append(container.slot)
    if late and trouble.failures > made.failures:
        return False, trouble.error
    if late and now - made.since >= made.patience_s:
        return False, f"{', '.join(sorted(late))} does not run again after {int(now - made.since)} s"
    if late:
        return None
    gone = len(made.containers) - up
    text = "1 container runs again" if up == 1 else f"{up} containers run again"
    return (up > 0, f"{text}; {gone} made way for others" if gone else text)
