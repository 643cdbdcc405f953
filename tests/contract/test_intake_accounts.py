"""Who may write to a real intake, from an app's first start until its last sample is moved."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import redis

from broker.policy import Policy
from device.engine.memory import MemoryEngine
from device.engine.port import Container, Engine
from device.logs.follower import Followers
from device.surroundings import Surroundings
from device.telemetry.accounts import Accounts
from device.telemetry.forwarder import Forwarders
from tests.harness.telemetry import OTHER_STREAM, SECTIONS, STREAM, Bench, platform

HELLO, OTHER = SECTIONS


class House:
    """Surroundings over an engine in memory; its parts beside the intake do nothing here."""

    def __init__(self, bench: Bench) -> None:
        self.engine = MemoryEngine()
        self.run("hello", "other")
        self.surroundings = Surroundings(
            device="daaaaaaaaaaa",
            images="",
            note_images=lambda sections: None,
            registry="127.0.0.1:5000",
            policy=Policy(),
            ours=(),
            engine=cast(Engine, self.engine),
            accounts=bench.accounts,
            intake=bench.intake,
            mover=bench.mover,
            forwarders=Forwarders(bench.paths.intake_socket, port=bench.accounts.tcp_port),
            followers=Followers(cast(Engine, self.engine), bench.buffer, packed=lambda: None),
            platform=platform(bench),
        )

    def run(self, *apps: str) -> None:
        instances = {section.name: section.instance for section in SECTIONS}
        self.engine.by_id = {
            app: Container(id=app, name=app, instance=instances[app], service="web", hash="h", state="exited")
            for app in apps
        }

    def round(self, *sections: object) -> None:
        self.surroundings.place_for([section for section in SECTIONS if section in sections])
        self.surroundings.observed([], self.engine.observe())


def kept(bench: Bench) -> dict[str, str]:
    """Return what a worker started now would know."""
    return Accounts(bench.accounts_file, socket_folder=Path("none")).streams


def may_write(bench: Bench, stream: str) -> bool:
    try:
        bench.write(range(1), stream)
    except redis.exceptions.RedisError:
        return False
    return True


def test_a_removed_app_writes_until_it_has_ended_and_all_of_it_is_moved(bench: Bench) -> None:
    house = House(bench)
    house.round(HELLO, OTHER)
    bench.write(range(3))
    house.round(OTHER)
    bench.write(range(3, 5))  # its last words while it is being stopped
    house.run("other")
    house.round(OTHER)
    assert not may_write(bench, STREAM)
    assert kept(bench) == {HELLO.instance: STREAM, OTHER.instance: OTHER_STREAM}
    assert STREAM in bench.accounts.streams.values()
    bench.move()
    assert bench.numbers() == [str(n) for n in range(5)]
    house.round(OTHER)
    assert kept(bench) == {OTHER.instance: OTHER_STREAM}
    assert bench.intake.stream_info(STREAM) is None
    assert bench.buffer.cursor(STREAM) == {}
    assert may_write(bench, OTHER_STREAM)


def test_what_a_leaving_app_erased_is_named_before_it_is_forgotten(bench: Bench) -> None:
    house = House(bench)
    house.round(HELLO, OTHER)
    bench.write(range(3))
    bench.app().xadd(STREAM, {"n": 3}, maxlen=0, approximate=False)
    house.run("other")
    house.round(OTHER)
    assert HELLO.instance in kept(bench)
    bench.move()
    house.round(OTHER)
    assert HELLO.instance not in kept(bench)
    assert bench.gaps() == [(1, 4, "trimmed_by_app")]


def test_an_app_that_comes_back_while_it_is_being_let_go_keeps_its_account(bench: Bench) -> None:
    house = House(bench)
    house.round(HELLO, OTHER)
    bench.write(range(2))
    house.run("other")
    house.round(OTHER)
    house.run("hello", "other")
    house.round(HELLO, OTHER)
    bench.write(range(2, 4))
    bench.move()
    house.round(HELLO, OTHER)
    assert bench.numbers() == ["0", "1", "2", "3"]
    assert HELLO.instance in kept(bench)


def test_a_worker_that_starts_anew_lets_go_of_what_went_before(bench: Bench) -> None:
    bench.write(range(2))
    accounts = Accounts(bench.accounts_file, socket_folder=bench.paths.intake_folder)
    bench.accounts = accounts
    house = House(bench)
    house.run("other")
    house.round(OTHER)
    bench.move()
    house.round(OTHER)
    assert bench.numbers() == ["0", "1"]
    assert kept(bench) == {OTHER.instance: OTHER_STREAM}


@pytest.mark.parametrize("name", ["hello", "other"])
def test_a_containers_stream_is_its_own_alone(bench: Bench, name: str) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        bench.app(f"telemetry:{name}").xadd(f"telemetry:{name}:more", {"n": 1})  # nobody would move it
