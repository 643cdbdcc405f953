"""Names of connections: never twice within a boot."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.messages import Conn
from device.connections import Connections
from tests.unit.device.fakes import BOOT


def connections(*uptimes: int) -> Connections:
    clock: Iterator[int] = iter(uptimes)
    return Connections(boot=BOOT, uptime_ms=lambda: next(clock))


def test_a_connection_is_named_by_its_boot_and_the_uptime() -> None:
    made = connections(5000, 9000)
    assert [made.next(), made.next()] == [Conn(boot=BOOT, count=5000), Conn(boot=BOOT, count=9000)]


def test_two_connections_within_one_millisecond_have_two_names() -> None:
    made = connections(5000, 5000, 5001, 5002)
    assert [made.next().count for _ in range(4)] == [5000, 5001, 5002, 5003]


def test_a_restarted_worker_goes_on_where_the_machine_is() -> None:
    before = connections(5000).next()
    assert connections(5900).next().supersedes(before)
    assert not before.supersedes(connections(5900).next())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=8))
def test_names_grow_whatever_the_clock_says(uptimes: list[int]) -> None:
    made = connections(*uptimes)
    counts = [made.next().count for _ in uptimes]
    assert counts == sorted(set(counts))
