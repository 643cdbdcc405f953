"""The container engine of the machine that pushes: how it is reached, and what of it is used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import docker
import docker.errors
import docker.utils
import requests

from compose.engine_events import Events
from compose.errors import EngineUnreachable, one_line

SILENCE_S_MAX = 3600.0  # a build step may compile for long without a word; a dead engine is noticed by its socket
ADDRESS = "unix:///var/run/docker.sock"

Phase = Literal["build", "pull", "push", "done"]


class Engine(Protocol):
    """What is asked of a container engine: a part of docker-py's `APIClient`."""

    def version(self) -> Mapping[str, Any]: ...
    def inspect_image(self, image: str) -> Mapping[str, Any]: ...
    def build(self, **arguments: Any) -> Iterable[Mapping[str, Any]]: ...
    def pull(self, repository: str, **arguments: Any) -> Iterable[Mapping[str, Any]]: ...
    def push(self, repository: str, **arguments: Any) -> Iterable[Mapping[str, Any]]: ...
    def tag(self, image: str, repository: str, **arguments: Any) -> bool: ...
    def remove_image(self, image: str, **arguments: Any) -> object: ...


@dataclass(frozen=True)
class Progress:
    """How far one service's image is. `text` is the engine's last word, for a person."""

    service: str
    phase: Phase
    done_bytes: int = 0
    total_bytes: int = 0
    text: str = ""


Report = Callable[[Progress], None]


def connect(address: str | None = None) -> Engine:
    """Return the engine at `address`, or the one that the environment names; raise `EngineUnreachable`."""
    try:
        arguments = {"base_url": address} if address else docker.utils.kwargs_from_env()
        engine: Engine = docker.APIClient(version="auto", timeout=SILENCE_S_MAX, **arguments)
    except docker.errors.DockerException as error:
        raise EngineUnreachable(
            f"the container engine does not answer ({one_line(str(error), 160)}); is it running, and may you use it?"
        ) from error
    return engine


@contextlib.contextmanager
def engine_errors(where: str) -> Iterator[None]:
    """Translate what tells that the engine itself is gone."""
    try:
        yield
    except requests.exceptions.RequestException as error:
        raise EngineUnreachable(f"{where}: the container engine went away ({one_line(str(error), 160)})") from error


def follow(stream: Iterable[Mapping[str, Any]], service: str, phase: Phase, report: Report) -> Events:
    """Return what the events of one operation came to, after telling each of them."""
    events = Events()
    for event in stream:
        changed = events.take(event)
        text = one_line(str(event.get("stream") or ""), 200)
        if changed or text:
            report(Progress(service, phase, events.done_bytes, events.total_bytes, text))
    return events
