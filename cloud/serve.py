"""The composition root of `skerry-cloud serve`: builds everything, starts it in order, stops it in reverse."""

from __future__ import annotations

import datetime as dt
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from broker import channels
from broker.children import Child
from broker.clock import Clock, SystemClock
from broker.errors import Passing
from broker.ids import DeviceRef
from broker.tls import ca_hash
from broker.transport import Publication, Transport
from cloud import incarnation, keys, pki, ready, registry, servers, sinks
from cloud.adoption import Adopter
from cloud.api.app import create_app
from cloud.api.context import Context, Notices
from cloud.collector import Collector
from cloud.config import Settings, database_of
from cloud.courier import Courier
from cloud.dispatcher import Dispatcher
from cloud.household import Household
from cloud.ingest.batch import BatchHandler
from cloud.ingest.inbox import Inbox
from cloud.ingest.outlets import Shown
from cloud.ingest.presence import PresenceHandler
from cloud.ingest.progress import ProgressHandler
from cloud.ingest.reply import ReplyHandler
from cloud.ingest.retention import Retention
from cloud.ingest.sessions import Sessions
from cloud.ingest.status import StatusHandler
from cloud.ingest.sweeper import Sweeper
from cloud.ingest.verify import Verifiers
from cloud.ingest.worker import Outlets, Worker
from cloud.issuing import Issuer
from cloud.keys import Keys
from cloud.links import Links
from cloud.live import Feed
from cloud.passwords import Passwords
from cloud.patcher import Patcher
from cloud.pki import Pki
from cloud.publisher import Publisher
from cloud.release_images import ReleaseImages
from cloud.revoker import Levers, Revoker
from cloud.server import ApiServer
from cloud.sinks import Feeder
from cloud.store import devices, revocations
from cloud.store.database import Database
from cloud.store.migrate import migrate
from cloud.throttle import Throttle
from cloud.vault import Vault

LOGINS_PER_MINUTE = 20.0  # of one user
COMMANDS_PER_MINUTE = 120.0  # of one organisation; one to a whole fleet counts once


@dataclass(frozen=True)
class _Ground:
    """What everything stands on: the database, the keys, and the servers beside us."""

    settings: Settings
    clock: Clock
    database: Database
    store: str
    keys: Keys
    pki: Pki
    tokens: registry.RegistryTokens
    images: registry.Registry
    vault: Vault
    issuer: Issuer
    feed: Feed
    patcher: Patcher
    broker: Child


@dataclass(frozen=True)
class _Ways:
    """The ways to and from devices."""

    publisher: Publisher
    courier: Courier
    dispatcher: Dispatcher
    publishing: Transport  # the session of both
    inbox: Inbox
    verifiers: Verifiers
    sessions: Sessions
    shown: Shown
    revoker: Revoker
    retention: Retention

    def changed(self, refs: Sequence[DeviceRef]) -> None:
        """Tell who wants to know that devices came, went or reported."""
        self.courier.devices_changed()
        self.shown.changed(refs)

    def enrolled(self, device: DeviceRef) -> None:
        self.verifiers.enrolled(device)
        self.sessions.join(device.shard)
        self.publisher.enrolled(device)
        self.revoker.wake()  # of the machine that was this device before, if there was one

    def revoked(self, device: DeviceRef) -> None:
        self.verifiers.revoked(device)
        self.revoker.wake()


def serve(settings: Settings, *, stopping: threading.Event, on_ready: Callable[[ready.Ready], None]) -> None:
    """Run the cloud until `stopping`. Raises `Passing` or `Refused` when something cannot start."""
    clock = SystemClock()
    with Household(stopping, clock) as household:
        ground = _ground(settings, household, clock)
        ways = _ways(ground)
        api = ApiServer(create_app(_context(ground, ways)), settings.api, ground.pki)
        _start(household, ground, ways)
        household.at_end(api.stop)
        household.at_end(ground.feed.close)
        api.start()
        on_ready(ready.of(settings, ca_hash=ca_hash(ground.pki.servers.pem), store=ground.store))
        household.wait()


def _ground(settings: Settings, household: Household, clock: Clock) -> _Ground:
    """Open what is on the disk, and start the servers beside us."""
    folder = settings.folder
    database = Database(database_of(folder))
    household.at_end(database.close)
    migrate(database)
    store = incarnation.settle(database, folder.incarnation)
    household.at_end(lambda: incarnation.keep(database, folder.incarnation, store))
    own, authorities = keys.load(folder.keys), pki.Pki(folder.pki)
    with database.read() as tx:
        revoked = revocations.serials(tx)
    authorities.renew_files(settings.host, now=dt.datetime.now(dt.UTC), revoked=revoked)
    tokens = registry.RegistryTokens(pki.load_key(authorities.key("registry-token")))
    images = registry.Registry(settings, tokens, servers_ca=authorities.certificate("servers"))
    broker = household.child(servers.broker_program(settings, authorities))
    collector = Collector(database, tokens, folder.registry, clock=clock)
    program = servers.registry_program(settings, authorities, images.answers, collector)
    registry_child = household.child(program)
    household.thread(
        "collector",
        lambda stopping: collector.run(lambda: registry_child.signal(signal.SIGTERM), stopping),
    )
    vault = Vault(own.vault)
    return _Ground(
        settings=settings,
        clock=clock,
        database=database,
        store=store,
        keys=own,
        pki=authorities,
        tokens=tokens,
        images=images,
        vault=vault,
        issuer=Issuer(own.desired, vault, era=keys.ERA, store=store),
        feed=Feed(first_id=clock.wall_ms()),
        patcher=Patcher(database, images, folder.patching, clock=clock),
        broker=broker,
    )


def _ways(ground: _Ground) -> _Ways:
    links = Links(ground.settings, ground.pki)
    courier = Courier(ground.database, signer=ground.keys.command, feed=ground.feed, clock=ground.clock)
    publisher = Publisher(ground.database, clock=ground.clock, also_up=courier.wake)
    publishing = links.publisher(publisher)
    publisher.attach(publishing)
    courier.attach(publishing)
    inbox = Inbox()
    return _Ways(
        publisher=publisher,
        courier=courier,
        dispatcher=Dispatcher(ground.database, ground.issuer, issued=publisher.wake, clock=ground.clock),
        publishing=publishing,
        inbox=inbox,
        verifiers=Verifiers(ground.database, ground.keys, ground.clock),
        sessions=Sessions(inbox, links.ingest),
        shown=Shown(ground.database, ground.feed),
        revoker=_revoker(ground, links, publishing),
        retention=Retention(ground.database, ground.clock),
    )


def _revoker(ground: _Ground, links: Links, publishing: Transport) -> Revoker:
    def forget(device: DeviceRef) -> None:
        for channel in channels.CHANNELS:
            is_kept = channel.direction is channels.Direction.DOWN and channel.retain
            if is_kept and not publishing.publish(Publication(channel.topic(device), b"", 0, retain=True)):
                raise Passing(f"what is retained for {device} stays until the broker answers")

    levers = Levers(reload=lambda: ground.broker.signal(signal.SIGHUP), end_session=links.end_session, forget=forget)
    return Revoker(ground.database, ground.pki, levers, clock=ground.clock)


def _ingest(ground: _Ground, ways: _Ways) -> Worker:
    adopter = Adopter(ground.keys.desired_verifier, ground.issuer, store=ground.store)
    return Worker(
        database=ground.database,
        inbox=ways.inbox,
        verifiers=ways.verifiers,
        handlers={
            channels.PRESENCE: PresenceHandler(adopter),
            channels.STATUS: StatusHandler(),
            channels.PROGRESS: ProgressHandler(),
            channels.BATCH: BatchHandler(Throttle(ground.settings.quota_bytes_per_minute), ground.clock),
            channels.REPLY: ReplyHandler(adopter),
        },
        outlets=Outlets(
            ways.sessions.answer,
            ways.publisher.nudge,
            ways.publisher.wake,
            ways.changed,
            ways.shown.seen,
            ways.revoked,
        ),
        store=ground.store,
        clock=ground.clock,
    )


def _context(ground: _Ground, ways: _Ways) -> Context:
    return Context(
        settings=ground.settings,
        database=ground.database,
        keys=ground.keys,
        pki=ground.pki,
        issuer=ground.issuer,
        vault=ground.vault,
        images=ground.images,
        release_images=ReleaseImages(ground.images),
        registry_tokens=ground.tokens,
        feed=ground.feed,
        passwords=Passwords(),
        logins=Throttle(LOGINS_PER_MINUTE),
        commands=Throttle(COMMANDS_PER_MINUTE),
        notices=Notices(
            issued=ways.publisher.wake,
            due=ways.dispatcher.wake,
            commanded=ways.courier.wake,
            enrolled=ways.enrolled,
            reported=lambda device: ways.changed([device]),
            broker_up=lambda: ways.publishing.connected and ways.sessions.connected,
            revoked=ways.revoked,
            pushed=ground.patcher.pushed,
            patched=ground.patcher.await_settled,
            kept=ways.retention.wake,
        ),
        clock=ground.clock,
        store=ground.store,
        version=version("skerry"),
    )


def _start(household: Household, ground: _Ground, ways: _Ways) -> None:
    """Start the threads and the sessions with devices."""
    found_sinks = sinks.read(ground.settings.folder.sinks)
    worker = _ingest(ground, ways)
    sweeper = Sweeper(
        ground.database,
        keepalive_s=ground.settings.keepalive_s,
        mark=ground.settings.folder.incarnation,
        store=ground.store,
        clock=ground.clock,
        changed=ways.shown.changed,
    )
    household.thread("publisher", ways.publisher.run, wake=ways.publisher.wake)
    household.thread("dispatcher", ways.dispatcher.run, wake=ways.dispatcher.wake)
    household.thread("courier", ways.courier.run, wake=ways.courier.wake)
    household.at_end(ways.publishing.stop)
    ways.publishing.start()
    household.thread("revoker", ways.revoker.run, wake=ways.revoker.wake)
    household.thread("ingest", worker.run, wake=ways.inbox.wake)
    household.thread("sweeper", sweeper.run)
    for made in found_sinks:
        household.thread(f"sink-{made.settings.name}"[:15], Feeder(ground.database, made, ground.clock).run)
    household.thread("retention", ways.retention.run, wake=ways.retention.wake)
    household.thread("patcher", ground.patcher.run, wake=ground.patcher.wake)
    household.at_end(ways.sessions.stop)
    with ground.database.read() as tx:
        shards = devices.shards(tx)
    for shard in shards:
        ways.sessions.join(shard)
