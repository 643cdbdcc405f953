"""A reconciler on a real engine, with threads and events as in the worker, and neither a cloud nor a link around it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker

from broker.appspec import Hook
from broker.clock import SystemClock
from broker.ids import new_id
from broker.messages import AppSection, InstanceStatus, ServiceStatus
from broker.policy import Policy
from device.checked_file import CheckedFile
from device.engine.docker import DockerEngine
from device.engine.port import Container, EngineUnavailable, Progress
from device.mailbox import Mailbox
from device.reconcile.crew import Hands
from device.reconcile.journal import Journal
from device.reconcile.lock import HeldLock
from device.reconcile.loop import Reconciler, Report
from device.reconcile.requests import Request
from device.reconcile.wanted import Place
from tests.harness.apps import HOST, section
from tests.harness.engine import device_engine, docker_client
from tests.harness.servers import wait_until
from tests.unit.device.fakes import desired

REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/web"
STAY = "trap 'exit 0' TERM; while :; do /bin/busybox sleep 0.05; done"
PATIENCE_S = 60.0


class Islet:
    """Apps on one engine. `images` are two releases of their image, by name, as the engine calls them.

    `lock_of` and `pull` may be put something else in their place, for locks and for links that are away.
    """

    def __init__(self, folder: Path, engine: DockerEngine, images: Mapping[str, str], url: str | None) -> None:
        self.engine = engine
        self.url = url
        self.policy = Policy(allow_bind_prefixes=tuple(str(mount["source"]) for mount in HOST))
        self.images = images
        self.lock_of: Callable[[str], HeldLock | None] = lambda instance: None
        self.pull: Callable[[str, Progress], None] = lambda image, told: engine.pull(image, token="none", progress=told)
        self.instance = new_id("i")
        self._generation = 0
        self.reports: list[Report] = []
        self._seen: dict[str, Container] = {}
        self._stopping = threading.Event()
        self._hands = Hands()
        self._may_act = threading.Event()
        self._may_act.set()
        registry = next(iter(images.values())).partition("/")[0]
        place = Place(device=engine._device, registry=registry, intake={}, policy=self.policy)
        self.mailbox = Mailbox()
        self.reconciler = Reconciler(
            engine=engine,
            mailbox=self.mailbox,
            journal=Journal(CheckedFile(folder / "journal")),
            policy=self.policy,
            clock=SystemClock(),
            place_for=lambda sections: place,
            pull=self._pull,
            lock_of=self._held,
            report=self.reports.append,
            progress=lambda instance, done, total: None,
            observed=lambda apps, observed: None,
            spawn=self._spawn,
        )
        bodies: list[Callable[[threading.Event], None]] = [
            self.reconciler.run, self.reconciler.fetcher.run, self._watch
        ]  # fmt: skip
        self._threads = [threading.Thread(target=body, args=(self._stopping,), daemon=True) for body in bodies]
        self._folder = folder

    @contextmanager
    def after_a_restart(self) -> Iterator[Islet]:
        """Yield what a worker is that starts where this one has ended: with what is on the disk and in the engine."""
        self.stop()
        assert self.engine.files.folder is not None
        engine = DockerEngine(device=self.engine._device, url=self.url, files=self.engine.files.folder)
        made = Islet(self._folder, engine, self.images, self.url)
        made.instance, made._generation = self.instance, self._generation
        made.start()
        try:
            yield made
        finally:
            made.stop()
            engine.close()

    def start(self) -> None:
        self._hands.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._hands.stop()
        self.mailbox.poke()
        self.reconciler.fetcher.poke()
        self._may_act.set()
        for thread in (*self._threads[:2], *self._hands.threads):
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), f"{thread.name} does not end"

    def _watch(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                if self.engine.wait_for_event(5.0):
                    self.reconciler.engine_changed()
            except EngineUnavailable:
                self.reconciler.engine_changed()
                stopping.wait(0.2)

    def _spawn(self, task: Callable[[], None]) -> None:
        def when_it_may() -> None:
            self._may_act.wait(PATIENCE_S)
            task()

        self._hands.spawn(when_it_may)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let the reconciler see everything and do nothing meanwhile: somebody else is quicker."""
        self._may_act.clear()
        try:
            yield
        finally:
            self._may_act.set()

    def _pull(self, image: str, told: Progress) -> None:
        self.pull(image, told)

    def _held(self, instance: str) -> HeldLock | None:
        return self.lock_of(instance)

    # --- deeds

    def release(
        self, services: Mapping[str, Mapping[str, Any]], *, image: str = "one", name: str = "islet", **top: Any
    ) -> AppSection:
        """Return a release of services that stay until they are stopped, each on one network; told fast."""
        base = {
            "image": {"repository": REPOSITORY, "digest": self.images[image].partition("@")[2]},
            "command": ["/bin/busybox", "sh", "-c", STAY],
            "networks": {"back": {}},
            "restart": {"policy": "unless-stopped"},
            "stop_grace_ms": 3000,
            "update": {"monitor_ms": 300},
            "rollback": {"monitor_ms": 300},
        }
        made = {name: base | dict(keys) for name, keys in services.items()}
        return section(made, name=name, **{"instance": self.instance, "networks": {"back": {}}} | top)

    def want(self, *apps: AppSection) -> None:
        self._generation += 1
        self.mailbox.put(desired(self._generation, apps=apps))

    def settle(self, app: AppSection, state: str = "converged") -> InstanceStatus:
        """Ask for a release and wait until it is reported as being in a state."""
        self.want(app)
        self.until(lambda: self.state() == state, f"the app is {state}: {self.status()}")
        found = self.status()
        assert found is not None
        return found

    def ask(self, request: Request) -> str:
        """Ask and return the answer, which must be a yes."""
        answers: list[tuple[bool, str]] = []
        self.reconciler.ask(request, lambda ok, message: answers.append((ok, message)))
        wait_until(lambda: answers, what="an answer")
        ok, message = answers[0]
        assert ok, message
        return message

    # --- looking

    def status(self, instance: str | None = None) -> InstanceStatus | None:
        """Return what is reported of an app, the islet's own unless told otherwise, if it is of the newest wish."""
        newest = self.reports[-1] if self.reports else None
        if newest is None or newest.desired is None or newest.desired.generation != self._generation:
            return None
        return next((one for one in newest.instances if one.instance == (instance or self.instance)), None)

    def state(self, instance: str | None = None) -> str:
        found = self.status(instance)
        return "" if found is None else found.state

    def service(self, slot: str) -> ServiceStatus:
        """Return what is reported of a service; nothing yet is one that is missing."""
        found = self.status()
        missing = ServiceStatus(name=slot, state="missing")
        return next((one for one in (found.services if found else ()) if one.name == slot), missing)

    def message(self) -> str:
        found = self.status()
        return "" if found is None else found.message

    def conditions(self) -> dict[str, str]:
        """Return the conditions that hold, each with its reason."""
        found = self.status()
        return {} if found is None else {c.type: c.reason for c in found.conditions if c.status}

    def ever(self) -> set[str]:
        """Return the conditions that have held in any report."""
        return {c.type for report in self.reports for one in report.instances for c in one.conditions if c.status}

    def ids(self) -> dict[str, str]:
        """Return the ids of what runs, by slot."""
        return {slot: container.id for slot, container in self.containers().items()}

    def all_ids(self) -> set[str]:
        """Return the ids of what there is, running or not."""
        return {container.id for container in self.engine.containers()}

    @contextmanager
    def client(self) -> Iterator[docker.APIClient]:
        """Yield what a person has who does things by hand."""
        made = docker_client(self.url)
        try:
            yield made
        finally:
            made.close()

    def inside(self, slot: str, script: str) -> str:
        """Run a script in a container; return what it wrote."""
        hook = Hook(command=("/bin/busybox", "sh", "-c", script))
        return self.engine.run_hook(self.ids()[slot], hook, timeout_s=20).output.strip()

    def containers(self) -> dict[str, Container]:
        """Return the running containers by slot, as the engine showed them last: a busy one may fail to."""
        with contextlib.suppress(EngineUnavailable):
            self._seen = {c.slot: c for c in self.engine.containers() if c.state == "running"}
        return self._seen

    def until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, timeout_s=PATIENCE_S, what=what)


@contextmanager
def islet(folder: Path, images: Mapping[str, str], *, url: str | None = None) -> Iterator[Islet]:
    """Yield an islet that runs nothing yet; remove what it made."""
    docker_client(url).close()
    with device_engine(url) as engine:
        made = Islet(folder, engine, images, url)
        made.start()
        try:
            yield made
        finally:
            made.stop()
