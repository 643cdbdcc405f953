"""Revoking and retiring over SQLite: what the list says, what the broker is told in which order, what stays taken."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from broker.channels import DESIRED
from broker.codec import open_sealed
from broker.errors import Passing
from broker.ids import DeviceRef
from broker.messages import Condition, Conn, DesiredState, Generation, Retire, Status
from cloud import pki
from cloud.config import Folder
from cloud.ingest.status import StatusHandler
from cloud.ingest.turn import Turn
from cloud.revoker import HANDSHAKE_HELD_MS, OLD_S, RENEW_S, Levers, Revoker
from cloud.store import desired, devices, due, revocations
from cloud.store.database import Connection
from tests.contract.test_cloud_api import Cloud, Joining, reason

pytestmark = pytest.mark.usefixtures("database_kind")


class Broker:
    """The levers, and what the revocation list said when each was pulled."""

    def __init__(self, cloud: Cloud) -> None:
        self._pki = cloud.pki
        self.told: list[str] = []
        self.is_up = True
        self.levers = Levers(
            reload=lambda: self._tell("reload"),
            forget=lambda ref: self._tell(f"forget {ref.device}"),
            end_session=lambda ref: self._tell(f"end {ref.device}"),
        )

    def _tell(self, what: str) -> None:
        if not self.is_up:
            raise Passing("the broker does not answer")
        listed = self._pki.revocation_list()
        assert listed is not None
        self.told.append(f"{what} ({len(listed.serials)} listed)")


class Clock:
    """Tells what it is told to."""

    def __init__(self) -> None:
        self.now_ms = int(dt.datetime.now(dt.UTC).timestamp() * 1000)

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic(self) -> float:
        return self.now_ms / 1000


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(Folder(tmp_path / "state"))
    yield made
    made.database.close()


def revoker(cloud: Cloud, broker: Broker, clock: Clock) -> Revoker:
    return Revoker(cloud.database, cloud.pki, broker.levers, clock=clock)


def test_a_revoked_device_is_no_device_and_its_id_stays_taken_while_its_name_is_free(cloud: Cloud) -> None:
    user, joining = cloud.login(), Joining("pump")
    answer = joining.enroll(user)
    assert user.delete("/v1/devices/pump").json() == {"device": answer.device, "name": "pump", "revoked": True}
    assert reason(user.get("/v1/devices/pump")) == (404, "not_found")
    assert reason(user.delete(f"/v1/devices/{answer.device}")) == (404, "not_found")
    assert Joining("pump").enroll(user).device != answer.device
    with cloud.database.write() as tx:
        again = devices.find(tx, user.org, "pump")
        assert again is not None
        with pytest.raises(IntegrityError):
            devices.add(tx, dataclasses.replace(again, device=answer.device, name="other"))
        tx.rollback()


def test_a_device_of_another_organisation_cannot_be_revoked_or_retired(cloud: Cloud) -> None:
    device = Joining("pump").enroll(cloud.login()).device
    other = cloud.other()
    assert reason(other.delete(f"/v1/devices/{device}")) == (404, "not_found")
    assert reason(other.post(f"/v1/devices/{device}/retire", wipe="all")) == (404, "not_found")


def test_the_broker_is_told_in_order_and_once_more_when_no_old_handshake_can_be_left(cloud: Cloud) -> None:
    user, broker = cloud.login(), Broker(cloud)
    device = Joining("pump").enroll(user).device
    user.delete("/v1/devices/pump")
    clock = Clock()
    one = revoker(cloud, broker, clock)
    assert one.turn() <= HANDSHAKE_HELD_MS / 1000
    assert broker.told == ["reload (1 listed)", f"forget {device} (1 listed)", f"end {device} (1 listed)"]
    one.turn()
    assert len(broker.told) == 3
    clock.now_ms += HANDSHAKE_HELD_MS
    assert one.turn() == RENEW_S
    assert broker.told[3:] == [f"forget {device} (1 listed)", f"end {device} (1 listed)"]
    revoker(cloud, broker, clock).turn()
    assert len(broker.told) == 5


def test_what_the_broker_did_not_hear_is_told_again_also_after_a_crash(cloud: Cloud) -> None:
    user, clock, broker = cloud.login(), Clock(), Broker(cloud)
    device = Joining("pump").enroll(user).device
    user.delete("/v1/devices/pump")
    broker.is_up = False
    with pytest.raises(Passing):
        revoker(cloud, broker, clock).turn()
    broker.is_up = True
    revoker(cloud, broker, clock).turn()
    assert f"end {device} (1 listed)" in broker.told


def test_the_list_is_made_anew_by_a_timer_and_its_age_is_an_alarm(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    clock, broker = Clock(), Broker(cloud)
    one = revoker(cloud, broker, clock)
    one.turn()
    one.turn()
    assert len(broker.told) == 1
    assert cloud.context.pki.revocation_list() is not None
    clock.now_ms += int(RENEW_S * 1000)
    one.turn()
    assert len(broker.told) == 2
    assert "days old" not in caplog.text
    clock.now_ms += int((OLD_S + 1) * 1000)
    one.turn()
    assert "the list of revoked certificates is 7 days old" in caplog.text


def test_who_is_on_the_list_stays_on_it_whatever_the_database_says(cloud: Cloud) -> None:
    now = dt.datetime.now(dt.UTC)
    cloud.pki.write_revocations([5], now=now)
    cloud.pki.renew_files("127.0.0.1", now=now, revoked=[7])
    listed = cloud.pki.revocation_list()
    assert listed is not None
    assert listed.serials == {5, 7}
    assert abs(listed.age_s(now)) < 1


def test_a_list_that_another_authority_signed_is_not_believed(cloud: Cloud, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    pki.make(stranger, now=dt.datetime.now(dt.UTC))
    pki.Pki(stranger).write_revocations([5], now=dt.datetime.now(dt.UTC))
    cloud.pki.device_crl.write_bytes(pki.Pki(stranger).device_crl.read_bytes())
    assert cloud.pki.revocation_list() is None


def test_a_device_that_is_to_go_is_asked_for_nothing_else_and_revoked_when_it_says_that_it_is_wiped(
    cloud: Cloud,
) -> None:
    user = cloud.login()
    user.app()
    user.post("/v1/deployments", app="web", release="latest")
    enrolled = Joining("pump").enroll(user)
    ref = DeviceRef(user.org, enrolled.device)
    assert len(newest(cloud, ref)[1].apps) == 1
    shown = user.post("/v1/devices/pump/retire", wipe="secrets").json()
    assert shown["retire"] == "secrets"
    with cloud.database.write() as tx:
        assert [device.device for device in due.take(tx, 9)] == [ref.device]
        wanted = cloud.context.issuer.sections_of(tx, ref.org, enrolled_fleet(tx, ref))
        cloud.context.issuer.issue(tx, ref, wanted, now_ms=2)
    generation, state = newest(cloud, ref)
    assert (state.apps, state.retire) == ((), Retire(wipe="secrets"))
    older = generation.model_copy(update={"digest": "sha256:" + "0" * 64})
    said = Condition(type="Retired", status=True, reason="secrets")
    for accepted, condition in (
        (older, said),
        (generation, said.model_copy(update={"status": False})),
        (generation, said.model_copy(update={"reason": "all"})),
    ):
        assert tell(cloud, ref, accepted, condition) == []
    assert tell(cloud, ref, generation, said) == [ref]
    assert reason(user.get("/v1/devices/pump")) == (404, "not_found")
    with cloud.database.read() as tx:
        assert len(revocations.serials(tx)) == 1


REVISIONS = iter(range(1, 100))


def tell(cloud: Cloud, ref: DeviceRef, accepted: Generation, condition: Condition) -> list[DeviceRef]:
    """Have the device report; return who is revoked by that."""
    status = Status(
        conn=Conn(boot="a" * 32, count=1), n=1, revision=next(REVISIONS), accepted=accepted, conditions=(condition,)
    )
    with cloud.database.write() as tx:
        turn = Turn(tx, 3)
        StatusHandler().handle(turn, ref, status)
        return turn.revoked


def enrolled_fleet(tx: Connection, ref: DeviceRef) -> str:
    found = devices.get(tx, ref.org, ref.device)
    assert found is not None
    return found.fleet


def newest(cloud: Cloud, ref: DeviceRef) -> tuple[Generation, DesiredState]:
    with cloud.database.read() as tx:
        row = desired.newest(tx, ref.device)
    assert row is not None
    return row.named, open_sealed(DESIRED, ref, row.envelope, cloud.keys.desired_verifier).message
