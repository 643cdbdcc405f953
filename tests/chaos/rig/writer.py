"""An app that numbers what it writes, as fast as it is told, with a journal of what Redis acknowledged.

`python -m tests.chaos.rig.writer --socket PATH --user NAME --stream NAME --journal FILE --rate N [--step-ms N]`; the
password is in PASSWORD. Each line of its input allows it to write up to that number; it prints what is settled so far.
A number is written once: one whose answer was lost is never written again, as it may stand. Lines of the journal:
`FIRST LAST KIND BEGAN ENDED`, by the monotonic clock; the kind is `acked`, `unsure` or `refused`.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PIPELINE_MAX = 100
AGAIN_S = 0.02
MORE_S = 0.005


def value_of(number: int) -> str:
    """Return what is written beside a number: the recorder makes it again."""
    return f"{number * number * 7919 % 100_003 / 100:.2f}"  # steps of no pattern, so that they take their room


class Writer:
    """Owns the numbers, the journal and the connection."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._asked = asked
        self._journal = Path(asked.journal).open("a")  # noqa: SIM115 - open as long as this process lives
        self._random = random.Random(asked.seed)  # noqa: S311 - a story that can be told again
        self._next = asked.first
        self._allowed = 0
        self._redis: Any = None
        self._ids_from = int(time.time() * 1000)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._allowed = int(line)
        os._exit(0)

    def run(self) -> None:
        due = time.monotonic()
        while True:
            count = min(self._random.randint(1, PIPELINE_MAX), self._allowed - self._next + 1)
            if count <= 0:
                time.sleep(MORE_S)
                due = time.monotonic()
                continue
            due = max(due, time.monotonic() - 1.0) + count / self._asked.rate
            self._write(count)
            time.sleep(max(0.0, due - time.monotonic()))

    def _write(self, count: int) -> None:
        first, began = self._next, time.monotonic()
        self._next += count
        kinds = self._send(first, count)
        ended = time.monotonic()
        start = 0
        for place in range(1, count + 1):
            if place == count or kinds[place] != kinds[start]:
                self._journal.write(f"{first + start} {first + place - 1} {kinds[start]} {began} {ended}\n")
                start = place
        self._journal.flush()
        print(self._next - 1, flush=True)
        if set(kinds) != {"acked"}:
            self._redis = None
            time.sleep(AGAIN_S)

    def _send(self, first: int, count: int) -> list[str]:
        if not self._connected():
            return ["refused"] * count
        pipeline = self._redis.pipeline(transaction=False)
        for number in range(first, first + count):
            pipeline.xadd(self._asked.stream, {"n": number, "v": value_of(number)}, id=self._id(number))
        try:
            answers = pipeline.execute(raise_on_error=False)
        except redis.RedisError:
            return ["unsure"] * count
        return ["refused" if isinstance(answer, Exception) else "acked" for answer in answers]

    def _connected(self) -> bool:
        if self._redis is not None:
            return True
        access = {"username": self._asked.user, "password": os.environ["PASSWORD"]}
        fresh = redis.Redis(unix_socket_path=self._asked.socket, retry=Retry(NoBackoff(), 0), **access)
        try:
            fresh.ping()
        except redis.RedisError:
            return False
        self._redis = fresh
        return True

    def _id(self, number: int) -> str:
        if not self._asked.step_ms:
            return "*"
        return f"{self._ids_from + (number - self._asked.first) * self._asked.step_ms}-0"


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--socket", "--user", "--stream", "--journal"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--step-ms", type=int, default=0, help="virtual time between two samples, in their ids")
    Writer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
