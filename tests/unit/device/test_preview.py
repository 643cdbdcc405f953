"""`skerry-device plan`: the same decisions as the worker's, from the same files and engine, changing nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.checked_file import CheckedFile
from device.config import Identity, Owner, Paths
from device.preview import AppPlan, preview
from device.reconcile.journal import Journal
from tests.harness.apps import OTHER_DIGEST, PLACE
from tests.unit.device.fakes import FakeClock, desired
from tests.unit.device.stages import Stage, release
from tests.unit.device.worlds import NEW_IMAGE, WEB_IMAGE

ONE = release()
TWO = release(digest=OTHER_DIGEST)


class Today(FakeClock):
    """A clock by which the engine's containers started long ago."""

    def wall_ms(self) -> int:
        return 1_800_000_000_000


class Beside(Stage):
    """A stage whose files lie where a worker has them."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(folder)
        self.paths.prepare()
        super().__init__(self.paths.ledger)

    def preview(self) -> list[AppPlan]:
        identity = Identity(
            org="oaaaaaaaaaaa", device=PLACE.device, name="pump", cloud="", brokers=(), registry=PLACE.registry,
            mac_key="", root_key="", keepalive_s=15,
        )  # fmt: skip
        state = desired(self.generation, apps=self.apps)
        return preview(state, paths=self.paths, owner=Owner(), identity=identity, engine=self.engine, clock=Today())


def files(stage: Beside) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in stage.paths.state.rglob("*") if path.is_file())


@pytest.fixture
def stage(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


def test_it_says_what_the_worker_then_does(stage: Beside) -> None:
    stage.want(ONE)
    assert [(app.state, app.fetch, app.plan) for app in stage.preview()] == [("updating", (WEB_IMAGE,), ())]
    stage.engine.images.add(WEB_IMAGE)
    foretold = stage.preview()[0].plan
    assert foretold == ("create web: missing", "start web: created, not yet started")
    stage.turns(1)
    assert stage.plans()[0] == foretold
    stage.settle()
    assert stage.preview() == [AppPlan("hello", "converged", "", (), ())]


def test_it_knows_the_journal(stage: Beside) -> None:
    stage.want(ONE)
    stage.settle()
    stage.want(TWO)
    assert stage.preview()[0].fetch == (NEW_IMAGE,)
    journal = Journal(CheckedFile(stage.paths.ledger / "journal"))
    journal.load()
    journal.note_bad(TWO, "it was ill")
    told = stage.preview()[0]
    assert (told.state, told.message, told.plan) == ("failed", "went back to the last good release: it was ill", ())


def test_an_app_that_is_not_wanted_any_more_is_told_too(stage: Beside) -> None:
    stage.want(ONE)
    stage.settle()
    stage.want()
    (app,) = stage.preview()
    assert (app.name, app.state) == ("hello", "removing")
    assert [line.split(":")[0] for line in app.plan] == ["stop web c00000000001", "remove web c00000000001"]


def test_it_changes_nothing(stage: Beside) -> None:
    stage.want(ONE)
    stage.settle()
    stage.want(TWO)
    before = files(stage)
    stage.lived()
    stage.preview()
    assert stage.lived() == []
    assert files(stage) == before
