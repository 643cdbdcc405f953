"""The two Redis children: `intake`, which apps write to, and `store`, which only the worker sees."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from broker.children import Child, Program
from broker.errors import Refused
from broker.files import write_durably
from device.config import Paths, TelemetrySettings
from device.telemetry.connection import Client, RedisUnavailable

WORKER_USER = "worker"


def intake_config(paths: Paths, settings: TelemetrySettings, *, password: str) -> str:
    """Return the configuration of the intake: limits for every client, the default user off, no network port."""
    return f"""# Generated.
port 0
unixsocket {paths.intake_socket}
unixsocketperm 666
dir {paths.telemetry}
daemonize no
save ""
appendonly yes
appenddirname intake
appendfsync {settings.durability}
auto-aof-rewrite-min-size 4mb
maxmemory {settings.intake_megabytes}mb
maxmemory-policy noeviction
maxmemory-clients 16mb
client-query-buffer-limit 1mb
proto-max-bulk-len 1mb
client-output-buffer-limit normal 4mb 2mb 10
maxclients 256
databases 1
user default off
user {WORKER_USER} on >{password} ~* &* +@all
"""


def store_config(paths: Paths, settings: TelemetrySettings) -> str:
    """Return the configuration of the store: what it acknowledged has reached the disk."""
    return f"""# Generated.
port 0
unixsocket {paths.store_socket}
unixsocketperm 600
dir {paths.telemetry}
daemonize no
save ""
appendonly yes
appenddirname store
appendfsync always
aof-load-truncated yes
auto-aof-rewrite-min-size 16mb
maxmemory {settings.store_megabytes}mb
maxmemory-policy noeviction
databases 1
"""


def intake_server(paths: Paths, settings: TelemetrySettings, *, password: str, on_up: Callable[[], None]) -> Child:
    """Return the supervised intake; `on_up` runs after each start, before it counts as ready."""
    config = paths.telemetry / "intake.conf"
    return Child(
        _program(
            "redis-intake",
            config=config,
            text=intake_config(paths, settings, password=password),
            socket=paths.intake_socket,
            client=Client(paths.intake_socket, user=WORKER_USER, password=password),
            hook=lambda: None,
            on_up=on_up,
        )
    )


def store_server(
    paths: Paths, settings: TelemetrySettings, *, before_start: Callable[[], None], on_up: Callable[[], None]
) -> Child:
    """Return the supervised store; `before_start` and `on_up` run around each start, before it counts as ready."""
    config = paths.telemetry / "store.conf"
    return Child(
        _program(
            "redis-store",
            config=config,
            text=store_config(paths, settings),
            socket=paths.store_socket,
            client=Client(paths.store_socket),
            hook=before_start,
            on_up=on_up,
        )
    )


def _program(
    name: str,
    *,
    config: Path,
    text: str,
    socket: Path,
    client: Client,
    hook: Callable[[], None],
    on_up: Callable[[], None],
) -> Program:
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None:
        raise Refused("missing_program", "redis-server is not installed (package redis-server)")

    def before_start() -> None:
        hook()
        write_durably(config, text.encode())
        socket.unlink(missing_ok=True)  # one left by a killed server: nobody listens on it any more

    return Program(
        name=name,
        argv=(server, str(config)),
        log_path=config.with_suffix(".log"),
        ready=lambda: _answers(client),
        before_start=before_start,
        on_up=on_up,
    )


def _answers(client: Client) -> bool:
    try:
        return client.ping()
    except RedisUnavailable:
        return False
