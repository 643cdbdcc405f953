"""The crew: carries out the plans of several apps side by side, a few steps at a time. It decides nothing.

One job an app. Threads take steps whose predecessors are done; a step that fails takes those that need it with it and
leaves the others. The reconcile thread begins jobs and collects what became of them.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from broker.errors import SkerryError
from device.engine.port import EngineUnavailable
from device.reconcile.steps import Outcome, Plan, Step, line

log = logging.getLogger(__name__)
WIDTH = 4  # steps at once: engines do a create and a start in parallel well, and a device has more to do

Spawn = Callable[[Callable[[], None]], None]


@dataclass
class _Job:
    plan: Plan
    waiting: set[int]
    running: int = 0
    done: list[int] = field(default_factory=list)
    failed: Step | None = None
    error: SkerryError | None = None
    bug: Exception | None = None
    is_cancelled: bool = False


def _outcome(job: _Job) -> Outcome:
    done = set(job.done)
    steps = list(enumerate(job.plan.steps))
    return Outcome(
        done=tuple(step for number, step in steps if number in done),
        left=tuple(step for number, step in steps if number not in done),
        failed=job.failed,
        error=job.error,
    )


class Crew:
    """`do(step)` does one step; `wake()` is called when a job has ended. Without `spawn`, jobs are done on the spot."""

    def __init__(self, do: Callable[[Step], None], *, wake: Callable[[], None], spawn: Spawn | None = None) -> None:
        self._do = do
        self._wake = wake
        self._spawn = spawn or (lambda task: task())
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._ended: dict[str, _Job] = {}

    def begin(self, instance: str, plan: Plan) -> None:
        """Start to carry out a plan for an app that has no job."""
        job = _Job(plan, set(range(len(plan.steps))))
        with self._lock:
            assert instance not in self._jobs | self._ended
            self._jobs[instance] = job
        self._go_on(instance, job)

    def cancel(self, instance: str) -> None:
        """Begin no further step of an app's job; those under way are finished."""
        with self._lock:
            job = self._jobs.get(instance)
            if job is not None:
                job.is_cancelled = True

    @property
    def busy(self) -> frozenset[str]:
        """Return the apps whose job goes on, or has ended and was not collected."""
        with self._lock:
            return frozenset(self._jobs | self._ended)

    def collected(self) -> Mapping[str, Outcome]:
        """Return what became of the jobs that have ended, by app, once each. A bug in a step rises here."""
        with self._lock:
            ended, self._ended = self._ended, {}
        for job in ended.values():
            if job.bug is not None:
                raise job.bug
        return {instance: _outcome(job) for instance, job in ended.items()}

    def _go_on(self, instance: str, job: _Job) -> None:
        """Hand out every step that can be done now; end the job when none is left or under way."""
        with self._lock:
            done = set(job.done)
            ready = [] if self._is_over(job) else sorted(n for n in job.waiting if job.plan.after[n] <= done)
            job.waiting.difference_update(ready)
            job.running += len(ready)
            is_end = not job.running and self._jobs.get(instance) is job
            if is_end:
                self._ended[instance] = self._jobs.pop(instance)
        for number in ready:
            self._spawn(lambda number=number: self._step(instance, job, number))  # type: ignore[misc]
        if is_end:
            self._wake()

    @staticmethod
    def _is_over(job: _Job) -> bool:
        return job.is_cancelled or job.bug is not None or isinstance(job.error, EngineUnavailable)

    def _step(self, instance: str, job: _Job, number: int) -> None:
        step = job.plan.steps[number]
        error: Exception | None = None
        skipped = self._is_over(job)
        if not skipped:
            log.info("%s", line(step))
            try:
                self._do(step)
            except Exception as raised:  # noqa: BLE001 - kept, and a bug rises on the thread that collects it
                error = raised
                log.warning("%s: %s", line(step), raised)
        with self._lock:
            job.running -= 1
            if error is None and not skipped:
                job.done.append(number)
            elif isinstance(error, SkerryError):
                job.failed, job.error = job.failed or step, job.error or error
            elif error is not None:
                job.bug = error
        self._go_on(instance, job)


class Hands:
    """Threads that do what they are handed, `WIDTH` at a time."""

    def __init__(self, width: int = WIDTH) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()  # bounded by the plans
        self.threads = [threading.Thread(target=self._work, name=f"step-{n}", daemon=True) for n in range(width)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Let the threads end after what they do now; daemons, so that no call of an engine holds the process."""
        for _ in self.threads:
            self._tasks.put(None)

    def spawn(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
