"""The Redis of an app: its own process, with nothing to be asked for that reaches out of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from device.platform.app_redis import NOBODY, AppRedis
from tests.harness.servers import program, wait_until

ONE, TWO = "iaaaaaaaaaaa", "ibbbbbbbbbbb"


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppRedis]:
    program("redis-server")
    folder = tmp_path_factory.mktemp("d")
    folder.chmod(0o700)  # as the worker's state folder is
    made = AppRedis(folder / "redis", megabytes=8)
    yield made
    made.close()


def client(servers: AppRedis, instance: str = ONE) -> Any:
    return redis.Redis(unix_socket_path=str(servers.folder(instance) / "redis.sock"))


def test_each_app_has_a_server_of_its_own(servers: AppRedis) -> None:
    servers.ensure([ONE, TWO])
    servers.ensure([ONE, TWO])
    client(servers).set("a", "one")
    client(servers, TWO).set("a", "two")
    assert client(servers).get("a") == b"one"
    assert servers.pid(ONE) != servers.pid(TWO)
    assert servers.trouble == {}


def test_the_folder_an_app_gets_holds_the_socket_alone(servers: AppRedis) -> None:
    servers.ensure([ONE])
    assert os.listdir(servers.folder(ONE)) == ["redis.sock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_the_server_runs_as_nobody(servers: AppRedis) -> None:
    servers.ensure([ONE])
    status = Path(f"/proc/{servers.pid(ONE)}/status").read_text()
    words = {line.partition(":")[0]: line.partition(":")[2].split() for line in status.splitlines()}
    assert words["Uid"] == [str(NOBODY)] * 4
    assert words["Gid"] == [str(NOBODY)] * 4
    assert words["Groups"] == []
    assert words["NoNewPrivs"] == ["1"]
    assert int(words["CapEff"][0], 16) == 0


@pytest.mark.parametrize(
    "command",
    [
        ("CONFIG", "SET", "dir", "/etc"),
        ("CONFIG", "SET", "maxmemory", "0"),
        ("CONFIG", "GET", "*"),
        ("SAVE",),
        ("BGSAVE",),
        ("BGREWRITEAOF",),
        ("MODULE", "LOAD", "/tmp/x.so"),
        ("REPLICAOF", "127.0.0.1", "6379"),
        ("MIGRATE", "127.0.0.1", "6379", "a", "0", "1000"),
        ("SHUTDOWN",),
        ("DEBUG", "SEGFAULT"),
        ("ACL", "SETUSER", "me", "on", "nopass", "+@all"),
        ("EVAL", "return redis.call('CONFIG', 'SET', 'dir', '/etc')", "0"),
        ("EVAL", "return io.open('/etc/passwd')", "0"),
    ],
)
def test_what_reaches_out_of_the_server_is_refused(servers: AppRedis, command: tuple[str, ...]) -> None:
    servers.ensure([ONE])
    pid = servers.pid(ONE)
    with pytest.raises(redis.exceptions.ResponseError):
        client(servers).execute_command(*command)
    assert client(servers).ping()
    assert servers.pid(ONE) == pid


@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("KEYS", "*"), ("INFO",), ("SELECT", "3"), ("EVAL", "return 1", "0"), ("CLIENT", "LIST")]
)
def test_what_a_cache_is_asked_for_is_answered(servers: AppRedis, command: tuple[str, ...]) -> None:
    servers.ensure([ONE])
    client(servers).execute_command(*command)


def test_a_full_server_drops_what_was_not_used_for_long(servers: AppRedis) -> None:
    servers.ensure([ONE])
    app = client(servers)
    pipeline = app.pipeline(transaction=False)
    for n in range(20_000):
        pipeline.set(f"k{n}", "x" * 1000)
    pipeline.execute()
    assert app.get("k19999") is not None
    assert 1000 < app.dbsize() < 10_000


def test_a_script_that_takes_all_memory_ends_its_own_server_alone(servers: AppRedis) -> None:
    servers.ensure([ONE, TWO])
    with pytest.raises(redis.exceptions.RedisError):
        client(servers).eval("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end", 0)
    assert client(servers, TWO).ping()
    wait_until(lambda: _pings(servers), what="the app's server answers again")
    log = servers.folder(ONE).with_name("log")
    assert log.stat().st_size < 64 * 1024  # Redis panics again and again while it reports a panic, unless told not to


def _pings(servers: AppRedis) -> bool:
    try:
        return bool(client(servers).ping())
    except redis.exceptions.RedisError:
        return False


def test_a_server_that_is_killed_is_started_again_in_the_same_place(servers: AppRedis) -> None:
    servers.ensure([ONE])
    pid = servers.pid(ONE)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: servers.pid(ONE) not in (None, pid) and _pings(servers), what="another server answers")


def test_a_server_ends_with_its_app_and_leaves_nothing(servers: AppRedis) -> None:
    servers.ensure([ONE, TWO])
    pid = servers.pid(ONE)
    servers.keep_only([TWO])
    assert not Path(f"/proc/{pid}").exists()
    assert os.listdir(servers.folder(TWO).parent.parent) == [TWO]
    assert client(servers, TWO).ping()
    servers.ensure([ONE])
    assert client(servers).ping()
