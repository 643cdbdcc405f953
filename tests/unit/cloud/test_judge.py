"""How far a device is with a deployment."""

from __future__ import annotations

import pytest

from broker.messages import Condition, Conn, Generation, InstanceStatus, Status
from cloud.judge import PHASES, judge
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
    assert judge(TARGET, INSTANCE, accepted=accepted, status=reported, newest=(1, 5)).state == state


def test_a_newer_deployment_supersedes_one_whose_section_is_gone() -> None:
    judged = judge(TARGET, INSTANCE, accepted=at(6), status=status(6, "converged", OLD), newest=(1, 6))
    assert (judged.state, judged.message) == ("superseded", "superseded by generation 6")


def test_a_target_that_nothing_was_issued_to_is_being_made_or_superseded() -> None:
    def state(generation: int | None) -> str:
        target = Target(TARGET.device, generation, generation, WANTED)
        return judge(target, INSTANCE, accepted=at(9), status=status(9, "converged"), newest=(1, 9)).state

    assert (state(None), state(0)) == ("issuing", "superseded")


def test_the_most_telling_condition_is_the_phase_and_gives_the_message_where_there_is_none() -> None:
    def phase(*holding: str) -> tuple[str, str]:
        reported = status(5, "updating")
        conditions = tuple(Condition(type=name, status=name in holding, message=f"{name}!") for name in PHASES)
        (one,) = reported.instances
        seen = reported.model_copy(update={"instances": (one.model_copy(update={"conditions": conditions}),)})
        judged = judge(TARGET, INSTANCE, accepted=at(5), status=seen, newest=(1, 5))
        return judged.phase, judged.message

    assert phase() == ("", "")
    assert phase("Fetching") == ("Fetching", "Fetching!")
    assert phase("Healthy", "Switching", "Waiting") == ("Waiting", "Waiting!")
    assert phase("RolledBack", "Healthy") == ("RolledBack", "RolledBack!")
