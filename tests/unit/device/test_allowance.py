"""What a link policy allows, at every kind of moment."""

from __future__ import annotations

import pytest

from broker.errors import Waiting
from broker.messages import LinkPolicy
from device.images.allowance import DAY_MS, HOUR_MS, Used, allowed, charged, rolled

DAY = 20_000  # 2024-10-04
MIDNIGHT = DAY * DAY_MS
NIGHT = LinkPolicy(hours=((22, 6),))


def at(hour: float, day: int = DAY) -> int:
    return int(day * DAY_MS + hour * HOUR_MS)


def why(link: LinkPolicy, used: Used, now_ms: int | None) -> tuple[str, str]:
    with pytest.raises(Waiting) as waiting:
        allowed(link, used, now_ms)
    return waiting.value.reason, str(waiting.value)


def test_without_any_limit_any_number_may_come() -> None:
    assert allowed(LinkPolicy(), Used(), at(12)) is None
    assert allowed(LinkPolicy(), Used(day_bytes=10**12), None) is None


def test_what_is_left_of_a_day_may_come_until_it_is_used_up() -> None:
    link = LinkPolicy(bytes_per_day=50 << 20)
    assert allowed(link, Used(day=DAY, day_bytes=0), at(1)) == 50 << 20
    assert allowed(link, Used(day=DAY, day_bytes=(50 << 20) - 7), at(1)) == 7
    assert why(link, Used(day=DAY, day_bytes=50 << 20), at(1)) == (
        "link_budget",
        "the link budget of 50 MiB a day is used up until 2024-10-05 00:00 UTC",
    )


def test_a_new_day_begins_at_nothing_and_a_clock_that_goes_back_gives_nothing() -> None:
    used = Used(day=DAY, day_bytes=9)
    link = LinkPolicy(bytes_per_day=9)
    assert rolled(used, link, at(23.9), counted_for_s=0) == used
    assert rolled(used, link, at(0, DAY + 1), counted_for_s=0) == Used(day=DAY + 1, day_bytes=0)
    assert rolled(used, link, at(5, DAY - 3), counted_for_s=0) == used


def test_what_was_used_while_the_time_was_unknown_counts_for_the_day_that_is_learnt() -> None:
    link = LinkPolicy(bytes_per_day=9)
    unknown = charged(rolled(Used(), link, None, counted_for_s=5), 4)
    assert allowed(link, unknown, None) == 5
    assert rolled(unknown, link, at(3), counted_for_s=5) == Used(day=DAY, day_bytes=4, window_bytes=4)


def test_a_device_that_never_learns_the_time_gets_a_budget_for_each_day_it_runs() -> None:
    link = LinkPolicy(bytes_per_day=9)
    used = Used(day_bytes=9)
    assert why(link, used, None)[1].endswith("is used up until it has run for a day, or knows the time")
    assert rolled(used, link, None, counted_for_s=86_399) == used
    assert rolled(used, link, None, counted_for_s=86_400) == Used()


@pytest.mark.parametrize(
    ("hour", "is_open"), [(21.99, False), (22, True), (23.99, True), (0, True), (5.99, True), (6, False)]
)
def test_hours_go_over_midnight(hour: float, is_open: bool) -> None:
    if is_open:
        assert allowed(NIGHT, Used(), at(hour)) is None
    else:
        assert why(NIGHT, Used(), at(hour)) == (
            "link_hours",
            "images wait for the hours of the link policy, until 2024-10-04 22:00 UTC",
        )


def test_the_next_hours_may_be_tomorrow() -> None:
    assert why(LinkPolicy(hours=((1, 2), (3, 4))), Used(), at(2.5))[1].endswith("until 2024-10-04 03:00 UTC")
    assert why(LinkPolicy(hours=((1, 2), (3, 4))), Used(), at(4))[1].endswith("until 2024-10-05 01:00 UTC")


def test_without_a_clock_hours_count_for_nothing_or_for_never() -> None:
    assert allowed(NIGHT, Used(), None) is None
    assert why(NIGHT.model_copy(update={"without_clock": "closed"}), Used(), None)[0] == "link_clock"


def test_a_window_has_a_budget_of_its_own() -> None:
    link = LinkPolicy(hours=((22, 6),), bytes_per_window=100)
    late = rolled(Used(day=DAY - 1), link, at(23), counted_for_s=0)
    late = charged(late, 100)
    assert why(link, late, at(23)) == (
        "link_budget",
        "the link budget of 100 bytes a window is used up until 2024-10-05 22:00 UTC",
    )
    early = rolled(late, link, at(5, DAY + 1), counted_for_s=0)
    assert early.window_bytes == 100  # midnight is in the middle of the window
    assert allowed(link, rolled(early, link, at(22, DAY + 1), counted_for_s=0), at(22, DAY + 1)) == 100


def test_the_smaller_of_two_budgets_counts() -> None:
    link = LinkPolicy(hours=((0, 24),), bytes_per_window=100, bytes_per_day=60)
    assert allowed(link, Used(day=DAY, window_ms=MIDNIGHT), at(1)) == 60
    assert allowed(link, Used(day=DAY, window_ms=MIDNIGHT, window_bytes=70), at(1)) == 30


def test_a_metered_link_without_a_budget_carries_no_images() -> None:
    assert why(LinkPolicy(metered=True), Used(), at(1))[0] == "link_metered"
    assert allowed(LinkPolicy(metered=True, bytes_per_day=5), Used(), at(1)) == 5
