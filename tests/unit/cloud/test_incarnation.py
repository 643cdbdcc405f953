"""Whether a database is an older copy."""

from __future__ import annotations

from cloud.incarnation import Mark, is_older
from cloud.store.meta import Meta


def test_a_database_that_counts_less_than_it_had_reached_is_older() -> None:
    assert is_older(Meta("s-1", 9, 1), Mark("s-1", 10))


def test_a_crash_may_leave_the_file_behind_but_not_ahead() -> None:
    assert not is_older(Meta("s-1", 11, 1), Mark("s-1", 10))
    assert not is_older(Meta("s-1", 10, 1), Mark("s-1", 10))


def test_what_cannot_be_told_apart_counts_as_older() -> None:
    assert is_older(Meta("s-1", 10, 1), None)
    assert is_older(Meta("s-1", 10, 1), Mark("s-2", 3))
