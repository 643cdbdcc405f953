"""A cloud made of canned answers, and a way to run one command line against it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cloud.cli import credentials
from cloud.cli.command_line import run
from cloud.cli.credentials import Login
from cloud.cli.surroundings import Surroundings

Answer = tuple[int, Any]
LOGIN = Login(url="https://cloud:1", ca="", token="t0", user="ann", org="oaaaaaaaaaaa", org_name="main")


class ManualClock:
    """Goes on only when somebody pauses."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return int(self.now_s * 1000)

    def pause(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class CannedCloud:
    """Answers by method and path: one answer each time, the last one for ever. Notes what it was asked."""

    answers: dict[str, list[Answer | Exception]]
    asked: list[tuple[str, Any]] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        key = f"{request.method} {request.url.path}"
        self.asked.append((key, json.loads(request.content) if request.content else dict(request.url.params)))
        self.requests.append(request)
        known = self.answers.get(key)
        if known is None:
            return httpx.Response(404, json={"error": {"reason": "not_found", "message": "nothing here"}})
        answer = known.pop(0) if len(known) > 1 else known[0]
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        if isinstance(body, str):
            return httpx.Response(status, text=body)
        return httpx.Response(status, json=body)


@dataclass
class Shell:
    """Runs `skerry` in a home of its own."""

    home: Path
    clock: ManualClock = field(default_factory=ManualClock)
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, cloud: Callable[[httpx.Request], httpx.Response] | None = None) -> int:
        """Return the exit code of one command line."""
        surroundings = Surroundings(
            variables=self.variables,
            home=self.home,
            machine="x86_64",
            clock=self.clock,
            pause=self.clock.pause,
            transport=httpx.MockTransport(cloud) if cloud else None,
        )
        return run(arguments, surroundings)

    def log_in(self) -> None:
        """Keep a login, as if somebody had logged in."""
        credentials.keep(self.home, credentials.DEFAULT_NAME, LOGIN)


def lines_of(events: list[tuple[str, int, dict[str, Any]]]) -> Iterator[str]:
    """Yield an event stream's text: (type, id, data) each."""
    for kind, number, data in events:
        yield f"event: {kind}\nid: {number}\ndata: {json.dumps(data)}\n\n"
