"""Redis, as much of it as we use: typed calls, errors translated. The one place that imports the client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from broker.errors import Passing
from device.telemetry import entry_ids

TIMEOUT_S = 5.0

Entry = tuple[str, dict[bytes, bytes]]
RawEntry = tuple[str, list[bytes]]  # names and values in turn: apps may give a name twice
Command = tuple[str | bytes | int, ...]


class RedisUnavailable(Passing):
    """A Redis child did not answer, or would not take a write: it is restarting, loading, or full."""


class StreamInfo(NamedTuple):
    """Entries ever added, entries there now, and the newest id ever given."""

    added: int
    length: int
    newest: str


class Client:
    """A connection pool to one Redis on a unix socket. Every call may raise `RedisUnavailable`."""

    def __init__(self, socket: Path, *, user: str | None = None, password: str | None = None) -> None:
        self._arguments: dict[str, Any] = {
            "unix_socket_path": str(socket),
            "username": user,
            "password": password,
            "socket_timeout": TIMEOUT_S,
            "retry": Retry(NoBackoff(), 0),  # a write sent twice by the client is not the write that was meant
        }
        self._redis: Any = Redis(**self._arguments)
        self._redis.set_response_callback("XRANGE", _as_they_came)

    def is_reachable(self) -> bool:
        """Return whether a new connection gets an answer: an open one says nothing of the socket's file."""
        try:
            with _translated(), contextlib.closing(Redis(**self._arguments)) as fresh:
                return bool(fresh.ping())
        except RedisUnavailable:
            return False

    def hash(self, key: str) -> dict[str, str]:
        """Return a hash as text; empty when there is none."""
        with _translated():
            return {name.decode(): value.decode() for name, value in self._redis.hgetall(key).items()}

    def text(self, key: str, *, bytes_max: int) -> bytes | None:
        """Return the first `bytes_max` bytes of a text that others write; None when there is none."""
        with _translated():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.exists(key)
            pipeline.getrange(key, 0, bytes_max - 1)
            is_there, found = pipeline.execute()
            return bytes(found) if is_there else None

    def memory_of(self, keys: Sequence[str]) -> list[int]:
        """Return how many bytes each key takes, about; 0 for one that is not there."""
        with _translated():
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.memory_usage(key)
            return [int(size or 0) for size in pipeline.execute()]

    def added_to(self, keys: Sequence[str]) -> list[int]:
        """Return how many entries were ever added to each stream; 0 for one that is not there."""
        with _translated():
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.xinfo_stream(key)
            answers = pipeline.execute(raise_on_error=False)
        return [0 if isinstance(answer, Exception) else int(answer["entries-added"]) for answer in answers]

    def connections(self) -> list[tuple[int, str]]:
        """Return the number and the user of each connection, the oldest first."""
        with _translated():
            return sorted((int(one["id"]), str(one["user"])) for one in self._redis.client_list(_type="normal"))

    def end_connection(self, number: int) -> None:
        """End a connection; one that has ended is fine."""
        with _translated():
            self._redis.client_kill_filter(_id=str(number), skipme=True)

    def set_hash(self, key: str, fields: Mapping[str, str]) -> None:
        with _translated():
            self._redis.hset(key, mapping=dict(fields))

    def delete_fields(self, key: str, fields: Sequence[str]) -> None:
        with _translated():
            if fields:
                self._redis.hdel(key, *fields)

    def hashes(self, keys: Sequence[str]) -> list[dict[str, str]]:
        with _translated():
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.hgetall(key)
            return [{n.decode(): v.decode() for n, v in found.items()} for found in pipeline.execute()]

    def hash_field(self, key: str, field: str) -> bytes | None:
        with _translated():
            value: bytes | None = self._redis.hget(key, field)
            return value

    def members(self, key: str) -> list[str]:
        with _translated():
            return sorted(member.decode() for member in self._redis.smembers(key))

    def increment(self, key: str) -> int:
        with _translated():
            return int(self._redis.incr(key))

    def transaction(self, commands: Sequence[Command]) -> list[Any]:
        """Do all commands or none; with the store's settings the answer means that all has reached the disk."""
        with _translated():
            pipeline = self._redis.pipeline(transaction=True)
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute()
            return answers

    def entries(self, key: str, *, low: str = "-", high: str = "+", count: int | None = None) -> list[Entry]:
        """Return a stream's entries between two ids (`(` before an id leaves it out)."""
        with _translated():
            found = self._redis.xrange(key, low, high, count=count)
        return [(eid.decode(), dict(zip(parts[::2], parts[1::2], strict=True))) for eid, parts in found]

    def sorted_after(self, key: str, score: int, *, count: int) -> list[bytes]:
        """Return the first members of a sorted set above a score."""
        with _translated():
            return list(self._redis.zrangebyscore(key, f"({score}", "+inf", start=0, num=count))

    def sorted_between(self, key: str, low: int, high: int) -> list[bytes]:
        """Return the members of a sorted set from one score to another, both included."""
        with _translated():
            return list(self._redis.zrangebyscore(key, low, high))

    def sorted_before(self, key: str, score: int) -> bytes | None:
        """Return the last member of a sorted set below a score."""
        with _translated():
            found = self._redis.zrevrangebyscore(key, f"({score}", "-inf", start=0, num=1)
            return found[0] if found else None

    def wait_for_entries(self, after: Mapping[str, str], *, block_ms: int) -> list[str]:
        """Wait until any of the streams has an entry after its id; return which have, none when the time is over."""
        arguments = self._arguments | {"socket_timeout": block_ms / 1000 + TIMEOUT_S}
        waiting: Any = Redis(**arguments)
        with _translated(), contextlib.closing(waiting):
            return [name.decode() for name, _ in waiting.xread(dict(after), count=1, block=block_ms)]

    def add_marker(self, key: str) -> None:
        """Add an entry that says nothing to a stream that keeps only the newest: it wakes whoever waits for one."""
        with _translated():
            self._redis.xadd(key, {"": ""}, maxlen=1, approximate=False)

    def stream_info(self, key: str) -> StreamInfo | None:
        """Return the counters of a stream; None when there is no such stream."""
        return self.look(key, low="+", count=1)[0]

    def look(self, key: str, *, low: str, count: int) -> tuple[StreamInfo | None, list[RawEntry]]:
        """Return the counters of a stream, None when there is no such stream, and then entries from an id on.

        The server counts first and reads then: what is erased in between is counted and not read.
        """
        with _translated():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xinfo_stream(key)
            pipeline.xrange(key, low, "+", count=count)
            info, entries = pipeline.execute(raise_on_error=False)
            if isinstance(info, ResponseError) and "no such key" in str(info):
                return None, []
            for answer in (info, entries):
                if isinstance(answer, Exception):
                    raise answer
        counters = StreamInfo(int(info["entries-added"]), int(info["length"]), info["last-generated-id"].decode())
        return counters, [(entry_id.decode(), parts) for entry_id, parts in entries]

    def trim_through(self, key: str, entry_id: str) -> int:
        """Drop the stream's entries up to and with `entry_id`, which is not the last possible one; return how many."""
        with _translated():
            return int(self._redis.xtrim(key, minid=entry_ids.following(entry_id), approximate=False))

    def delete(self, key: str) -> None:
        """Drop a key and what it holds."""
        with _translated():
            self._redis.delete(key)

    def go_on_after(self, key: str, entry_id: str, *, added: int) -> None:
        """Empty a stream and have it give ids above `entry_id`, as if `added` entries had been in it before."""
        with _translated():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.delete(key)
            pipeline.xgroup_create(key, "made", id="0", mkstream=True)  # nothing else makes a stream without an entry
            pipeline.xgroup_destroy(key, "made")
            pipeline.execute_command("XSETID", key, entry_id, "ENTRIESADDED", added, "MAXDELETEDID", entry_ids.FIRST)
            pipeline.execute()

    def delete_entries(self, key: str, ids: Sequence[str]) -> int:
        with _translated():
            return int(self._redis.xdel(key, *ids)) if ids else 0

    def set_user(self, name: str, rules: Sequence[str]) -> None:
        with _translated():
            self._redis.execute_command("ACL", "SETUSER", name, *rules)

    def delete_user(self, name: str) -> None:
        with _translated():
            self._redis.execute_command("ACL", "DELUSER", name)

    def users(self) -> list[str]:
        with _translated():
            return sorted(n.decode() if isinstance(n, bytes) else n for n in self._redis.acl_users())


def _as_they_came(answer: Any, **_options: Any) -> Any:
    return answer


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Raise `RedisUnavailable` for what passes; other answers of the server are bugs and rise as they are."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise RedisUnavailable(f"no answer from Redis: {error}") from error
    except ResponseError as error:
        # The client strips the first word of some answers, and a pipeline puts its own words in front.
        words = ("OOM", "LOADING", "MISCONF", "BUSY", "maxmemory")
        if isinstance(error, OutOfMemoryError) or any(word in str(error) for word in words):
            raise RedisUnavailable(f"Redis does not take writes: {error}") from error
        raise
    except RedisError as error:
        raise RedisUnavailable(f"Redis: {error}") from error
