"""The live feed."""

from __future__ import annotations

import asyncio

from cloud.live import QUEUE_DEPTH, Feed, Watcher


async def _take(watcher: Watcher, count: int) -> list[str]:
    taken = []
    async for event in watcher:
        taken.append(event.data)
        if len(taken) == count:
            break
    return taken


def test_a_watcher_sees_its_own_organisation_in_order() -> None:
    async def story() -> list[str]:
        feed = Feed(first_id=0)
        watcher = feed.watch("mine")
        for n in range(3):
            feed.publish("mine", "device", {"n": n})
            feed.publish("theirs", "device", {"secret": n})
        return await _take(watcher, 3)

    assert asyncio.run(story()) == ['{"n":0}', '{"n":1}', '{"n":2}']


def test_a_watcher_who_comes_back_gets_what_is_kept_since() -> None:
    async def story() -> list[str]:
        feed = Feed(first_id=100)
        for n in range(3):
            feed.publish("mine", "device", {"n": n})
        return await _take(feed.watch("mine", since=101), 2)

    assert asyncio.run(story()) == ['{"n":1}', '{"n":2}']


def test_a_slow_watcher_is_let_go_and_the_others_stay() -> None:
    async def story() -> tuple[list[str], bool, int]:
        feed = Feed(first_id=0)
        slow = feed.watch("mine")
        for n in range(QUEUE_DEPTH + 1):
            feed.publish("mine", "progress", {"n": n})
        quick = feed.watch("mine")
        feed.publish("mine", "progress", {"n": -1})
        return await _take(quick, 1), [event async for event in slow] == [], feed.slow

    assert asyncio.run(story()) == (['{"n":-1}'], True, 1)
