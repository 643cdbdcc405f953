"""Does for Podman what Docker does by itself: runs health probes in time, and lets crash loops rest.

Podman leaves timers to systemd, which not every device has, and restarts a crashing container at once and for ever.
One thread decides; a probe runs on a short-lived thread of its own, at most one for each container.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from broker.appspec import Healthcheck
from device.engine import labels, podman
from device.engine.checking import Checking, begin, probed, told
from device.engine.connection import Connection
from device.engine.crash_loop import STABLE_S, Loop, hold, is_looping, recovered, resume
from device.engine.docker_spec import healthcheck_of
from device.engine.listing import CUT_OFF, at_ns, cut_off
from device.engine.port import Container, Details, EngineRefused, EngineUnavailable, Health, State

log = logging.getLogger(__name__)

IDLE_S = 3600.0  # nothing to do but what events bring
RETRY_S = 1.0  # after an engine that did not answer
DECIDE_S = 10.0  # an end of which Podman has not made anything for so long is one
SYSTEMD = "/run/systemd/system"
_HEALTH: dict[str, Health] = {"healthy": "healthy", "unhealthy": "unhealthy"}


@dataclass
class _Minded:
    """What is known of one container."""

    name: str = ""
    check: Healthcheck | None = None
    checking: Checking | None = None
    started: str = ""  # the engine's stamp of the newest start: another one means a new life
    is_running: bool = False
    was_cut_off: bool = False  # by the end of the machine's time before this one
    exit_code: int | None = None
    decides_until: float | None = None  # it has ended, and Podman may be about to start it again
    is_over: bool = False  # it was about to for too long
    stable_at: float | None = None  # when this life has lasted long enough to forgive the restarts before
    loop: Loop = field(default_factory=Loop)
    restarts: int = 0  # by the engine's count
    retries_max: int | None = None  # of an on-failure policy
    probe_began: float | None = None
    is_late: bool = False  # the probe under way has used up its time

    def take(self, found: dict[str, Any], *, now: float) -> None:
        """Take what an inspection says."""
        state = found["State"]
        self.name = str(found.get("Name", "")).lstrip("/")
        self.restarts = int(found.get("RestartCount") or 0)
        self.is_running = bool(state.get("Running"))
        self.was_cut_off = cut_off(found)
        self.exit_code = None if self.is_running else int(state.get("ExitCode") or 0)
        self.is_over = False
        is_ended = state.get("Status") == "stopped"
        self.decides_until = now - _age_s(str(state.get("FinishedAt"))) + DECIDE_S if is_ended else None
        policy = found["HostConfig"].get("RestartPolicy") or {}
        self.retries_max = int(policy.get("MaximumRetryCount") or 0) if policy.get("Name") == "on-failure" else None
        self.retries_max = self.retries_max or None  # 0 is without end
        if self.is_running and self.loop.is_held:  # somebody else has started it
            self.loop = resume(self.loop, restarts=0)
        if str(state.get("StartedAt")) != self.started:
            self.started = str(state.get("StartedAt"))
            began_at = now - _age_s(self.started)
            self.check = _check_of(found)
            self.checking = begin(self.check, began_at=began_at, now=now) if self.check else None
            self.stable_at = began_at + STABLE_S

    @property
    def due_at(self) -> float | None:
        """When there is something to do, without an event."""
        if self.loop.resume_at is not None:
            return self.loop.resume_at
        if not self.is_running:
            return None if self.is_over else self.decides_until
        dues = [] if self.stable_at is None else [self.stable_at]
        if self.checking is not None and self.check is not None:
            if self.probe_began is not None and not self.is_late:
                dues.append(self.probe_began + self.check.timeout_ms / 1000)
            else:
                dues.append(self.checking.due_at)
        return min(dues, default=None)


class Minder:
    """Owns health and crash loops of one device's containers on an engine that does neither."""

    def __init__(
        self,
        connection: Connection,
        *,
        changed: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
        has_timers: bool | None = None,
    ) -> None:
        self._connection = connection
        self._changed = changed
        self._monotonic = monotonic
        self._has_timers = os.path.isdir(SYSTEMD) if has_timers is None else has_timers
        self._lock = threading.RLock()
        self._minded: dict[str, _Minded] = {}
        self._doubtful: set[str] = set()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    # --- what the engine's adapter tells and asks

    def start(self) -> None:
        """Begin to mind; again is fine."""
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="engine-minder", daemon=True)
                self._thread.start()

    def heard(self, event: dict[str, Any]) -> bool:
        """Take an event; return whether it is news for others. Probes are ours, and their results are told by us."""
        action = str(event.get("Action", ""))
        if action.startswith(("exec", "health_status")):
            return False
        container = str((event.get("Actor") or {}).get("ID", ""))
        with self._lock:
            if event.get("Type") == "container" and container in self._minded:
                self._doubtful.add(container)
        self._wake.set()
        return True

    def doubt_all(self) -> None:
        """Look at everything again: events may have been missed."""
        with self._lock:
            self._doubtful |= set(self._minded)
        self._wake.set()

    def overlay(self, seen: Iterable[Container]) -> tuple[Container, ...]:
        """Return the listed containers with their health, those that are held as restarting; look at new ones."""
        listed = tuple(seen)
        with self._lock:
            known = {container.id for container in listed}
            self._minded = {key: minded for key, minded in self._minded.items() if key in known}
            strange = [c.id for c in listed if c.id not in self._minded]
        for key in strange:
            self._look(key)
        if strange:
            self._wake.set()
        with self._lock:
            return tuple(self._shown(container) for container in listed)

    def completed(self, container_id: str, told: Details) -> Details:
        """Return the details with the restarts that the engine has forgotten."""
        with self._lock:
            minded = self._minded.get(container_id)
            return told if minded is None else replace(told, restarts=told.restarts + minded.loop.before)

    def release(self, container_id: str) -> None:
        """By id or name: leave a container alone that is about to be started, stopped or removed on somebody's wish."""
        with self._lock:  # a start of ours that is under way comes before what they do, never after
            left = {key: each for key, each in self._minded.items() if container_id not in (key, each.name)}
            self._minded = left

    def close(self) -> None:
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5.0)

    # --- the thread

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                pause_s = self._round()
            except EngineUnavailable as error:
                log.info("containers are not minded now: %s", error)
                self.doubt_all()
                self._wake.clear()
                pause_s = RETRY_S
            self._wake.wait(pause_s)
            self._wake.clear()

    def _round(self) -> float:
        with self._lock:
            doubtful, self._doubtful = self._doubtful & set(self._minded), set()
        for key in doubtful:
            self._look(key)
        with self._lock:
            minded = dict(self._minded)
        for key, each in minded.items():
            self._mind_end(each)
            self._mind_loop(key, each)
            self._mind_health(key, each)
        with self._lock:
            dues = [due for each in self._minded.values() if (due := each.due_at) is not None]
        return max(0.0, min(dues, default=self._monotonic() + IDLE_S) - self._monotonic())

    def _look(self, key: str) -> None:
        """Inspect one container and keep what it says."""
        try:
            with self._connection.reading():
                found = self._connection.client().inspect_container(key)
        except EngineRefused:
            with self._lock:
                self._minded.pop(key, None)
            return
        with self._lock:
            minded = self._minded.get(key)
            if minded is None:
                minded = self._minded[key] = _Minded()
                minded.loop = Loop(forgiven=int(found.get("RestartCount") or 0))  # nobody saw when these were
            minded.take(found, now=self._monotonic())

    # --- ends

    def _mind_end(self, minded: _Minded) -> None:
        """Take for over what has ended, and who should make something of that may be dead."""
        with self._lock:
            is_over = minded.decides_until is not None and self._monotonic() >= minded.decides_until
            is_news, minded.is_over = is_over and not minded.is_over, is_over
        if is_news:
            self._changed()

    # --- crash loops

    def _mind_loop(self, key: str, minded: _Minded) -> None:
        now = self._monotonic()
        with self._lock:
            if self._minded.get(key) is not minded:
                return
            if minded.loop.resume_at is not None:
                if now >= minded.loop.resume_at:
                    self._resume(key, minded, now)
            elif minded.is_running and minded.stable_at is not None and now >= minded.stable_at:
                minded.stable_at = None
                minded.loop = recovered(minded.loop, restarts=minded.restarts)
            elif is_looping(minded.loop, restarts=minded.restarts):
                self._hold(key, minded, now)

    def _hold(self, key: str, minded: _Minded, now: float) -> None:
        try:
            with self._connection.acting():
                restarts = podman.stop(self._connection, key, grace_s=0)
        except EngineRefused as error:
            log.info("%s is not held back now: %s", key[:12], error)
            return
        if restarts is None:
            return  # the next event is another chance
        minded.loop = hold(minded.loop, restarts=restarts, retries_max=minded.retries_max, now=now)
        minded.restarts, minded.is_running, minded.decides_until = restarts, False, None
        self._changed()

    def _resume(self, key: str, minded: _Minded, now: float) -> None:
        """Start it again. The lock is held over the call, so that a stop on somebody's wish is never undone by it."""
        minded.loop = resume(minded.loop, restarts=minded.restarts)
        minded.restarts = 0  # Podman counts anew
        try:
            with self._connection.acting():
                self._connection.client().start(key)
        except EngineRefused as error:
            log.info("%s is not started again now: %s", key[:12], error)
            minded.loop = hold(minded.loop, restarts=0, retries_max=minded.retries_max, now=now)
        self._doubtful.add(key)
        self._wake.set()
        self._changed()

    # --- health

    def _mind_health(self, key: str, minded: _Minded) -> None:
        now = self._monotonic()
        with self._lock:
            check, checking = minded.check, minded.checking
            if check is None or checking is None or not minded.is_running:
                return
            if minded.probe_began is not None:
                # A probe that hangs counts as failed, and once more each time another would be due: one beside it would
                # hang as well, and they would pile up.
                due_at = checking.due_at if minded.is_late else minded.probe_began + check.timeout_ms / 1000
                if now >= due_at:
                    minded.is_late = True
                    self._keep(minded, probed(check, checking, ok=False, now=now))
                return
            if now < checking.due_at:
                return
            minded.probe_began, minded.is_late = now, False
        probe = threading.Thread(target=self._probe, args=(key, minded), name=f"probe-{key[:12]}", daemon=True)
        probe.start()

    def _probe(self, key: str, minded: _Minded) -> None:
        started, health = minded.started, None
        try:
            with self._connection.reading():
                health = self._result(key)
        except (EngineRefused, EngineUnavailable) as error:
            log.debug("no probe of %s: %s", key[:12], error)  # it has ended, or the engine has: look which
        now = self._monotonic()
        with self._lock:
            check, checking = minded.check, minded.checking
            minded.probe_began = None
            if health is None:
                self._doubtful.add(key)
                if checking is not None and check is not None:
                    minded.checking = told(check, checking, checking.health, now=now)
            elif check is not None and checking is not None and minded.started == started and not minded.is_late:
                if self._has_timers:
                    self._keep(minded, told(check, checking, health, now=now))
                else:
                    self._keep(minded, probed(check, checking, ok=health == "healthy", now=now))
        self._wake.set()

    def _result(self, key: str) -> Health:
        if self._has_timers:  # then the engine probes by itself, and only does not show it in its list
            state = self._connection.client().inspect_container(key)["State"]
            return _HEALTH.get(str((state.get("Health") or {}).get("Status")), "starting")
        answer = self._connection.libpod("GET", f"/containers/{key}/healthcheck", timeout=None)
        return "healthy" if answer.json().get("Status") == "healthy" else "unhealthy"

    def _keep(self, minded: _Minded, checking: Checking) -> None:
        is_news = minded.checking is None or minded.checking.health != checking.health
        minded.checking = checking
        if is_news:
            self._changed()

    def _shown(self, container: Container) -> Container:
        minded = self._minded.get(container.id)
        if minded is None:
            return container
        if minded.loop.is_held:
            return replace(container, state="restarting", health="none")
        if container.state == "restarting":
            state: State = "exited" if minded.is_over else "restarting"
            return replace(container, state=state, exit_code=minded.exit_code)
        if minded.was_cut_off and container.state in ("created", "exited"):
            return replace(container, state="exited", exit_code=CUT_OFF, was_cut_off=True)
        if container.state == "running" and minded.checking is not None:
            return replace(container, health=minded.checking.health)
        return container


def _check_of(found: dict[str, Any]) -> Healthcheck | None:
    config = found["Config"]
    check = healthcheck_of(config.get("Healthcheck"))
    told = (config.get("Labels") or {}).get(labels.START_INTERVAL, "")
    return check.model_copy(update={"start_interval_ms": int(told)}) if check and told.isdigit() else check


def _age_s(started: str) -> float:
    """Return how long ago the engine says that was, by this machine's clock, which is the engine's as well."""
    began_ns = at_ns(started)
    return 0.0 if began_ns is None or began_ns < 0 else max(0.0, time.time() - began_ns / 1e9)
