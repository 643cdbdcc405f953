"""What apps are fitted with, and what is refused by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from broker.messages import AppSection
from device.engine.port import BindOrVolume
from device.platform.app_redis import AppRedis
from device.platform.display import Display, Found
from device.platform.locks import Locks
from device.platform.services import Platform
from device.reconcile.wanted import Asked, Fitting, Place, wanted
from tests.harness.apps import section, service

SCREEN = Found({"DISPLAY": ":0"}, (BindOrVolume("bind", "/tmp/.X11-unix", source="/tmp/.X11-unix", read_only=True),))


class Folders:
    """Locks and Redis servers that are only counted."""

    def __init__(self) -> None:
        self.locks: set[str] = set()
        self.servers: set[str] = set()
        self.with_keys: set[str] = set()

    @property
    def folders(self) -> frozenset[str]:
        return frozenset(self.locks)

    def folder(self, instance: str) -> Path:
        return Path("/state") / instance

    def prepare(self, instances: Iterable[str], *, with_keys: Iterable[str]) -> None:
        self.locks |= set(instances)
        self.with_keys = set(with_keys)

    def forget(self, present: Collection[str]) -> None:
        self.locks &= set(present)

    def environment(self) -> dict[str, str]:
        return {"SKERRY_APP_REDIS_URL": "unix:///run/skerry-redis/redis.sock"}

    def ensure(self, instances: Collection[str]) -> None:
        self.servers |= set(instances)

    def keep_only(self, instances: Collection[str]) -> None:
        self.servers &= set(instances)


class Screen:
    def __init__(self, found: Found) -> None:
        self.found = found

    def look(self) -> Found:
        return self.found


def platform(folders: Folders, *, servers: int = 2, found: Found = SCREEN, allowed: bool = True) -> Platform:
    return Platform(
        locks=cast(Locks, folders),
        redis=cast(AppRedis, folders),
        redis_servers_max=servers,
        display=cast(Display, Screen(found)),
        may_display=lambda section: allowed,
    )


def app(instance: str = "iaaaaaaaaaaa", **keys: Any) -> AppSection:
    return section({"web": service(**keys), "plain": service("plain")}, instance=instance)


def objections(made: Platform, asking: AppSection) -> list[str]:
    return made.objections(asking.spec, asking)


def containers(made: Platform, asking: AppSection, *, with_intake: Collection[str] = ()) -> dict[str, Any]:
    fittings = made.fittings([asking], with_intake=with_intake)
    place = Place(device="daaaaaaaaaaa", registry="r", intake={}, fittings=fittings)
    return dict(wanted(asking, place).containers)


def test_a_service_that_asks_for_the_lock_gets_the_folder_and_others_do_not() -> None:
    folders = Folders()
    made = containers(platform(folders), app(lock=True))
    assert made["web"].environment == {"SKERRY_LOCK_DIR": "/run/skerry-lock"}
    assert made["web"].mounts == (BindOrVolume("bind", "/run/skerry-lock", source="/state/iaaaaaaaaaaa"),)
    assert (made["plain"].environment, made["plain"].mounts) == ({}, ())
    assert (folders.locks, folders.servers) == ({"iaaaaaaaaaaa"}, set())


def test_with_an_intake_account_the_lock_has_a_key_as_well() -> None:
    folders = Folders()
    made = containers(platform(folders), app(lock=True), with_intake=["iaaaaaaaaaaa", "ibbbbbbbbbbb"])
    assert made["web"].environment["SKERRY_LOCK_KEY"] == "lock:iaaaaaaaaaaa"
    assert folders.with_keys == {"iaaaaaaaaaaa"}


def test_a_service_that_asks_for_a_redis_gets_its_socket_read_only() -> None:
    folders = Folders()
    made = containers(platform(folders), app(redis=True))
    assert made["web"].environment == {"SKERRY_APP_REDIS_URL": "unix:///run/skerry-redis/redis.sock"}
    assert made["web"].mounts == (
        BindOrVolume("bind", "/run/skerry-redis", source="/state/iaaaaaaaaaaa", read_only=True),
    )
    assert folders.servers == {"iaaaaaaaaaaa"}


@pytest.mark.parametrize("wish", ["auto", "require"])
def test_a_display_that_is_there_and_allowed_is_given(wish: str) -> None:
    made = containers(platform(Folders()), app(display=wish))
    assert made["web"].environment == {"DISPLAY": ":0"}
    assert made["web"].mounts == SCREEN.mounts
    assert objections(platform(Folders()), app(display=wish)) == []


@pytest.mark.parametrize(("found", "allowed"), [(Found(), True), (SCREEN, False)])
def test_without_a_display_auto_runs_without_and_require_is_refused(found: Found, allowed: bool) -> None:
    made = platform(Folders(), found=found, allowed=allowed)
    assert objections(made, app(display="auto")) == []
    assert containers(made, app(display="auto"))["web"].environment == {}
    assert objections(made, app(display="require")) == [
        "service web: a display is required, and this device has none (platform.x11, platform.wayland)"
    ]


def test_an_owner_who_gives_no_redis_refuses_it_by_name() -> None:
    assert objections(platform(Folders(), servers=0), app(redis=True)) == [
        "service web: no app may have a Redis of its own (platform.redis_servers is 0)"
    ]


def test_the_first_apps_have_the_servers_and_one_that_goes_makes_room() -> None:
    folders = Folders()
    made = platform(folders, servers=2)
    apps = [app(instance, redis=True) for instance in ("iaaaaaaaaaaa", "ibbbbbbbbbbb", "iccccccccccc")]
    refused = ["service web: there are 2 Redis servers for apps, and all are in use"]
    assert [objections(made, each) for each in apps] == [[], [], refused]
    made.fittings(apps[:2], with_intake=())
    assert folders.servers == {"iaaaaaaaaaaa", "ibbbbbbbbbbb"}
    made.keep_only(["ibbbbbbbbbbb", "iccccccccccc"])
    assert objections(made, apps[2]) == []


def test_an_app_that_asks_for_nothing_has_the_identity_it_always_had() -> None:
    asking = app()
    bare = wanted(asking, Place(device="daaaaaaaaaaa", registry="r", intake={}))
    fittings: dict[tuple[str, Asked], Fitting] = {("iaaaaaaaaaaa", "lock"): Fitting({"A": "b"})}
    assert wanted(asking, Place("daaaaaaaaaaa", "r", {}, fittings=fittings)) == bare


def test_what_is_kept_is_told_until_it_is_let_go() -> None:
    made = platform(Folders())
    made.fittings([app("iaaaaaaaaaaa", lock=True), app("ibbbbbbbbbbb", redis=True)], with_intake=())
    assert made.holding == {"iaaaaaaaaaaa", "ibbbbbbbbbbb"}
    made.keep_only(["iaaaaaaaaaaa"])
    assert made.holding == {"iaaaaaaaaaaa"}


@pytest.mark.parametrize("newest_first", [True, False])
def test_an_app_is_fitted_for_all_its_releases_that_may_run(newest_first: bool) -> None:
    releases = [app(lock=True, redis=True, display="auto"), app()]
    folders = Folders()
    made = platform(folders)
    fittings = made.fittings(releases if newest_first else releases[::-1], with_intake=())
    assert {what for _, what in fittings} == {"lock", "redis", "display"}
    assert (folders.locks, folders.servers) == ({"iaaaaaaaaaaa"}, {"iaaaaaaaaaaa"})
