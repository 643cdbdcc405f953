"""Deployments to large fleets, over SQLite: in pages, gone on with after a crash, the newest wish first."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from broker.channels import DESIRED
from broker.codec import open_sealed
from broker.ids import DeviceRef, new_id
from broker.messages import DesiredState
from cloud import deploying
from cloud.deploying import PAGE, Wish
from cloud.dispatcher import Dispatcher
from cloud.store import apps, deployments, desired, devices, fleets, releases
from cloud.store.schema import due
from tests.contract.test_cloud_store import KEYS, Cloud

pytestmark = pytest.mark.usefixtures("database_kind")

DEVICES = 2 * PAGE + 50


class Fleet:
    """A fleet of many devices that nothing is deployed to yet."""

    def __init__(self, path: Path, count: int = DEVICES) -> None:
        self.cloud = Cloud(path)
        self.org = self.cloud.found()
        self.refs = [DeviceRef(self.org, new_id("d")) for _ in range(count)]
        with self.cloud.database.write() as tx:
            fleet = fleets.named(tx, self.org, "default")
            assert fleet is not None
            self.fleet = fleet.fleet
            for ref in self.refs:
                devices.add(tx, self._device(ref))
        self.issued = 0
        self.dispatcher = self._dispatcher()

    def _device(self, ref: DeviceRef) -> devices.Device:
        return devices.Device(ref.device, ref.org, ref.device, self.fleet, 1, 1, b"", "", "", b"", "")

    def _dispatcher(self) -> Dispatcher:
        def issued() -> None:
            self.issued += 1

        return Dispatcher(self.cloud.database, self.cloud.issuer, issued=issued, clock=self.cloud.clock)

    def deploy(self, app: str = "web", *, force: bool = False, **variables: str) -> str:
        """Write a deployment, without issuing to anyone."""
        with self.cloud.database.write() as tx:
            found = apps.named(tx, self.org, app) or self.cloud.new_app(tx, self.org, app)
            release = releases.find(tx, found.app, "latest")
            assert release is not None
            wish = Wish(self.org, found.app, self.fleet, release.digest, variables, force, "ann")
            return deploying.deploy(tx, self.cloud.issuer, wish, now_ms=1).deployment

    def states(self, deployment: str) -> Counter[int | None]:
        """Return how many targets have which generation."""
        with self.cloud.database.read() as tx:
            return Counter(target.generation for target in deployments.targets_of(tx, deployment))

    def desired(self, ref: DeviceRef) -> DesiredState:
        with self.cloud.database.read() as tx:
            newest = desired.newest(tx, ref.device)
        assert newest is not None
        message: DesiredState = open_sealed(DESIRED, ref, newest.envelope, KEYS.desired_verifier).message
        return message

    def finish(self) -> int:
        """Work off what is due; return how many pages it took."""
        pages = 0
        while self.dispatcher.page():
            pages += 1
        return pages


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path / "db")
    yield made
    made.cloud.database.close()


def test_a_deployment_reaches_every_device_in_pages(fleet: Fleet) -> None:
    deployment = fleet.deploy()
    assert fleet.states(deployment) == {None: DEVICES}
    assert fleet.dispatcher.page()
    assert fleet.states(deployment) == {1: PAGE, None: DEVICES - PAGE}
    assert fleet.finish() == 2
    assert fleet.states(deployment) == {1: DEVICES}
    assert fleet.issued == 3, "the publisher hears of each page"
    with fleet.cloud.database.read() as tx:
        assert len(desired.unsent(tx, 10_000)) == DEVICES
        assert tx.execute(select(due)).first() is None


def test_a_crash_between_two_pages_loses_nothing(fleet: Fleet) -> None:
    deployment = fleet.deploy()
    fleet.dispatcher.page()
    fleet.dispatcher = fleet._dispatcher()
    fleet.finish()
    assert fleet.states(deployment) == {1: DEVICES}


def test_a_newer_deployment_overtakes_an_older_one_half_way(fleet: Fleet) -> None:
    older = fleet.deploy(GREETING="old")
    fleet.dispatcher.page()
    newer = fleet.deploy(GREETING="new")
    fleet.finish()
    assert fleet.states(older) == {1: PAGE, 0: DEVICES - PAGE}
    assert fleet.states(newer) == {2: PAGE, 1: DEVICES - PAGE}
    assert {fleet.desired(ref).apps[0].variables["GREETING"] for ref in fleet.refs} == {"new"}


def test_deployments_of_two_apps_at_once_cost_each_device_one_desired_state(fleet: Fleet) -> None:
    first, second = fleet.deploy("web"), fleet.deploy("other")
    fleet.finish()
    assert fleet.states(first) == fleet.states(second) == {1: DEVICES}
    assert {len(fleet.desired(ref).apps) for ref in fleet.refs} == {2}


def test_the_same_deployment_again_issues_nothing_new(fleet: Fleet) -> None:
    fleet.deploy()
    fleet.finish()
    again = fleet.deploy()
    fleet.finish()
    assert fleet.states(again) == {1: DEVICES}


def test_force_is_a_setting_until_the_next_deployment_and_whatever_happens_to_other_apps(fleet: Fleet) -> None:
    ref = fleet.refs[0]
    fleet.deploy(force=True)
    fleet.finish()
    (forced,) = fleet.desired(ref).apps
    assert (dict(forced.settings), forced.attempt) == ({"force": True}, 1)
    fleet.deploy("other")
    fleet.finish()
    assert forced in fleet.desired(ref).apps
    fleet.deploy()
    fleet.finish()
    (free,) = [one for one in fleet.desired(ref).apps if one.instance == forced.instance]
    assert (dict(free.settings), free.attempt) == ({}, 1)


def test_a_device_that_is_told_nothing_new_keeps_no_open_target(fleet: Fleet) -> None:
    deployment = fleet.deploy(BIG=secrets.token_hex(80_000))
    fleet.finish()
    assert fleet.states(deployment) == {0: DEVICES}
