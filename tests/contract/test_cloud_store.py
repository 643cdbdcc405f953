"""The ingest worker over SQLite: what is acknowledged is stored, once; what a restored database gets back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from broker.appspec import AppSpec
from broker.canonical import canonical
from broker.channels import BATCH, DESIRED, PRESENCE, REPLY, STATUS, SYNC, Channel
from broker.codec import open_sealed, seal, seal_payload
from broker.ids import DeviceRef, new_id
from broker.messages import Batch, Birth, Conn, Gap, Generation, Instant, Reply, Status, StreamKept, Sync
from broker.payloads import SAMPLES, Sample, pack_samples
from broker.signing import MacKey, Signer
from cloud import deploying, founding, incarnation
from cloud.adoption import Adopter
from cloud.deploying import Wish
from cloud.ingest.batch import BatchHandler
from cloud.ingest.inbox import Inbox, Received
from cloud.ingest.presence import PresenceHandler
from cloud.ingest.reply import ReplyHandler
from cloud.ingest.status import StatusHandler
from cloud.ingest.verify import Verifiers
from cloud.ingest.worker import Outlets, Worker
from cloud.issuing import Issuer
from cloud.keys import ERA, Keys
from cloud.store import apps, batches, cursors, desired, devices, fleets, gaps, meta, presence, releases, status
from cloud.store.database import Connection
from cloud.store.migrate import migrate
from cloud.store.schema import METADATA
from cloud.throttle import Throttle
from cloud.vault import Vault
from tests.harness.databases import database, put_back, save

pytestmark = pytest.mark.usefixtures("database_kind")

KEYS = Keys(
    root=Signer(b"r" * 32), desired=Signer(b"d" * 32), command=Signer(b"c" * 32), ingest=b"i" * 32, vault=b"v" * 32
)
BOOT = "a" * 32
STREAM, EPOCH = "app:web", 7


class TestClock:
    """A clock that moves when it is told to."""

    __test__ = False

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def monotonic(self) -> float:
        return self.now_ms / 1000

    def wall_ms(self) -> int:
        return self.now_ms


class Cloud:
    """A database with an organisation, and the worker over it."""

    def __init__(self, path: Path, *, store: str = "s-1", quota: int = 10**9) -> None:
        self.database = database(path)
        migrate(self.database)
        self.clock = TestClock()
        self.answers: list[tuple[DeviceRef, bytes]] = []
        self.nudged: list[DeviceRef] = []
        self.issuer = Issuer(KEYS.desired, Vault(KEYS.vault), era=ERA, store=store)
        adopter = Adopter(KEYS.desired_verifier, self.issuer, store=store)
        self.worker = Worker(
            database=self.database,
            inbox=Inbox(),
            verifiers=Verifiers(self.database, KEYS, self.clock),
            handlers={
                PRESENCE: PresenceHandler(adopter),
                STATUS: StatusHandler(),
                BATCH: BatchHandler(Throttle(quota), self.clock),
                REPLY: ReplyHandler(adopter),
            },
            outlets=Outlets(self._answer, self.nudged.append, lambda: None, lambda _refs: None, lambda _seen: None),
            store=store,
            clock=self.clock,
        )

    def _answer(self, device: DeviceRef, sync: bytes) -> bool:
        self.answers.append((device, sync))
        return True

    def found(self) -> str:
        with self.database.write() as tx:
            meta.create(tx, store="s-1", era=ERA)
            return founding.found(tx, name="main", user="ann", password="-", system=True, now_ms=1).org

    def enroll(self, org: str) -> DeviceRef:
        ref = DeviceRef(org, new_id("d"))
        with self.database.write() as tx:
            fleet = fleets.named(tx, org, "default")
            assert fleet is not None
            devices.add(
                tx,
                devices.Device(
                    device=ref.device,
                    org=org,
                    name=ref.device,
                    fleet=fleet.fleet,
                    enrolled_ms=1,
                    key_number=1,
                    identity_key=b"",
                    tls_key="",
                    certificate="",
                    trust=b"",
                    enroll_token="",
                ),
            )
        return ref

    def deploy(self, ref: DeviceRef, **variables: str) -> desired.Desired:
        """Deploy the one app of the organisation, making it where needed."""
        with self.database.write() as tx:
            app = apps.named(tx, ref.org, "web") or self.new_app(tx, ref.org)
            fleet = fleets.named(tx, ref.org, "default")
            release = releases.find(tx, app.app, "latest")
            assert fleet is not None
            assert release is not None
            wish = Wish(ref.org, app.app, fleet.fleet, release.digest, variables, force=False, by="ann")
            deploying.deploy(tx, self.issuer, wish, now_ms=self.clock.wall_ms())
            deploying.issue_page(tx, self.issuer, now_ms=self.clock.wall_ms())
            newest = desired.newest(tx, ref.device)
        assert newest is not None
        return newest

    def new_app(self, tx: Connection, org: str, name: str = "web") -> apps.App:
        app = apps.App(new_id("a"), org, name)
        apps.add(tx, app, now_ms=1)
        image = {"repository": f"{app.namespace}/web", "digest": "sha256:" + "0" * 64}
        spec = AppSpec.model_validate({"name": "web", "services": {"web": {"image": image}}})
        releases.push(tx, releases.Release(app.app, spec.digest, "1", canonical(spec.plain()), 1, 1, "ann"))
        return app


class Device:
    """The other side: seals messages, opens syncs."""

    def __init__(self, cloud: Cloud, ref: DeviceRef) -> None:
        self.cloud = cloud
        self.ref = ref
        self.mac: MacKey = KEYS.mac(ref, 1)
        self.conn = Conn(boot=BOOT, count=1)
        self.n = 0

    def sealed(self, channel: Channel, message: Any) -> Received:
        return Received(channel, self.ref, seal(channel, self.ref, message, self.mac))

    def send(self, channel: Channel, *messages: Any) -> Sync:
        """Let the worker handle the messages in one turn; return the sync that answers them."""
        before = len(self.cloud.answers)
        self.cloud.worker.work([self.sealed(channel, message) for message in messages])
        (answer,) = [sync for ref, sync in self.cloud.answers[before:] if ref == self.ref]
        opened: Sync = open_sealed(SYNC, self.ref, answer, self.mac).message
        return opened

    def birth(self, accepted: Generation | None = None) -> Birth:
        self.n += 1
        kept = (StreamKept(stream=STREAM, epoch=EPOCH, first=1, last=100),)
        return Birth(conn=self.conn, n=self.n, instance="x", worker="w", accepted=accepted, streams=kept)

    def batch(self, first: int, last: int, *lost: tuple[int, int], mark: str = "") -> Batch:
        gone = tuple(Gap(first=low, last=high, cause="dropped") for low, high in lost)
        covered = {n for low, high in lost for n in range(low, high + 1)}
        samples = [Sample(n, {"v": f"{mark}{n}"}) for n in range(first, last + 1) if n not in covered]
        return Batch(
            conn=self.conn,
            n=1,
            stream=STREAM,
            epoch=EPOCH,
            first=first,
            last=last,
            at=Instant(boot=BOOT, mono_ms=1, wall_ms=2),
            format=SAMPLES,
            payload=pack_samples(samples) if samples else b"",
            gaps=gone,
        )

    def cursor(self) -> cursors.Cursor:
        with self.cloud.database.read() as tx:
            found = cursors.get(tx, self.ref.device, STREAM, EPOCH)
        assert found is not None
        return found

    def gaps(self) -> list[tuple[int, int]]:
        with self.cloud.database.read() as tx:
            found = gaps.of_org(tx, self.ref.org, device=self.ref.device, stream=None, limit=100)
        return [(gap.first, gap.last) for gap in found]

    def stored(self) -> list[tuple[int, int]]:
        with self.cloud.database.read() as tx:
            of = batches.Of(self.ref.org, SAMPLES, self.ref.device)
            found = batches.from_arrival(tx, of, at_least=0, limit=100)
        return [(batch.first, batch.last) for batch in found]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path / "db")
    yield made
    made.database.close()


@pytest.fixture
def device(cloud: Cloud) -> Device:
    return Device(cloud, cloud.enroll(cloud.found()))


def named(row: desired.Desired) -> Generation:
    return row.named


def test_the_migrations_make_the_schema(cloud: Cloud) -> None:
    with cloud.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_birth_is_answered_with_what_is_held(device: Device) -> None:
    sync = device.send(PRESENCE, device.birth())
    assert (sync.conn, sync.store, sync.desired) == (device.conn, "s-1", None)
    assert [(held.stream, held.epoch, held.contiguous) for held in sync.streams] == [(STREAM, EPOCH, 0)]


def test_the_number_of_a_sync_always_grows(device: Device) -> None:
    first = device.send(PRESENCE, device.birth())
    assert device.send(PRESENCE, device.birth()).n > first.n


def test_a_message_before_any_birth_is_answered_with_a_connection_that_is_not_the_devices(device: Device) -> None:
    assert device.send(BATCH, device.batch(1, 2)).conn != device.conn


def test_a_batch_that_comes_twice_is_stored_once_and_acknowledged_twice(device: Device) -> None:
    for _ in range(2):
        sync = device.send(BATCH, device.batch(1, 10))
        assert (sync.streams[0].contiguous, sync.streams[0].refused) == (10, ())
    assert device.stored() == [(1, 10)]
    assert device.cursor().stored == 10


def test_many_batches_are_committed_together_in_any_order(device: Device) -> None:
    sync = device.send(BATCH, device.batch(21, 30), device.batch(1, 10), device.batch(41, 50), device.batch(1, 10))
    assert (sync.streams[0].contiguous, sync.streams[0].ranges) == (10, ((21, 30), (41, 50)))
    assert device.send(BATCH, device.batch(11, 20)).streams[0].contiguous == 30


def test_an_overlap_that_is_no_duplicate_is_refused_for_ever(device: Device) -> None:
    device.send(BATCH, device.batch(1, 10))
    for other in (device.batch(5, 12), device.batch(1, 10, mark="other"), device.batch(1, 9)):
        refused = device.send(BATCH, other).streams[0].refused
        assert [(one.first, one.last, one.reason, one.retry_after_s) for one in refused] == [
            (other.first, other.last, "overlap", None)
        ]
    assert device.stored() == [(1, 10)]


def test_a_gap_is_held_like_data_and_counted_apart(device: Device) -> None:
    sync = device.send(BATCH, device.batch(1, 10, (3, 4)), device.batch(11, 5000, (11, 5000)))
    assert sync.streams[0].contiguous == 5000
    assert (device.cursor().stored, device.cursor().gaps) == (8, 4992)
    assert device.gaps() == [(3, 4), (11, 5000)]


def test_a_gap_that_is_named_after_its_data_was_stored_changes_nothing(device: Device) -> None:
    device.send(BATCH, device.batch(1, 10))
    sync = device.send(BATCH, device.batch(1, 12, (1, 12)))
    assert sync.streams[0].contiguous == 12
    assert (device.cursor().stored, device.cursor().gaps, device.gaps()) == (10, 2, [(11, 12)])


def test_data_that_comes_after_all_takes_its_numbers_out_of_the_gap(device: Device) -> None:
    device.send(BATCH, device.batch(1, 20, (1, 20)))
    device.send(BATCH, device.batch(5, 10))
    assert (device.cursor().stored, device.cursor().gaps) == (6, 14)
    assert device.gaps() == [(1, 4), (11, 20)]


def test_over_its_quota_a_device_is_asked_to_wait_and_loses_nothing(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path / "db", quota=60)
    device = Device(cloud, cloud.enroll(cloud.found()))
    sync = device.send(BATCH, device.batch(1, 5), device.batch(6, 99))
    (refused,) = sync.streams[0].refused
    assert (refused.first, refused.last, refused.reason) == (6, 99, "not_now")
    assert refused.retry_after_s is not None
    cloud.clock.now_ms += (refused.retry_after_s + 1) * 1000
    assert device.send(BATCH, device.batch(6, 99)).streams[0].contiguous == 99
    cloud.database.close()


def test_a_poison_message_does_not_stop_the_others(cloud: Cloud, device: Device) -> None:
    garbage = Received(BATCH, device.ref, b"garbage")
    forged = Received(BATCH, device.ref, seal(BATCH, device.ref, device.batch(1, 9), MacKey(b"x" * 32)))
    strange = Received(BATCH, device.ref, seal_payload(BATCH, device.ref, b"\x81\xa1v\x02", device.mac))
    cloud.worker.work([garbage, forged, strange, device.sealed(BATCH, device.batch(1, 3))])
    assert device.stored() == [(1, 3)]
    assert set(cloud.worker.refused) == {"malformed", "unknown_key", "unknown_version"}


def test_a_message_that_meets_a_bug_costs_only_itself(
    cloud: Cloud, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(status, "put", broken)
    report = Status(conn=device.conn, n=1, revision=1)
    cloud.worker.work([device.sealed(STATUS, report), device.sealed(BATCH, device.batch(1, 3))])
    assert device.stored() == [(1, 3)]


def test_a_device_that_does_not_exist_is_never_answered(cloud: Cloud, device: Device) -> None:
    orphan = Device(cloud, DeviceRef(device.ref.org, new_id("d")))
    cloud.worker.work([orphan.sealed(PRESENCE, orphan.birth())])
    assert cloud.answers == []
    assert cloud.worker.refused["unknown_device"] == 1


def test_a_status_is_held_once_sync_names_its_revision(device: Device) -> None:
    device.send(PRESENCE, device.birth())
    assert device.send(STATUS, Status(conn=device.conn, n=2, revision=9)).status == 9
    assert device.send(STATUS, Status(conn=device.conn, n=2, revision=8)).status == 9


def test_a_deployment_is_sealed_in_the_transaction_that_stores_it(cloud: Cloud, device: Device) -> None:
    row = cloud.deploy(device.ref, A="1")
    opened = open_sealed(DESIRED, device.ref, row.envelope, KEYS.desired_verifier)
    assert (opened.digest, opened.message.generation) == (row.digest, 1)
    assert cloud.deploy(device.ref, A="1") == row
    assert cloud.deploy(device.ref, A="2").generation == 2
    assert device.send(PRESENCE, device.birth(named(row))).desired is not None
    assert cloud.nudged == [device.ref]


def test_a_returned_envelope_is_adopted_and_the_next_generation_goes_above_it(cloud: Cloud, device: Device) -> None:
    lost = later_envelope(cloud, device, generation=57)
    device.send(PRESENCE, device.birth(lost.named))
    sync = device.send(REPLY, reply(device, lost.envelope))
    assert (sync.desired, sync.replies) == (lost.named, ("accepted-1-57",))
    assert cloud.deploy(device.ref, A="new").generation == 58


def test_what_was_deployed_since_the_restore_is_issued_again_above_the_adopted_one(
    cloud: Cloud, device: Device
) -> None:
    lost = later_envelope(cloud, device, generation=57)
    cloud.deploy(device.ref, A="wish")
    sync = device.send(REPLY, reply(device, lost.envelope))
    assert sync.desired is not None
    assert sync.desired.generation == 58
    with cloud.database.read() as tx:
        newest = desired.newest(tx, device.ref.device)
    assert newest is not None
    apps_now = open_sealed(DESIRED, device.ref, newest.envelope, KEYS.desired_verifier).message.apps
    assert apps_now[0].variables == {"A": "wish"}


def test_an_envelope_that_we_did_not_sign_changes_nothing(cloud: Cloud, device: Device) -> None:
    foreign = Issuer(Signer(b"x" * 32), Vault(KEYS.vault), era=ERA, store="s-0")
    with cloud.database.write() as tx:
        row = foreign.issue(tx, device.ref, (), now_ms=1)
        tx.rollback()
    sync = device.send(REPLY, reply(device, row.envelope))
    assert (sync.desired, sync.replies) == (None, ("accepted-1-57",))


def test_a_claimed_generation_without_an_envelope_only_moves_the_next_one_up(cloud: Cloud, device: Device) -> None:
    claimed = Generation(era=ERA, generation=57, digest="sha256:" + "1" * 64)
    assert device.send(PRESENCE, device.birth(claimed)).desired is None
    assert cloud.deploy(device.ref, A="1").generation == 58


def test_another_state_of_the_same_number_is_outdone_by_a_new_number(cloud: Cloud, device: Device) -> None:
    row = cloud.deploy(device.ref, A="1")
    other = row.named.model_copy(update={"digest": "sha256:" + "1" * 64})
    sync = device.send(PRESENCE, device.birth(other))
    assert sync.desired is not None
    assert sync.desired.generation == row.generation + 1


def test_a_contested_device_is_told_no_desired_state(cloud: Cloud, device: Device) -> None:
    cloud.deploy(device.ref, A="1")
    first, second = device.conn, Conn(boot="b" * 32, count=2)
    for conn in (first, second, first.model_copy(update={"count": 3})):
        device.conn = conn
        sync = device.send(PRESENCE, device.birth())
    assert sync.desired is None
    with cloud.database.read() as tx:
        assert presence.get(tx, device.ref.device).contested
        assert desired.of_device(tx, device.ref.device) is None


def test_a_reply_of_any_text_is_held(cloud: Cloud, device: Device) -> None:
    reply = Reply(conn=device.conn, n=1, id="r-1", about="a\0b", ok=False, reason="\0", message="no\0 \U0001f30a")
    assert device.send(REPLY, reply).replies == ("r-1",)


def test_a_silent_device_goes_offline(cloud: Cloud, device: Device) -> None:
    device.send(PRESENCE, device.birth())
    with cloud.database.write() as tx:
        assert presence.mark_silent(tx, heard_before_ms=cloud.clock.now_ms) == []
        assert presence.mark_silent(tx, heard_before_ms=cloud.clock.now_ms + 1) == [(device.ref.org, device.ref.device)]
        assert not presence.get(tx, device.ref.device).online


def test_a_database_that_was_put_back_from_a_copy_gets_a_new_name(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path / "db")
    ref, mark = cloud.enroll(cloud.found()), tmp_path / "store.json"
    incarnation.keep(cloud.database, mark, "s-1")
    assert incarnation.settle(cloud.database, mark) == "s-1"
    cloud.database.close()
    save(tmp_path / "db")

    again = Cloud(tmp_path / "db")
    Device(again, ref).send(BATCH, Device(again, ref).batch(1, 3))
    incarnation.keep(again.database, mark, "s-1")
    assert incarnation.settle(again.database, mark) == "s-1"
    again.database.close()

    put_back(tmp_path / "db")
    restored = Cloud(tmp_path / "db")
    renewed = incarnation.settle(restored.database, mark)
    assert renewed != "s-1"
    assert incarnation.settle(restored.database, mark) == renewed
    assert json.loads(mark.read_text())["store"] == renewed
    restored.database.close()


def later_envelope(cloud: Cloud, device: Device, *, generation: int) -> desired.Desired:
    """Return a desired state of ours that this database does not know: it was issued after the backup."""
    with cloud.database.write() as tx:
        known = presence.get(tx, device.ref.device)
        presence.put(tx, dataclasses.replace(known, reported=(ERA, generation - 1)))
        row = Issuer(KEYS.desired, Vault(KEYS.vault), era=ERA, store="s-0").issue(tx, device.ref, (), now_ms=1)
        tx.rollback()
    assert row.generation == generation
    return row


def reply(device: Device, envelope: bytes) -> Reply:
    return Reply(conn=device.conn, n=5, id="accepted-1-57", about="desired", ok=True, envelope=envelope)
