"""A Redis for each app that asks for one: a process of its own, in a folder that only this app gets.

Without persistence, and small: what is in it can be made again. It runs as nobody, and may not be asked for anything
that reaches out of it: no configuration, no files, no modules, no replication.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from broker.children import Child, Program
from broker.errors import Refused
from broker.files import write_durably
from device.telemetry.connection import Client

log = logging.getLogger(__name__)

INSIDE = "/run/skerry-redis"
NOBODY = 65534
READY_TIMEOUT_S = 5.0  # reconcile waits for it; an app finds it a moment later otherwise
CHECK_EVERY_S = 60.0
BESIDES_MEGABYTES = 64  # of memory for the program itself, its threads, scripts, and what allocating wastes
# Everything that can be asked of a cache, and nothing of the server: `@admin` and `@dangerous` are what Redis calls so.
RIGHTS = (
    "~* &* +@all -@admin -@dangerous"
    " +keys +flushdb +flushall +sort +sort_ro +swapdb +info +lastsave"
    " +client|list +client|kill +client|pause +client|unpause"
)


def config(*, megabytes: int) -> str:
    """Return the configuration of a server whose working folder is its own."""
    return f"""# Generated.
port 0
unixsocket socket/redis.sock
unixsocketperm 666
dir .
daemonize no
save ""
appendonly no
maxmemory {megabytes}mb
maxmemory-policy allkeys-lru
maxmemory-clients {max(2, megabytes // 4)}mb
client-query-buffer-limit {max(1, megabytes // 4)}mb
proto-max-bulk-len {max(1, megabytes // 4)}mb
client-output-buffer-limit normal {max(2, megabytes // 2)}mb {max(1, megabytes // 4)}mb 10
client-output-buffer-limit pubsub {max(2, megabytes // 2)}mb {max(1, megabytes // 4)}mb 10
maxclients 64
hz 1
crash-log-enabled no
user default on nopass {RIGHTS}
"""


class AppRedis:
    """Owns the servers. The reconcile thread says for which instances there is to be one."""

    def __init__(self, root: Path, *, megabytes: int) -> None:
        self._root = root
        self._megabytes = megabytes
        self._servers: dict[str, Child] = {}

    def folder(self, instance: str) -> Path:
        """Return the folder to mount: it holds the socket and nothing else."""
        return self._root / instance / "socket"

    def environment(self) -> Mapping[str, str]:
        return {"SKERRY_APP_REDIS_URL": f"unix://{INSIDE}/redis.sock"}

    def ensure(self, instances: Collection[str]) -> None:
        """Start what is not running yet."""
        for instance in instances:
            if instance not in self._servers:
                (self._root / instance).mkdir(parents=True, exist_ok=True)
                server = self._servers[instance] = Child(self._program(instance))
                server.start(needed=False)

    def keep_only(self, instances: Collection[str]) -> None:
        """End the servers of all others, and drop what they leave."""
        for instance in self._servers.keys() - instances:
            self._servers.pop(instance).stop()
        if self._root.is_dir():
            for folder in self._root.iterdir():
                if folder.name not in instances:
                    shutil.rmtree(folder, ignore_errors=True)

    @property
    def trouble(self) -> dict[str, str]:
        """Return by instance what a server that does not run said last."""
        return {instance: child.last_words() for instance, child in self._servers.items() if not child.is_up}

    def pid(self, instance: str) -> int | None:
        return self._servers[instance].pid

    def close(self) -> None:
        for server in self._servers.values():
            server.ask_to_end()  # all at once: each takes up to a second to notice
        for server in self._servers.values():
            server.stop()

    def _program(self, instance: str) -> Program:
        server = shutil.which("redis-server") or shutil.which("valkey-server")
        if server is None:
            raise Refused("missing_program", "redis-server is not installed (package redis-server)")
        home, user = self._root / instance, NOBODY if os.geteuid() == 0 else None
        socket = self.folder(instance) / "redis.sock"

        def prepare() -> None:
            self.folder(instance).mkdir(parents=True, exist_ok=True)
            home.chmod(0o755)
            write_durably(home / "redis.conf", config(megabytes=self._megabytes).encode(), mode=0o644)
            socket.unlink(missing_ok=True)
            if user is not None:
                os.chown(self.folder(instance), user, user)

        return Program(
            name=f"redis-{instance}",
            argv=(server, "/proc/self/cwd/redis.conf"),  # nobody may not walk down to it from above
            folder=home,
            user=user,
            environment={"PATH": os.environ.get("PATH", os.defpath)},  # and nothing else of ours
            data_bytes_max=(2 * self._megabytes + BESIDES_MEGABYTES) << 20,
            log_path=home / "log",
            ready=Client(socket).is_reachable,
            before_start=prepare,
            ready_timeout_s=READY_TIMEOUT_S,
            check_every_s=CHECK_EVERY_S,
            lock_path=home / "lock",
        )
