"""How a watched deployment is judged, and how it ends."""

from __future__ import annotations

import itertools

import pytest

from cloud.cli.answers import Deployment, Target
from cloud.cli.ending import ending
from cloud.cli.verdict import changed, judged, named
from cloud.cli.wait import Waited


def target(name: str, state: str, online: bool = True, message: str = "") -> Target:
    return Target(device=f"d-{name}", name=name, state=state, online=online, message=message)


def end(*targets: Target, timed_out: bool = False) -> tuple[int, str]:
    deployment = Deployment(deployment="x", app="web", fleet="boats", devices=targets)
    return ending(Waited(deployment, judged(targets), timed_out))


@pytest.mark.parametrize(
    ("targets", "outcome"),
    [
        ([], "converged"),
        ([target("a", "converged")], "converged"),
        ([target("a", "converged"), target("b", "updating")], "going"),
        ([target("a", "converged"), target("b", "pending", online=False)], "converged"),
        ([target("a", "pending", online=False)], "going"),
        ([target("a", "failed"), target("b", "accepted")], "going"),
        ([target("a", "failed"), target("b", "converged")], "failed"),
        ([target("a", "failed", online=False), target("b", "pending", online=False)], "failed"),
        ([target("a", "a state of a newer cloud")], "going"),
        ([target("a", "superseded"), target("b", "converged")], "failed"),
        ([target("a", "superseded"), target("b", "issuing")], "going"),
    ],
)
def test_a_deployment_is_decided_when_no_reachable_device_is_on_its_way(targets: list[Target], outcome: str) -> None:
    assert judged(targets).outcome == outcome


def test_only_changes_are_told() -> None:
    before = [target("a", "pending"), target("b", "pending", online=False)]
    after = [target("a", "updating", message="pulls"), target("b", "pending", online=False), target("c", "pending")]
    assert changed((), before) == ["a  pending", "b  pending (not reachable)"]
    assert changed(before, after) == ["a  updating: pulls", "c  pending"]


def test_the_phase_of_an_update_is_told_behind_its_state() -> None:
    phases = ["Fetching", "Waiting", "Switching", "Healthy"]
    seen = [Target(device="d", name="a", state="updating", phase=phase, online=True) for phase in phases]
    told = [changed([one], [other]) for one, other in itertools.pairwise(seen)]
    assert told == [["a  updating Waiting"], ["a  updating Switching"], ["a  updating Healthy"]]


def test_a_deployment_that_was_overtaken_ends_with_4() -> None:
    assert end(target("a", "superseded"), target("b", "converged")) == (4, "superseded by a newer deployment on a")


def test_all_converged_ends_with_0() -> None:
    assert end(target("a", "converged")) == (0, "all reachable devices converged")


def test_devices_that_are_away_follow_later() -> None:
    assert end(target("a", "converged"), target("b", "pending", online=False)) == (
        0,
        "all reachable devices converged; 1 device not reachable (b): it will follow when it comes",
    )


def test_a_failure_ends_with_4_and_says_where_to_look() -> None:
    assert end(target("a", "failed"), target("b", "converged")) == (4, "failed on a; see: skerry why a web")


def test_a_failure_counts_more_than_the_time() -> None:
    assert end(target("a", "failed"), target("b", "updating"), timed_out=True)[0] == 4


def test_time_up_ends_with_5_and_tells_who_is_missing() -> None:
    away = [target(name, "pending", online=False) for name in "bc"]
    assert end(target("a", "updating"), *away, timed_out=True) == (
        5,
        "timed out; still on the way: a; 2 devices not reachable (b, c): they will follow when they come",
    )


def test_a_fleet_without_devices_is_told_as_such() -> None:
    assert end() == (0, "no device is in fleet boats yet; those that join it will run this")


def test_many_names_are_cut() -> None:
    assert named([str(n) for n in range(8)]) == "0, 1, 2, 3, 4 and 3 more"
