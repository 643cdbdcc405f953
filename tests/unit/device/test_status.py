"""What is reported of an app: its state with one sentence, the conditions that hold, services and plan."""

from __future__ import annotations

from typing import Any

import pytest

from broker.messages import PLAN_LINES_MAX, Condition, InstanceStatus, ServiceStatus
from device.reconcile.choose import Aim, Choice
from device.reconcile.health import Verdict
from device.reconcile.lock import HeldLock
from device.reconcile.plan import plan
from device.reconcile.status import MESSAGE_CHARS, Told, instance_status, lock_sentence, removing_status
from device.reconcile.steps import Plan, Waiting
from tests.harness.apps import OTHER_DIGEST, service
from tests.unit.device.stages import release
from tests.unit.device.worlds import app, shown, world

ONE, TWO = release(), release(digest=OTHER_DIGEST)
SERVICES = (ServiceStatus(name="web", state="running"),)
GOOD, BAD = Verdict("good", "", SERVICES), Verdict("bad", "service web is exited with code 3", SERVICES)
BORNE = Verdict("good", "service web is exited with code 3", SERVICES)  # a failure that its file bears
PENDING = Verdict("pending", "service web is running and starting", SERVICES)
LOCK = HeldLock("painter", "wet paint", 90.0)
STEPS = plan(app(), world(app(), shown(app(), state="created")))  # one step
STAYS = Aim(ONE, current=ONE, target=ONE, good=ONE)
FIRST = Aim(ONE, current=ONE, target=ONE, good=None)
NOTHING = Aim(ONE, current=None, target=ONE, good=None)
UPDATE = Aim(TWO, current=ONE, target=TWO, good=ONE)
BACK = Aim(TWO, current=ONE, target=ONE, good=ONE, reason="bad", why="service web crashed")
STUCK = Aim(ONE, current=ONE, target=ONE, good=None, reason="bad", why="service web crashed")
REFUSED = Aim(
    TWO, current=ONE, target=ONE, good=ONE, reason="refused", why="refused by the device's policy: privileged"
)
PAUSED = Aim(TWO, current=TWO, target=None, good=ONE, reason="paused", why="service web is ill")
HOLDS, SWITCHES = Choice(ONE, "hold"), Choice(TWO, "switching")
FETCHES, WAITS, LEFT = Choice(ONE, "fetching"), Choice(ONE, "waiting"), Choice(None, "kept")

# (what is told, the state and its sentence, the conditions that hold with their reasons)
TABLE: dict[str, tuple[Told, str, str, dict[str, str]]] = {
    "an app that runs as asked is converged": (Told(STAYS, HOLDS, GOOD), "converged", "", {"Healthy": ""}),
    "an app with steps left is updating, though it works": (
        Told(STAYS, HOLDS, GOOD, plan=STEPS), "updating", "", {"Healthy": "", "Switching": "begun"},
    ),
    "an app whose plan is being carried out is updating": (
        Told(STAYS, HOLDS, GOOD, is_busy=True), "updating", "", {"Healthy": "", "Switching": "begun"},
    ),
    "an app that is not known to work yet is updating": (
        Told(FIRST, HOLDS, PENDING), "updating", PENDING.message, {"Switching": "begun"},
    ),
    "a release that worked and does no more is degraded": (
        Told(STAYS, HOLDS, BAD), "degraded", BAD.message, {"Degraded": "unhealthy"},
    ),
    "a release that worked and is started again is updating": (
        Told(STAYS, HOLDS, PENDING), "updating", PENDING.message, {"Switching": "begun"},
    ),
    "a new release that fails is updating until that is written down": (
        Told(UPDATE, SWITCHES, BAD), "updating", BAD.message, {"Switching": "begun"},
    ),
    "a failure that its file bears makes an app degraded, not failed": (
        Told(STAYS, HOLDS, BORNE), "degraded", BORNE.message, {"Degraded": "unhealthy"},
    ),
    "a failure that its file bears does not end an update": (
        Told(UPDATE, SWITCHES, BORNE, is_busy=True), "updating", BORNE.message, {"Switching": "begun"},
    ),
    "a step that failed is told rather than what it left": (
        Told(FIRST, HOLDS, PENDING, error="start web: no"), "updating", "start web: no", {"Switching": "begun"},
    ),
    "images that are not here are fetched": (
        Told(UPDATE, FETCHES, GOOD, fetching=("a", "b")), "updating", "fetching 2 images",
        {"Healthy": "", "Fetching": "image_absent"},
    ),
    "an app of which nothing is here yet is not healthy": (
        Told(NOTHING, Choice(None, "fetching"), Verdict("pending", "", ()), fetching=("a",)), "updating",
        "fetching 1 images", {"Fetching": "image_absent"},
    ),
    "images that could not be fetched tell why": (
        Told(UPDATE, FETCHES, GOOD, fetching=("a",), error="no route"), "updating", "no route",
        {"Healthy": "", "Fetching": "fetch_failed"},
    ),
    "images that may not be fetched now wait, and nothing has failed": (
        Told(UPDATE, FETCHES, GOOD, fetching=("a",), error="the budget is used up", waits="budget"), "updating",
        "the budget is used up", {"Healthy": "", "Waiting": "budget"},
    ),
    "an update that is held up by a lock waits": (
        Told(UPDATE, WAITS, GOOD, lock=LOCK), "updating",
        "held by the update lock of painter: wet paint, for at most 2 min", {"Healthy": "", "Waiting": "locked"},
    ),
    "a lock that holds nothing up is not told": (Told(STAYS, HOLDS, GOOD, lock=LOCK), "converged", "", {"Healthy": ""}),
    "an app on its way back has failed, and goes back": (
        Told(BACK, HOLDS, PENDING), "failed", "goes back to the last good release: service web crashed",
        {"RolledBack": "release_failed"},
    ),
    "an app with steps left on its way back still goes": (
        Told(BACK, HOLDS, GOOD, plan=STEPS), "failed", "goes back to the last good release: service web crashed",
        {"Healthy": "", "RolledBack": "release_failed"},
    ),
    "an app that is back has failed, and is healthy": (
        Told(BACK, HOLDS, GOOD), "failed", "went back to the last good release: service web crashed",
        {"Healthy": "", "RolledBack": "release_failed"},
    ),
    "a bad release with nothing to go back to has failed": (
        Told(STUCK, HOLDS, BAD), "failed", "service web crashed", {},
    ),
    "an app that the owner refuses has failed, and what runs may be healthy": (
        Told(REFUSED, HOLDS, GOOD), "failed", REFUSED.why, {"Healthy": "", "Refused": "policy"},
    ),
    "an update that its file has stop half way has failed": (
        Told(PAUSED, LEFT, BAD), "failed", "the update stopped half way, as its file asks: service web is ill",
        {"Paused": "failure_action"},
    ),
    "services that were stopped by request are named, and the app is converged": (
        Told(STAYS, HOLDS, GOOD, stopped=frozenset({"web", "db"})), "converged", "stopped by request: db, web",
        {"Healthy": "stopped_by_request"},
    ),
    "a release that was given up for a newer one is told": (
        Told(UPDATE, SWITCHES, PENDING, superseded="one gave way to two"), "updating", PENDING.message,
        {"Switching": "begun", "Superseded": "newer_release"},
    ),
}  # fmt: skip


def holding(status: InstanceStatus) -> dict[str, str]:
    return {condition.type: condition.reason for condition in status.conditions if condition.status}


@pytest.mark.parametrize(("told", "state", "message", "conditions"), TABLE.values(), ids=TABLE.keys())
def test_what_is_reported(told: Told, state: str, message: str, conditions: dict[str, str]) -> None:
    status = instance_status(told)
    assert (status.state, status.message, holding(status)) == (state, message, conditions)
    assert status.services == told.verdict.services
    assert status.plan == tuple(told.plan.lines())


def test_healthy_is_always_told_with_what_is_not_as_it_should_be() -> None:
    (healthy,) = [c for c in instance_status(Told(STAYS, HOLDS, BAD)).conditions if c.type == "Healthy"]
    assert healthy == Condition(type="Healthy", status=False, reason="", message=BAD.message)


@pytest.mark.parametrize(
    ("told", "texts"),
    [
        (Told(BACK, HOLDS, GOOD), {"RolledBack": "service web crashed"}),
        (Told(UPDATE, FETCHES, GOOD, fetching=("a",)), {"Fetching": "1 images"}),
        (Told(UPDATE, FETCHES, GOOD, fetching=("a",), error="no route"), {"Fetching": "no route"}),
        (Told(UPDATE, WAITS, GOOD, lock=LOCK), {"Waiting": lock_sentence(LOCK)}),
        (
            Told(UPDATE, SWITCHES, PENDING, superseded="gave way"),
            {"Switching": PENDING.message, "Superseded": "gave way"},
        ),
        (Told(STAYS, HOLDS, BAD), {"Degraded": BAD.message}),
    ],
)  # fmt: skip
def test_each_condition_says_why_it_holds(told: Told, texts: dict[str, str]) -> None:
    found = {c.type: c.message for c in instance_status(told).conditions if c.status and c.type != "Healthy"}
    assert found == texts


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (Told(UPDATE, WAITS, GOOD, lock=LOCK), TWO),  # asked for, though the other one runs
        (Told(BACK, HOLDS, GOOD), ONE),  # given up
        (Told(REFUSED, HOLDS, GOOD), TWO),
    ],
    ids=["an update", "on the way back", "a refusal"],
)
def test_the_release_that_is_reported_is_the_asked_one_unless_it_was_given_up(told: Told, expected: Any) -> None:
    status = instance_status(told)
    assert (status.release, status.section) == (expected.release, expected.digest)
    assert (status.instance, status.name) == (expected.instance, expected.name)


def test_sentences_and_plans_are_cut_where_a_message_ends() -> None:
    many = Plan(waiting=tuple(Waiting(f"web.{n}", "db is not healthy") for n in range(PLAN_LINES_MAX + 5)))
    status = instance_status(Told(STAYS, HOLDS, Verdict("bad", "x" * 5000, SERVICES), plan=many))
    assert status.message == "x" * MESSAGE_CHARS
    assert {len(c.message) for c in status.conditions} == {500}
    assert len(status.plan) == PLAN_LINES_MAX
    assert status.plan[-1] == "and 6 more"
    whole = Plan(waiting=many.waiting[:PLAN_LINES_MAX])
    assert instance_status(Told(STAYS, HOLDS, BAD, plan=whole)).plan == tuple(whole.lines())


@pytest.mark.parametrize(
    ("lock", "sentence"),
    [
        (HeldLock("painter", "", 60.0), "held by the update lock of painter, for at most 1 min"),
        (HeldLock("painter", "wet", 60.1), "held by the update lock of painter: wet, for at most 2 min"),
        (HeldLock("painter", "wet", -90.0), "held by the update lock of painter: wet, for at most 0 min"),
    ],
)
def test_a_lock_is_told_in_whole_minutes(lock: HeldLock, sentence: str) -> None:
    assert lock_sentence(lock) == sentence


@pytest.mark.parametrize("lock", [None, LOCK], ids=["free", "locked"])
def test_an_app_that_is_not_wanted_any_more_is_being_removed_unless_its_lock_holds_that_up(lock: Any) -> None:
    status = removing_status(ONE, STEPS, lock)
    sentence = "" if lock is None else lock_sentence(lock)
    assert (status.state, status.message, status.plan) == ("removing", sentence, tuple(STEPS.lines()))
    assert holding(status) == ({} if lock is None else {"Waiting": "locked"})
    assert status.services == ()


def test_a_service_that_waits_is_told_by_the_plan_as_well() -> None:
    pair = app({"db": service("db", healthcheck={"test": ["CMD", "true"]}), "web": service(
        depends_on={"db": {"condition": "service_healthy"}})})  # fmt: skip
    todo = plan(pair, world(pair, shown(pair, "db", health="starting"), shown(pair, "web", state="created")))
    assert instance_status(Told(FIRST, HOLDS, PENDING, plan=todo)).plan == ("wait web: db is not healthy",)
