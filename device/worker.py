"""The worker's composition root: builds the parts, starts them, stops them in reverse. It decides nothing."""

from __future__ import annotations

import base64
import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from broker.channels import inbox_filter
from broker.clock import SystemClock, boot_id, uptime_ms
from broker.errors import Refused
from broker.ids import new_id
from broker.messages import Condition, Instant, Retire, StreamKept, Sync
from broker.sealing import Opener
from broker.session import Session, SessionConfig
from broker.signing import Signer
from broker.threads import SupervisedThread
from broker.tls import client_context
from broker.transport import Publication
from device import conditions, host
from device.checked_file import CheckedFile
from device.cloud_client import CloudClient
from device.commands import Commands
from device.config import Owner, Paths, endpoint, read_identity
from device.connections import Connections
from device.control import Control
from device.engine.docker import DockerEngine
from device.engine.port import EngineUnavailable
from device.engine.secret_files import Secrets, folder_in_memory
from device.happenings import Event, between
from device.images.supply import Supply
from device.inbox import Inbox
from device.ledger import Accepted, Ledger
from device.logs.follower import Followers
from device.mailbox import Mailbox
from device.platform.app_redis import AppRedis
from device.platform.display import Display, Places
from device.platform.locks import Locks
from device.platform.services import Platform
from device.presence import Presence, Standing
from device.reconcile.crew import Hands
from device.reconcile.journal import Journal
from device.reconcile.loop import Reconciler, Report
from device.replies import Replies
from device.reporter import Reporter
from device.store_memory import StoreMemory
from device.surroundings import Surroundings
from device.takeovers import Takeovers
from device.telemetry import servers
from device.telemetry.accounts import Accounts
from device.telemetry.buffer import Buffer
from device.telemetry.caps import caps_of
from device.telemetry.connection import Client, RedisUnavailable
from device.telemetry.container_usage import measured
from device.telemetry.forwarder import Forwarders
from device.telemetry.marks import Marks
from device.telemetry.mover import Mover
from device.telemetry.own import CONTAINERS, METRICS, Events, Metrics
from device.telemetry.shares import Shares
from device.telemetry.shipper import Shipper, Thrift
from device.trust import Trust
from device.uplink import Uplink

log = logging.getLogger(__name__)
EVENTS_S = 600.0  # an event, an end of the stream, and closing the engine all end the wait sooner


class Worker:
    """One device's worker. `run` returns the exit status."""

    def __init__(self, paths: Paths, owner: Owner, *, brokers: tuple[str, ...] = ()) -> None:
        identity, signer = read_identity(paths)
        self._identity = identity
        self._stopping = threading.Event()
        self._status = 0
        self._clock = SystemClock()
        self._boot = boot_id()
        self._storage_errors = {"ledger": "", "reconcile": ""}
        self._is_leaving = False
        self._app_redis = paths.app_redis
        self._reported: Report | None = None  # of the newest round

        self.engine = DockerEngine(
            device=identity.device,
            url=owner.engine,
            files=paths.files,
            secrets=Secrets(Opener(signer.seed), folder_in_memory(identity.device)),
            died=lambda container_id, exit_code: self.reporter.died(container_id, exit_code),  # noqa: PLW0108 - made later
        )
        self.mailbox = Mailbox()
        self.uplink = Uplink(device=identity.ref, mac=identity.mac)
        self.replies = Replies(self.uplink, clock=self._clock)
        self.reporter = Reporter(
            self.uplink,
            clock=self._clock,
            disk_free=lambda: host.disk_free(paths.state),
            link=self._link,
            changed=lambda old, new: self._happened(between(old, new)),
        )
        self.takeovers = Takeovers(self._clock)
        self.store_memory = StoreMemory(paths.state / "store")
        self._build_images(paths, owner, signer)
        self._build_telemetry(paths, owner)
        self._build_reconcile(paths, owner)
        self._build_link(paths, owner, brokers)
        self.control = Control(
            paths.control_socket,
            device=identity.ref,
            images=self.images,
            hand=self.inbox.hand,
            retry=self.reconciler.fetcher.retry_now,
            standing=lambda: self._reported,
            accepted=self._order,
            status=self.reporter.sealed,
        )
        bodies = {
            "control": self.control.run,
            "log-packer": self.followers.run,
            "events": self.events.run,
            "metrics": self.metrics.run,
            **({"usage": self.container_metrics.run} if owner.metrics.containers_every_s else {}),
            "mover": self.mover.run,
            "shipper": self.shipper.run,
            "fetcher": self.reconciler.fetcher.run,
            "reconcile": self.reconciler.run,
            "engine-events": self._watch_engine,
            "lock-watch": self.locks.run,
            "replies": self.replies.run,
            "reporter": self.reporter.run,
            "presence": self.presence.run,
            "inbox": self.inbox.run,
        }
        self.threads = tuple(
            SupervisedThread(name, body, gave_up=self._gave_up, monotonic=self._clock.monotonic)
            for name, body in bodies.items()
        )

    def _build_images(self, paths: Paths, owner: Owner, signer: Signer) -> None:
        cloud, ref = CloudClient(self._identity.cloud, ca=paths.ca), self._identity.ref
        self.images = Supply(
            paths,
            owner.images,
            registry=self._identity.registry,
            ask_token=lambda repository: cloud.registry_token(ref, signer, (repository,)),
            engine=self.engine,
            boot=self._boot,
            free_bytes=lambda: host.disk_free(paths.state),
            monotonic=self._clock.monotonic,
        )

    def _build_telemetry(self, paths: Paths, owner: Owner) -> None:
        accounts = Accounts(paths.telemetry / "accounts.json", socket_folder=paths.intake_folder)
        intake = Client(paths.intake_socket, user=servers.WORKER_USER, password=accounts.worker_password)
        self.buffer = Buffer(
            Client(paths.store_socket),
            marks=Marks(intake),
            epoch_file=paths.telemetry / "epoch",
            now=self._now,
            caps=caps_of(owner.telemetry),
        )
        self.forwarders = Forwarders(paths.intake_socket, port=accounts.tcp_port, crowded=self.mailbox.poke)
        self.shipper = Shipper(self.uplink, self.buffer, clock=self._clock, thrift=self._thrift)
        self.events = Events(self.buffer, clock=self._clock, written=self.shipper.poke)
        self.metrics = Metrics(
            self.buffer,
            stream=METRICS,
            usage=lambda: [host.usage(paths.state)],
            every_s=owner.metrics.every_s,
            clock=self._clock,
            written=self.shipper.poke,
        )
        self.container_metrics = Metrics(
            self.buffer,
            stream=CONTAINERS,
            usage=lambda: measured(self.engine),
            every_s=owner.metrics.containers_every_s,
            clock=self._clock,
            written=self.shipper.poke,
        )
        self.followers = Followers(
            self.engine,
            self.buffer,
            packed=self.shipper.poke,
            live=lambda: self.uplink.connected and self._thrift() == "none",
        )
        settings = owner.telemetry
        self.shares = Shares(
            intake,
            accounts,
            bytes_max=settings.intake_megabytes << 20,
            clock=self._clock,
            changed=self.mailbox.poke,
            rate=settings.app_samples_per_s,
        )
        self.mover = Mover(
            intake,
            self.buffer,
            streams=lambda: accounts.streams,
            linger_s=settings.linger_ms / 1000,
            moved=self.shipper.poke,
            enforce=self.shares.enforce,
        )
        self._build_platform(paths, owner, intake)
        self.surroundings = Surroundings(
            device=self._identity.device,
            registry=self._identity.registry,
            images=self.images.address,
            note_images=self.images.note,
            policy=owner.policy,
            ours=(str(paths.state),),
            engine=self.engine,
            accounts=accounts,
            intake=intake,
            mover=self.mover,
            forwarders=self.forwarders,
            followers=self.followers,
            platform=self.platform,
        )
        self.store = servers.store_server(
            paths, settings, before_start=self.buffer.suspend, on_up=self.buffer.begin_epoch
        )
        self.intake = servers.intake_server(
            paths, settings, password=accounts.worker_password, on_up=self.surroundings.intake_up
        )
        self.children = (self.store.child, self.intake.child)

    def _build_platform(self, paths: Paths, owner: Owner, intake: Client) -> None:
        settings = owner.platform
        self.locks = Locks(
            paths.locks,
            intake=intake,
            memory=paths.locks_file,
            boot=self._boot,
            max_s=settings.lock_max_s,
            clock=self._clock,
            freed=self.mailbox.poke,
        )
        self.platform = Platform(
            locks=self.locks,
            redis=AppRedis(paths.app_redis, megabytes=settings.redis_megabytes),
            redis_servers_max=settings.redis_servers,
            display=Display(
                paths.display, Places(x11=settings.x11, wayland=settings.wayland, xauthority=settings.xauthority)
            ),
            may_display=lambda section: owner.policy.for_app(section.grants).allow_display,
        )

    def _build_reconcile(self, paths: Paths, owner: Owner) -> None:
        self.hands = Hands()
        self.reconciler = Reconciler(
            engine=self.engine,
            mailbox=self.mailbox,
            journal=Journal(CheckedFile(paths.ledger / "journal")),
            policy=owner.policy,
            registry=self._identity.registry,
            clock=self._clock,
            place_for=self.surroundings.place_for,
            pull=self.images.fetch,
            prune=self.images.prune,
            wipe=self._wipe,
            report=self._report,
            progress=self._progress,
            observed=self.surroundings.observed,
            spawn=self.hands.spawn,
            unmet=self.platform.objections,
            lock_of=self.locks.lock_of,
        )

    def _build_link(self, paths: Paths, owner: Owner, brokers: tuple[str, ...]) -> None:
        identity, ref = self._identity, self._identity.ref
        self.connections = Connections(boot=self._boot, uptime_ms=uptime_ms)
        self.trust = Trust(CheckedFile(paths.ledger / "trust"), device=ref, root=base64.b64decode(identity.root_key))
        self.ledger = Ledger(CheckedFile(paths.ledger / "accepted"), device=ref)
        machine = host.describe(self.engine, zone=owner.zone)
        self.presence = Presence(
            self.uplink,
            instance=self.store_memory.install_id(lambda: new_id("w")),
            version=_version(),
            host=lambda: machine,
            policy=owner.policy,
            standing=self._standing,
            beat_s=identity.keepalive_s * 0.9,  # a beat before each PINGREQ would be due, so that none is sent
            clock=self._clock,
        )
        self.inbox = Inbox(
            device=ref,
            mac=identity.mac,
            trust=self.trust,
            ledger=self.ledger,
            commands=Commands(
                CheckedFile(paths.ledger / "command"),
                self.replies,
                ask=self.reconciler.ask,
                wake=lambda: self.inbox.poke(),  # noqa: PLW0108 - the inbox is made with this in it
                uptime_ms=uptime_ms,
            ),
            uplink=self.uplink,
            uptime_ms=uptime_ms,
            accepted=self._accepted,
            synced=self._synced,
            refused=lambda channel, error: self.reporter.condition(conditions.refused(channel, error)),
            unwritten=lambda error: self._storage("ledger", error),
        )
        self.session = Session(
            SessionConfig(
                addresses=tuple(endpoint(text) for text in brokers) or identity.endpoints,
                client_id=ref.cn,
                tls=lambda: client_context(paths.ca, paths.certificate, paths.key),
                subscriptions=((inbox_filter(ref), 1),),
                keepalive_s=identity.keepalive_s,
            ),
            self,
        )
        self.uplink.attach(self.session)

    # --- life

    def run(self) -> int:
        """Work until `stop` is called; return the exit status."""
        self.trust.load()
        self.locks.load()
        for child in self.children:
            child.start(needed=False)  # apps and updates do not wait for telemetry
        held = self.ledger.load(self.trust.verifier_for_desired())
        if held is not None:
            self._accepted(held)
        self.hands.start()
        for thread in self.threads:
            thread.start()
        self.images.start()
        self.session.start()
        log.info("worker of %s is up", self._identity.ref)
        self._stopping.wait()
        self._wind_down()
        return self._status

    def stop(self) -> None:
        """End the worker; apps go on running. Safe in a signal handler."""
        self._stopping.set()

    def _wind_down(self) -> None:
        for thread in self.threads:
            thread.stop()
        self.hands.stop()
        for wake in (
            self.control,
            self.mailbox,
            self.reconciler.fetcher,
            self.events,
            self.mover,
            self.followers,
            self.shipper,
            self.replies,
            self.reporter,
            self.presence,
            self.inbox,
        ):
            wake.poke()
        self.locks.wake()
        self.images.stop()
        self.engine.close()
        self.session.stop()
        for thread in reversed(self.threads):
            if not thread.join(10.0):
                log.warning("thread %s does not end", thread.name)
        self.forwarders.close()
        self.followers.pack()
        self.events.write()
        self.platform.close()
        for child in reversed(self.children):
            child.stop()

    def _gave_up(self, name: str) -> None:
        log.error("thread %s failed too often; the worker ends so that its supervisor starts it afresh", name)
        self._status = 70
        self._stopping.set()

    # --- what the session tells

    def opening(self) -> Publication | None:
        conn = self.connections.next()
        self.reporter.started_after(conn.count)
        return self.uplink.open(conn)

    def up(self, resumed: bool) -> None:
        log.info("connected (%s)", "resumed" if resumed else "new session")
        for part in (self.presence, self.reporter, self.replies):
            part.link_up()
        self.shipper.poke()

    def down(self, reason: str, *, taken_over: bool = False) -> None:
        log.info("not connected: %s", reason)
        if taken_over:
            self.reporter.condition(self.takeovers.taken())

    def message(self, topic: str, payload: bytes) -> None:
        self.inbox.put(topic, payload)

    # --- what the parts tell each other

    def _accepted(self, accepted: Accepted) -> None:
        self.reporter.accepted(accepted.generation)
        self.reporter.condition(conditions.reserved(accepted.desired))
        self._storage("ledger", "")
        self.images.follow(accepted.desired.link)
        self.mailbox.put(accepted.desired)
        self.reconciler.fetcher.retry_now()  # the link may be open now

    def _retired(self, retire: Retire | None, *, wiped: bool) -> None:
        """Tell how far a device that is to go is; nothing, where that was never asked."""
        self._is_leaving = self._is_leaving or retire is not None
        if self._is_leaving:
            self.reporter.condition(conditions.retired(retire, wiped=wiped))

    def _wipe(self, retire: Retire) -> None:
        if retire.wipe == "all":
            shutil.rmtree(self._app_redis, ignore_errors=True)

    def _synced(self, sync: Sync) -> None:
        self.images.meter.time_is(sync.time_ms)
        self.reporter.held(sync.status)
        self.replies.held(sync.replies)
        self.shipper.synced(sync)
        self.presence.synced(sync)
        calm = self.takeovers.calm()
        if calm is not None:
            self.reporter.condition(calm)
        self._return_accepted(sync)
        if self.store_memory.is_news(sync.store):  # last, as it is all that a full disk can fail here
            self.presence.born_again()

    def _return_accepted(self, sync: Sync) -> None:
        """Send our accepted state to a cloud that holds an older one: its database came from a backup."""
        held = self.ledger.accepted
        if held is not None and (sync.desired is None or sync.desired.order < held.generation.order):
            era, generation = held.generation.order
            self.replies.add(f"accepted-{era}-{generation}", about="accepted", ok=True, envelope=held.sealed)

    def _progress(self, instance: str, done: int, total: int) -> None:
        self.reporter.progress(instance, done, total, saved=self.images.patched.saving_bytes)

    def _report(self, report: Report) -> None:
        self._reported = report
        if not report.engine_error:
            self._storage_errors["reconcile"] = report.storage_error
        has_looked = not report.engine_error and not report.storage_error
        self.reporter.found(
            (
                conditions.engine(report.engine_error),
                conditions.intake(self.forwarders.errors, self.forwarders.turned_away),
                conditions.images(self.images.port_error),
                *self._patches(),
                conditions.redis("Store", *self.store.trouble),
                conditions.redis("Intake", *self._intake_trouble()),
                conditions.storage(self._storage_errors),
            ),
            report.instances if has_looked else None,
        )
        if has_looked and report.desired is not None:
            self.images.settled(report.desired, report.instances)
            self._retired(report.desired.retire, wiped=report.wiped)
        self.reporter.ready()

    def _happened(self, events: Sequence[Event]) -> None:
        for event in events:
            self.events.tell(event)

    def _patches(self) -> tuple[Condition, ...]:
        patched = self.images.patched
        if not patched.whole_bytes:
            return ()
        return (conditions.patches(patched.saved_bytes, patched.whole_bytes, patched.failed),)

    def _intake_trouble(self) -> tuple[str, str]:
        over = self.shares.trouble
        return ("over_share", over) if over and not self.intake.trouble[0] else self.intake.trouble

    def _storage(self, writer: str, error: str) -> None:
        self._storage_errors[writer] = error
        self.reporter.condition(conditions.storage(self._storage_errors))

    def _link(self) -> Mapping[str, int]:
        return self.images.meter.report()

    def _thrift(self) -> Thrift:
        meter = self.images.meter
        return ("hold" if meter.is_moving else "logs_first") if meter.is_set else "none"

    def _order(self) -> tuple[int, int] | None:
        held = self.ledger.accepted
        return None if held is None else held.generation.order

    def _standing(self) -> Standing:
        held = self.ledger.accepted
        return Standing(
            accepted=None if held is None else held.generation,
            streams=self._kept(),
            status=self.reporter.revision,
            store=self.store_memory.store,
        )

    def _kept(self) -> tuple[StreamKept, ...]:
        try:
            return self.buffer.kept()
        except RedisUnavailable as error:
            log.warning("a birth without streams: %s", error)
            return ()

    def _watch_engine(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                if self.engine.wait_for_event(EVENTS_S):
                    self.reconciler.engine_changed()
            except EngineUnavailable:
                self.reconciler.engine_changed()
                stopping.wait(1.0)
            except Refused as error:
                log.warning("no events from the engine: %s", error)
                stopping.wait(5.0)

    def _now(self) -> Instant:
        return Instant(boot=self._boot, mono_ms=int(self._clock.monotonic() * 1000), wall_ms=self._clock.wall_ms())


def _version() -> str:
    try:
        return version("skerry")
    except PackageNotFoundError:
        return "0"
