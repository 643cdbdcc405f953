"""The composition root of `skerry-cloud serve`: builds everything, starts it in order, stops it in reverse."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from importlib.metadata import version

from broker import channels
from broker.clock import SystemClock
from broker.ids import DeviceRef
from broker.tls import ca_hash
from cloud import incarnation, keys, pki, ready, registry, servers
from cloud.adoption import Adopter
from cloud.api.app import create_app
from cloud.api.context import Context, Notices
from cloud.config import Settings
from cloud.household import Household
from cloud.ingest.batch import BatchHandler
from cloud.ingest.inbox import Inbox
from cloud.ingest.outlets import Shown
from cloud.ingest.presence import PresenceHandler
from cloud.ingest.progress import ProgressHandler
from cloud.ingest.reply import ReplyHandler
from cloud.ingest.sessions import Sessions
from cloud.ingest.status import StatusHandler
from cloud.ingest.sweeper import Sweeper
from cloud.ingest.verify import Verifiers
from cloud.ingest.worker import Outlets, Worker
from cloud.issuing import Issuer
from cloud.links import Links
from cloud.live import Feed
from cloud.passwords import Passwords
from cloud.publisher import Publisher
from cloud.server import ApiServer
from cloud.store import devices
from cloud.store.database import Database
from cloud.store.migrate import migrate
from cloud.throttle import Throttle

LOGINS_PER_MINUTE = 20.0


def serve(settings: Settings, *, stopping: threading.Event, on_ready: Callable[[ready.Ready], None]) -> None:
    """Run the cloud until `stopping`. Raises `Passing` or `Refused` when something cannot start."""
    clock, folder = SystemClock(), settings.folder
    with Household(stopping, clock) as household:
        database = Database(folder.database)
        household.at_end(database.close)
        migrate(database)
        store = incarnation.settle(database, folder.incarnation)
        household.at_end(lambda: incarnation.keep(database, folder.incarnation, store))
        own, authorities = keys.load(folder.keys), pki.Pki(folder.pki)
        authorities.renew_files(settings.host, now=dt.datetime.now(dt.UTC))

        tokens = registry.RegistryTokens(pki.load_key(authorities.key("registry-token")))
        images = registry.Registry(settings, tokens, servers_ca=authorities.certificate("servers"))
        household.child(servers.broker_program(settings, authorities))
        household.child(servers.registry_program(settings, authorities, images.answers))

        links, feed = Links(settings, authorities), Feed(first_id=clock.wall_ms())
        shown = Shown(database, feed)
        publisher = Publisher(database, clock=clock)
        publishing = links.publisher(publisher)
        publisher.attach(publishing)

        issuer = Issuer(own.desired, era=keys.ERA, store=store)
        adopter = Adopter(own.desired_verifier, issuer, store=store)
        inbox, verifiers = Inbox(), Verifiers(database, own, clock)
        sessions = Sessions(inbox, links.ingest)
        worker = Worker(
            database=database,
            inbox=inbox,
            verifiers=verifiers,
            handlers={
                channels.PRESENCE: PresenceHandler(adopter),
                channels.STATUS: StatusHandler(),
                channels.PROGRESS: ProgressHandler(),
                channels.BATCH: BatchHandler(Throttle(settings.quota_bytes_per_minute), clock),
                channels.REPLY: ReplyHandler(adopter),
            },
            outlets=Outlets(sessions.answer, publisher.nudge, publisher.wake, shown.changed, shown.seen),
            store=store,
            clock=clock,
        )
        sweeper = Sweeper(
            database,
            keepalive_s=settings.keepalive_s,
            mark=folder.incarnation,
            store=store,
            clock=clock,
            changed=shown.changed,
        )

        def enrolled(device: DeviceRef) -> None:
            verifiers.enrolled(device)
            sessions.join(device.shard)
            publisher.enrolled(device)

        context = Context(
            settings=settings,
            database=database,
            keys=own,
            pki=authorities,
            issuer=issuer,
            images=images,
            registry_tokens=tokens,
            feed=feed,
            passwords=Passwords(),
            logins=Throttle(LOGINS_PER_MINUTE),
            notices=Notices(publisher.wake, enrolled, lambda: publishing.connected and sessions.connected),
            clock=clock,
            store=store,
            version=version("skerry"),
        )
        api = ApiServer(create_app(context), settings.api, authorities)

        household.thread("publisher", publisher.run, wake=publisher.wake)
        household.at_end(publishing.stop)
        publishing.start()
        household.thread("ingest", worker.run, wake=inbox.wake)
        household.thread("sweeper", sweeper.run)
        household.at_end(sessions.stop)
        with database.read() as tx:
            shards = devices.shards(tx)
        for shard in shards:
            sessions.join(shard)
        household.at_end(api.stop)
        household.at_end(feed.close)
        api.start()
        on_ready(ready.of(settings, ca_hash=ca_hash(authorities.servers.pem), store=store))
        household.wait()
