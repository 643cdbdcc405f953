"""Commands inside of running containers, waited for and bounded in what they write."""

from __future__ import annotations

import threading
from typing import Any

from broker.appspec import Hook
from device.engine.connection import Connection, Stream
from device.engine.frames import Frames
from device.engine.port import EngineRefused, HookResult

OUTPUT_CHARS_MAX = 4096  # for a person to see why it failed
SETTLE_S = 0.05
SETTLE_TRIES = 100


def run_hook(connection: Connection, container_id: str, hook: Hook, *, timeout_s: float) -> HookResult:
    """Run a command to its end. One that takes too long is left behind; it ends with its container."""
    with connection.acting():
        client = connection.client()
        made = client.exec_create(
            container_id,
            list(hook.command),
            user=hook.user,
            privileged=hook.privileged,
            workdir=hook.working_dir or None,
            environment=dict(hook.environment) or None,
        )["Id"]
        url = client._url("/exec/{0}/start", made)
        answer = client._post_json(url, data={"Tty": False, "Detach": False}, stream=True, timeout=None)
        stream = Stream(client, answer)
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            stream.close()

        timer = threading.Timer(timeout_s, give_up)
        timer.start()
        try:
            output = _output(stream)
        finally:
            timer.cancel()
        if is_late.is_set():
            raise EngineRefused("hook_timeout", f"{' '.join(hook.command)} has not ended after {timeout_s:.0f} s")
        return HookResult(_exit_code(client, made), output)


def _exit_code(client: Any, made: str) -> int:
    """Return how it ended. Engines close its outputs a moment before they know."""
    pause = threading.Event()
    for _ in range(SETTLE_TRIES):
        told = client.exec_inspect(made)
        if not told["Running"]:
            return int(told["ExitCode"] or 0)
        pause.wait(SETTLE_S)
    raise EngineRefused("hook_timeout", "the command has closed its outputs and does not end")


def _output(stream: Stream) -> str:
    """Read all, or the command could not go on writing, and keep the beginning."""
    frames, kept = Frames(is_raw=False), bytearray()
    for data in stream:
        for _, _, piece in frames.feed(data):
            kept += piece[: max(0, OUTPUT_CHARS_MAX - len(kept))]
    return kept.decode(errors="replace")
