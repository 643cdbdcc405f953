"""The two Redis children: `intake`, which apps write to, and `store`, which only the worker sees."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from broker.children import Child, Program
from broker.errors import Refused
from broker.files import write_durably
from device.config import Paths, TelemetrySettings
from device.telemetry.connection import Client
from device.telemetry.redis_files import RedisFiles

WORKER_USER = "worker"
CHECK_EVERY_S = 60.0  # whether a new connection is still answered
UNREACHABLE_S = 30.0  # a slow disk may hold up a Redis that writes before it answers
STOP_TIMEOUT_S = 10.0


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
aof-load-truncated yes
auto-aof-rewrite-min-size 4mb
maxmemory {settings.intake_megabytes}mb
maxmemory-policy noeviction
maxmemory-clients {max(2, settings.intake_megabytes // 4)}mb
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
# A node of a stream is freed with its last entry: one entry each, so that what is given up is free at once.
stream-node-max-entries 1
maxmemory {settings.store_megabytes}mb
maxmemory-policy noeviction
databases 1
"""


class Server:
    """One supervised Redis with its files."""

    def __init__(
        self,
        config: Path,
        text: str,
        *,
        socket: Path,
        client: Client,
        before_start: Callable[[], None] = lambda: None,
        on_up: Callable[[], None],
    ) -> None:
        server = shutil.which("redis-server") or shutil.which("valkey-server")
        if server is None:
            raise Refused("missing_program", "redis-server is not installed (package redis-server)")
        log_path = config.with_suffix(".log")
        self.files = RedisFiles(config.with_suffix(""), log_path=log_path)

        def prepare() -> None:
            before_start()
            self.files.before_start()
            write_durably(config, text.encode())
            socket.unlink(missing_ok=True)  # one left by a killed server: nobody listens on it any more

        def up() -> None:
            self.files.on_up()
            on_up()

        self.child = Child(
            Program(
                name=f"redis-{config.stem}",
                argv=(server, str(config)),
                log_path=log_path,
                ready=client.is_reachable,
                before_start=prepare,
                on_up=up,
                check_every_s=CHECK_EVERY_S,
                unreachable_s=UNREACHABLE_S,
                stop_timeout_s=STOP_TIMEOUT_S,
                lock_path=config.with_suffix(".lock"),  # two servers on the same files would ruin them
            )
        )

    @property
    def trouble(self) -> tuple[str, str]:
        """Return the reason and a sentence where something is wrong with it; two empty texts where nothing is."""
        if not self.child.is_up:
            return "not_running", f"{self.child.program.name} does not run: {self.child.last_words()}"
        if self.files.put_aside:
            return "damaged", f"Redis did not start with its files: it began anew, they lie in {self.files.put_aside}"
        return "", ""


def intake_server(paths: Paths, settings: TelemetrySettings, *, password: str, on_up: Callable[[], None]) -> Server:
    """Return the supervised intake; `on_up` runs after each start, before it counts as ready."""
    return Server(
        paths.telemetry / "intake.conf",
        intake_config(paths, settings, password=password),
        socket=paths.intake_socket,
        client=Client(paths.intake_socket, user=WORKER_USER, password=password),
        on_up=on_up,
    )


def store_server(
    paths: Paths, settings: TelemetrySettings, *, before_start: Callable[[], None], on_up: Callable[[], None]
) -> Server:
    """Return the supervised store; `before_start` and `on_up` run around each start, before it counts as ready."""
    return Server(
        paths.telemetry / "store.conf",
        store_config(paths, settings),
        socket=paths.store_socket,
        client=Client(paths.store_socket),
        before_start=before_start,
        on_up=on_up,
    )
