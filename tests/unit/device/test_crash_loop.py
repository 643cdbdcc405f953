"""When a crashing container is held back, and for how long."""

from __future__ import annotations

from device.engine.crash_loop import FREE, PAUSE_S_MAX, Loop, hold, is_looping, recovered, resume


def test_the_first_restarts_are_the_engines_alone() -> None:
    assert [is_looping(Loop(), restarts=restarts) for restarts in range(FREE + 1)] == [False] * FREE + [True]


def test_pauses_grow_up_to_five_minutes() -> None:
    loop, pauses = Loop(), []
    for _ in range(12):
        loop = hold(loop, restarts=1, retries_max=None, now=0.0)
        assert loop.is_held
        pauses.append(loop.resume_at)
        loop = resume(loop, restarts=1)
        assert is_looping(loop, restarts=1)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, PAUSE_S_MAX, PAUSE_S_MAX, PAUSE_S_MAX]


def test_restarts_are_counted_over_the_pauses() -> None:
    loop = resume(hold(Loop(), restarts=3, retries_max=None, now=0.0), restarts=3)
    assert loop.before == 4  # three by the engine, one by us; the engine counts from none again
    assert not is_looping(loop, restarts=0)


def test_a_container_that_is_held_is_not_held_again() -> None:
    assert not is_looping(hold(Loop(), restarts=3, retries_max=None, now=0.0), restarts=9)


def test_who_has_run_for_long_is_forgiven() -> None:
    loop = resume(hold(Loop(), restarts=3, retries_max=None, now=0.0), restarts=3)
    well = recovered(loop, restarts=1)
    assert (well.before, well.holds) == (4, 0)
    assert not is_looping(well, restarts=FREE)
    assert is_looping(well, restarts=FREE + 1)


def test_a_policy_with_retries_gives_up_after_them() -> None:
    loop = hold(Loop(), restarts=3, retries_max=5, now=0.0)
    assert loop.is_held
    loop = hold(resume(loop, restarts=3), restarts=1, retries_max=5, now=9.0)
    assert not loop.is_held
    assert not is_looping(loop, restarts=1)  # the engine goes on telling the restart that was the last one
