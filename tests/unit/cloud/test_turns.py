"""The lock that writers queue for."""

from __future__ import annotations

import threading

import pytest

from broker.errors import Passing
from cloud.store.turns import Turns


def test_turns_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    turns, order = Turns(), list[int]()
    threads = [threading.Thread(target=lambda n=n: write(n)) for n in range(5)]

    def write(number: int) -> None:
        with turns.mine(10.0):
            order.append(number)

    with turns.mine(1.0):
        for count, thread in enumerate(threads):
            thread.start()
            while turns.waiting <= count:
                continue
    with turns.mine(10.0):  # who comes back at once is behind those that waited
        assert order == [0, 1, 2, 3, 4]
    for thread in threads:
        thread.join(10)


def test_a_turn_that_does_not_come_is_passing_and_leaves_no_trace() -> None:
    turns = Turns()
    with turns.mine(1.0), pytest.raises(Passing, match="no turn to write"), turns.mine(0.01):
        pytest.fail("two at once")
    assert turns.waiting == 0
    with turns.mine(0.01):
        pass


def test_a_turn_ends_with_an_exception_as_well() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="x"), turns.mine(1.0):
        raise ValueError("x")
    with turns.mine(0.01):
        pass
