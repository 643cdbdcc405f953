"""Both Redis children as the worker runs them, a buffer and a mover between them, and two apps that may write."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from broker.clock import SystemClock
from broker.messages import Instant
from broker.payloads import unpack_samples
from device.config import Paths, TelemetrySettings
from device.platform.app_redis import AppRedis
from device.platform.display import Display, Places
from device.platform.locks import Locks
from device.platform.services import Platform
from device.reconcile.wanted import IntakeAccess
from device.telemetry import servers
from device.telemetry.accounts import Accounts
from device.telemetry.buffer import Buffer
from device.telemetry.connection import Client, RedisUnavailable
from device.telemetry.marks import Marks
from device.telemetry.mover import Mover
from device.telemetry.servers import Server
from device.telemetry.stored import Place
from tests.harness.apps import section, service
from tests.harness.servers import program

NOW = Instant(boot="0" * 32, mono_ms=1, wall_ms=2)
STREAM = "telemetry:hello"
OTHER_STREAM = "telemetry:other"
SECTIONS = tuple(
    section({"web": service(telemetry={"access": "socket"})}, name=name, instance=instance)
    for name, instance in (("hello", "iaaaaaaaaaaa"), ("other", "ibbbbbbbbbbb"))
)

SETTINGS = TelemetrySettings(intake_megabytes=8, store_megabytes=64)


@dataclass
class Bench:
    """The telemetry half of one worker, without its threads."""

    paths: Paths
    accounts: Accounts
    accesses: dict[str, IntakeAccess]
    intake: Client
    buffer: Buffer
    looks: int = 0  # how often the mover has asked which streams there are
    mover: Mover = field(init=False)
    store_server: Server = field(init=False)
    intake_server: Server = field(init=False)

    def __post_init__(self) -> None:
        self.mover = Mover(self.intake, self.buffer, streams=self._streams, linger_s=0, moved=lambda: None)

    def _streams(self) -> dict[str, str]:
        self.looks += 1
        return self.accounts.streams

    @property
    def accounts_file(self) -> Path:
        return self.paths.telemetry / "accounts.json"

    def app(self, stream: str = STREAM) -> Any:
        """Return a client as the app that owns `stream` has it."""
        access = next(each for each in self.accesses.values() if each.stream == stream)
        return self.client(username=access.user, password=access.password)

    def client(self, **account: Any) -> Any:
        """Return a client of the intake that tells of an error at once."""
        return redis.Redis(unix_socket_path=str(self.paths.intake_socket), retry=Retry(NoBackoff(), 0), **account)

    def write(self, numbers: range, stream: str = STREAM) -> None:
        app = self.app(stream)
        for n in numbers:
            app.xadd(stream, {"n": n})
        app.close()

    def move(self, stream: str = STREAM) -> None:
        self.buffer.name_losses()
        self.mover.move(stream)

    def moved(self) -> bool:
        """Move, and return whether both servers answered."""
        try:
            self.move()
        except RedisUnavailable:
            return False
        return True

    def answers(self) -> bool:
        try:
            self.buffer.extents()
        except RedisUnavailable:
            return False
        return True

    def power_cut_of_the_intake(self, lost: Callable[[], object]) -> None:
        """Do something that the intake then knows nothing of, as it did not reach the disk."""
        folder = self.paths.telemetry / "intake"
        saved = folder.with_name("saved")
        shutil.copytree(folder, saved)
        lost()
        self.intake_server.child.stop()
        shutil.rmtree(folder)
        saved.rename(folder)
        self.start_intake()

    def new_store(self) -> Server:
        """Return another server on the same files, not started."""
        buffer = self.buffer
        return servers.store_server(self.paths, SETTINGS, before_start=buffer.suspend, on_up=buffer.begin_epoch)

    def start_store(self) -> None:
        """Start the store, anew also after it was stopped."""
        self.store_server = self.new_store()
        self.store_server.child.start()

    def start_intake(self) -> None:
        """Start the intake, anew also after it was stopped."""
        password = self.accounts.worker_password
        self.intake_server = servers.intake_server(self.paths, SETTINGS, password=password, on_up=self._intake_up)
        self.intake_server.child.start()

    def _intake_up(self) -> None:
        with contextlib.suppress(RedisUnavailable):
            self.mover.intake_is_back()
        self.accounts.apply(self.intake)

    def gaps(self, stream: str = STREAM) -> list[tuple[int, int, str]]:
        """Return what is named as lost in the buffer."""
        return [
            (gap.first, gap.last, gap.cause)
            for extent in reversed(self.buffer.extents())
            if extent.place.stream == stream
            for batch in self.buffer.read(extent.place, after=0, count=1000)
            for gap in batch.gaps
        ]

    def place(self) -> Place:
        return next(e.place for e in self.buffer.extents() if e.place.stream == STREAM)

    def numbers(self, stream: str = STREAM) -> list[str]:
        """Return the field `n` of everything in the buffer, all epochs, oldest first."""
        return [
            sample.fields["n"]
            for extent in reversed(self.buffer.extents())
            if extent.place.stream == stream
            for batch in self.buffer.read(extent.place, after=0, count=1000)
            if batch.payload
            for sample in unpack_samples(batch.payload)
        ]


@contextmanager
def running(folder: Path) -> Iterator[Bench]:
    """Start both servers below `folder`, and end them afterwards."""
    program("redis-server")
    paths = Paths(folder)
    paths.prepare()
    accounts = Accounts(paths.telemetry / "accounts.json", socket_folder=paths.intake_folder)
    accesses = accounts.access_for(SECTIONS)
    intake = Client(paths.intake_socket, user=servers.WORKER_USER, password=accounts.worker_password)
    buffer = Buffer(
        Client(paths.store_socket), marks=Marks(intake), epoch_file=paths.telemetry / "epoch", now=lambda: NOW
    )
    made = Bench(paths, accounts, accesses, intake, buffer)
    made.start_store()
    made.start_intake()
    try:
        yield made
    finally:
        made.intake_server.child.stop()
        made.store_server.child.stop()


def platform(bench: Bench, *, redis_servers_max: int = 4, places: Places | None = None) -> Platform:
    """Return the platform services of the same worker; a display is allowed where `places` says where to look."""
    return Platform(
        locks=Locks(
            bench.paths.locks,
            intake=bench.intake,
            memory=bench.paths.locks_file,
            boot=NOW.boot,
            max_s=3600.0,
            clock=SystemClock(),
            freed=lambda: None,
        ),
        redis=AppRedis(bench.paths.app_redis, megabytes=8),
        redis_servers_max=redis_servers_max,
        display=Display(bench.paths.display, places or Places()),
        may_display=lambda section: places is not None,
    )
