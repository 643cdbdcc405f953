"""How far a device is with a deployment."""

from __future__ import annotations

import pytest

from broker.messages import Conn, Generation, InstanceStatus, Status
from cloud.judge import judge
from cloud.store.rows import Target

INSTANCE = "i" + "a" * 11
WANTED, OLD = "sha256:" + "1" * 64, "sha256:" + "2" * 64
TARGET = Target("d" + "a" * 11, 1, 5, WANTED)


def at(generation: int) -> Generation:
    return Generation(era=1, generation=generation, digest="sha256:" + "0" * 64)


def status(generation: int, state: str, section: str = WANTED) -> Status:
    instance = InstanceStatus(instance=INSTANCE, name="web", release=OLD, section=section, state=state)  # type: ignore[arg-type]
    return Status(conn=Conn(boot="a" * 32, count=1), n=1, revision=1, accepted=at(generation), instances=(instance,))


@pytest.mark.parametrize(
    ("accepted", "reported", "state"),
    [
        (None, None, "pending"),
        (at(4), status(4, "converged"), "pending"),
        (at(5), None, "accepted"),
        (at(5), status(4, "converged", OLD), "accepted"),
        (at(5), status(5, "converged", OLD), "accepted"),
        (at(5), status(5, "updating"), "updating"),
        (at(5), status(5, "degraded"), "updating"),
        (at(5), status(5, "converged"), "converged"),
        (at(5), status(5, "failed"), "failed"),
        (at(5), status(5, "failed", OLD), "failed"),
        (at(6), status(6, "converged"), "converged"),
    ],
)
def test_the_state_of_a_target(accepted: Generation | None, reported: Status | None, state: str) -> None:
    assert judge(TARGET, INSTANCE, accepted=accepted, status=reported, newest=at(5)).state == state


def test_a_newer_deployment_supersedes_one_whose_section_is_gone() -> None:
    judged = judge(TARGET, INSTANCE, accepted=at(6), status=status(6, "converged", OLD), newest=at(6))
    assert (judged.state, judged.message) == ("accepted", "superseded by generation 6")
