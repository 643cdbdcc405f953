"""Whole plans, as text."""

from __future__ import annotations

from typing import Any

import pytest

from device.engine.port import NetworkSeen, Observed
from device.reconcile.moves import Around
from device.reconcile.plan import images_needed, is_whole, plan, removal, to_restart
from device.reconcile.steps import Plan
from device.reconcile.wanted import Wanted
from tests.harness.apps import OTHER_DIGEST, service
from tests.unit.device.worlds import CHECK, I2, NEW_IMAGE, WEB_IMAGE, app, became, shown, together, world

DB_WEB = {"db": service("db"), "web": service(depends_on={"db": {}})}
ALWAYS: dict[str, Any] = {"restart": {"policy": "always"}}


def lines(of: Wanted, observed: Observed, **around: Any) -> list[str]:
    return plan(of, observed, Around(**around)).lines()


def short(lines: list[str]) -> list[str]:
    return [line.split(":")[0] for line in lines]


def hash_of(of: Wanted, slot: str = "web") -> str:
    return of.containers[slot].hash[7:19]


def depends(condition: str, **keys: object) -> Wanted:
    web = service(depends_on={"db": {"condition": condition} | keys})
    return app({"db": service("db", healthcheck=CHECK), "web": web})


def order(todo: Plan) -> list[set[str]]:
    """Return what each step waits for, as text: what may be done side by side has nothing of each other."""
    named = short([line for line in todo.lines() if not line.startswith("wait")])
    return [{named[number] for number in after} for after in todo.after]


def test_a_first_start_makes_networks_and_volumes_then_all_containers_and_starts_them() -> None:
    first = app(
        {"web": service(networks={"front": {}}, mounts=[{"type": "volume", "target": "/d", "source": "data"}])},
        networks={"front": {}, "back": {}},
        volumes={"data": {}},
    )
    todo = plan(first, Observed())
    assert todo.lines() == [
        "create network hello.iaaaaaaaaaaa.back: missing",
        "create network hello.iaaaaaaaaaaa.front: missing",
        "create volume hello.iaaaaaaaaaaa.data: missing",
        "create web: missing",
        "start web: created, not yet started",
    ]
    assert order(todo)[:3] == [set(), set(), set()]
    assert order(todo)[4] == {"create web"}


def test_independent_services_are_made_and_started_side_by_side_and_dependents_after_what_they_need() -> None:
    todo = plan(app({**DB_WEB, "log": service("log")}), Observed())
    assert short(todo.lines()) == ["create db", "create log", "create web", "start db", "start log", "start web"]
    assert order(todo) == [set(), set(), set(), {"create db"}, {"create log"}, {"start db", "create web"}]


def test_what_is_created_is_started() -> None:
    web = app()
    assert lines(web, world(web, shown(web, state="created"))) == ["start web web-1: created, not yet started"]


def test_what_runs_as_wanted_needs_nothing() -> None:
    web = app()
    todo = plan(web, world(web, shown(web)))
    assert todo.lines() == []
    assert todo.converged
    assert is_whole(web, world(web, shown(web)))


def test_services_start_in_the_order_of_a_chain_whatever_their_names() -> None:
    chain = app(
        {"a": service(depends_on={"b": {}}), "b": service(depends_on={"c": {}}), "c": service(), "d": service()}
    )
    todo = plan(chain, Observed())
    starts = dict(zip(short(todo.lines()), order(todo), strict=True))
    assert starts["start b"] == {"start c", "create b"}
    assert starts["start a"] == {"start b", "create a"}
    assert starts["start d"] == {"create d"}


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        ("starting", ["create web", "wait web"]),
        ("unhealthy", ["create web", "wait web"]),
        ("none", ["create web", "wait web"]),
        ("healthy", ["create web", "start web"]),
    ],
)
def test_a_service_waits_for_the_health_of_another_and_is_made_meanwhile(health: str, expected: list[str]) -> None:
    both = depends("service_healthy")
    db = became(shown(both, "db"), health=health)
    assert short(lines(both, world(both, db))) == expected


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("running", None, "wait web: db is not completed successfully"),
        ("exited", 1, "wait web: db is not completed successfully"),
        ("exited", 0, "start web web-1: created, not yet started"),
    ],
)
def test_a_service_waits_for_one_that_runs_once_to_end_well(state: str, code: int | None, expected: str) -> None:
    both = depends("service_completed_successfully")
    db = became(shown(both, "db"), state=state, exit_code=code)
    assert lines(both, world(both, db, shown(both, state="created"))) == [expected]


def test_one_that_ran_once_and_ended_well_counts_as_started() -> None:
    both = app(DB_WEB)
    ended = shown(both, "db", state="exited", exit_code=0)
    created = shown(both, state="created")
    assert short(lines(both, world(both, ended, created))) == ["start web web-1"]
    assert lines(both, world(both, became(ended, exit_code=1), created)) == ["wait web: db is not started"]


def test_a_dependency_that_is_not_required_and_not_there_is_not_waited_for() -> None:
    alone = app({"web": service(depends_on={"db": {"required": False}})})
    assert short(lines(alone, Observed())) == ["create web", "start web"]


def test_what_already_runs_is_not_stopped_because_its_dependency_fell_ill() -> None:
    both = depends("service_healthy")
    seen = world(both, shown(both, "db", health="unhealthy"), shown(both, "web"))
    assert lines(both, seen) == []


def test_the_new_container_is_made_beside_the_old_one_which_then_makes_room() -> None:
    old, new = app(), app({"web": service(digest=OTHER_DIGEST, stop_grace_ms=2500)})
    was, will = hash_of(old), hash_of(new)
    todo = plan(new, world(old, shown(old)))
    assert todo.lines() == [
        f"create web: replaces {was}",
        f"stop web web-1: made from {was}, wanted {will}",
        "start web: created, not yet started",
        f"remove web web-1: made from {was}, wanted {will}",
        "rename web to hello.iaaaaaaaaaaa.web: its name is free again",
    ]
    assert order(todo)[1] == {"create web"}  # an engine that refuses the new one has disturbed nothing
    assert todo.steps[0].container.name == f"hello.iaaaaaaaaaaa.web.{new.containers['web'].hash[7:15]}"  # type: ignore[union-attr]
    assert not is_whole(new, world(old, shown(old)))


def test_a_container_is_stopped_with_the_grace_its_own_release_gave_it() -> None:
    old, new = app({"web": service(stop_grace_ms=2500)}), app({"web": service(digest=OTHER_DIGEST)})
    graces = [
        [getattr(step, "grace_s", None) for step in plan(new, world(old, shown(old)), around).steps]
        for around in (Around(), Around(known={c.hash: c for c in old.containers.values()}))
    ]
    assert [each[1] for each in graces] == [10, 3]


def test_what_may_be_gone_back_to_is_kept_until_the_release_has_shown_that_it_works() -> None:
    old, new = app({"web": service(**ALWAYS)}), app({"web": service(digest=OTHER_DIGEST, **ALWAYS)})
    spare = frozenset(c.hash for c in old.containers.values())
    assert short(lines(new, world(old, shown(old)), spare=spare)) == ["create web", "stop web web-1", "start web"]
    put_aside = shown(old, state="exited", exit_code=137)
    runs = became(shown(new, key="web-2"), name="hello.iaaaaaaaaaaa.web.tmp")
    assert lines(new, world(old, put_aside, runs), spare=spare) == []
    assert is_whole(new, world(old, put_aside, runs))
    assert short(lines(new, world(old, put_aside, runs))) == [
        "remove web web-1",
        "rename web web-2 to hello.iaaaaaaaaaaa.web",
    ]


def test_going_back_starts_the_very_container_that_worked() -> None:
    old, new = app({"web": service(**ALWAYS)}), app({"web": service(digest=OTHER_DIGEST, **ALWAYS)})
    put_aside = shown(old, state="exited", exit_code=137)
    ill = became(shown(new, key="web-2", health="unhealthy"), name="hello.iaaaaaaaaaaa.web.tmp")
    assert lines(old, world(old, put_aside, ill), going_back=True) == [
        f"stop web web-2: made from {hash_of(new)}, wanted {hash_of(old)}",
        "start web web-1: ended with code 137, should run",
        f"remove web web-2: made from {hash_of(new)}, wanted {hash_of(old)}",
    ]


def test_services_are_replaced_one_after_the_other_each_down_for_no_longer_than_it_must() -> None:
    old = app(DB_WEB)
    new = app({"db": service("db", tty=True), "web": DB_WEB["web"] | {"tty": True}})
    todo = plan(new, world(old, shown(old, "db"), shown(old, "web")))
    assert short(todo.lines())[:6] == [
        "create db", "create web", "stop db db-1", "start db", "stop web web-1", "start web"
    ]  # fmt: skip
    after = dict(zip(short(todo.lines()), order(todo), strict=True))
    assert after["stop db db-1"] == {"create db", "create web"}
    assert after["stop web web-1"] == {"create db", "create web", "start db"}


def test_a_service_is_not_stopped_while_what_its_successor_needs_is_not_there() -> None:
    old = depends("service_healthy")
    new = app({"db": service("db", healthcheck=CHECK), "web": service(tty=True, depends_on={"db": {"condition": "service_healthy"}})})  # fmt: skip  # noqa: E501
    seen = world(old, shown(old, "db", health="starting"), shown(old))
    assert short(lines(new, seen)) == ["create web", "wait web"]


def test_a_changed_environment_replaces_only_the_service_that_has_it() -> None:
    old = app(DB_WEB)
    new = app({"db": DB_WEB["db"], "web": DB_WEB["web"] | {"environment": {"A": "1"}}})
    seen = world(old, shown(old, "db"), shown(old, "web"))
    assert all(" web" in line for line in short(lines(new, seen)))


@pytest.mark.parametrize(
    "keys",
    [
        {"depends_on": {}},
        {"update": {"order": "start-first"}},
        {"replicas": 1},
        {"post_start": [{"command": ["x"]}]},
        {"pre_stop": [{"command": ["x"]}]},
    ],
)
def test_how_a_service_is_started_or_replaced_is_no_reason_to_replace_it(keys: dict[str, Any]) -> None:
    old = app(DB_WEB)
    new = app({"db": DB_WEB["db"], "web": service(**keys)})
    key = f"web@{hash_of(new)}"
    assert lines(new, world(old, shown(old, "db"), shown(old, "web")), hooked=frozenset({key})) == []


def test_a_changed_restart_policy_is_set_in_place_where_the_engine_can() -> None:
    old, new = app(), app({"web": service(**ALWAYS)})
    assert lines(new, world(old, shown(old))) == ["set restart of web web-1 to always: the release asks for it"]
    assert lines(new, world(old, shown(old)), restarts={"web-1": "always"}) == []
    assert short(lines(new, world(old, shown(old)), can_set_restart=False))[:2] == ["create web", "stop web web-1"]


def test_a_service_that_the_release_no_longer_has_goes_once_all_that_is_new_could_be_made() -> None:
    old, new = app(DB_WEB), app({"web": service(digest=OTHER_DIGEST)})
    todo = plan(new, world(old, shown(old, "db"), shown(old)))
    after = dict(zip(short(todo.lines()), order(todo), strict=True))
    assert after["stop db db-1"] == {"create web"}
    assert after["start web"] == {"remove db db-1", "stop web web-1", "create web"}  # it may want the same port
    assert "remove db db-1: the release has no such service" in todo.lines()


def test_an_app_that_is_no_longer_wanted_goes_dependents_first_and_its_networks_after_it_but_never_its_volumes() -> (
    None
):
    gone = app(
        {"db": service("db"), "web": service(depends_on={"db": {}}, networks={"front": {}})},
        networks={"front": {}},
        volumes={"data": {}},
    )
    seen = world(gone, shown(gone, "db"), shown(gone))
    todo = removal(gone.instance, seen, gone)
    assert short(todo.lines()) == [
        "stop web web-1",
        "remove web web-1",
        "stop db db-1",
        "remove db db-1",
        "remove network hello.iaaaaaaaaaaa.front",
    ]
    assert order(todo)[2] == {"stop web web-1"}
    assert len(order(todo)[4]) == 4
    assert short(removal(gone.instance, world(gone), None).lines()) == ["remove network hello.iaaaaaaaaaaa.front"]
    assert removal(gone.instance, world(gone, networks=False), None).converged


def test_another_app_is_not_touched_by_a_change_of_one() -> None:
    old, new = app(), app({"web": service(digest=OTHER_DIGEST)})
    other = app(instance=I2, name="other", networks={"n": {}})
    seen = together(world(old, shown(old)), world(other, shown(other, key="other-1")))
    assert not any("other" in line for line in lines(new, seen))


def test_a_second_container_of_a_service_goes_and_the_running_one_stays() -> None:
    web = app()
    ended = shown(web, key="web-0", state="exited", exit_code=0)
    assert lines(web, world(web, ended, shown(web))) == ["remove web web-0: a second container of its service"]
    twin = shown(web, key="web-2")
    assert lines(web, world(web, twin, shown(web))) == [
        "stop web web-2: a second container of its service",
        "remove web web-2: a second container of its service",
    ]


def test_what_was_left_half_made_goes_before_it_is_made_again() -> None:
    web = app()
    half = became(shown(web, key="web-0", state="created"), hash="", name="hello.iaaaaaaaaaaa.web.making")
    todo = plan(web, world(web, half))
    assert short(todo.lines()) == ["remove web web-0", "create web", "start web"]
    assert order(todo)[1] == {"remove web web-0"}


def test_a_changed_network_is_made_anew_without_containers_on_it() -> None:
    old = app({"web": service(networks={"front": {}})}, networks={"front": {}})
    new = app({"web": service(networks={"front": {}})}, networks={"front": {"internal": True}})
    assert lines(new, world(old, shown(old))) == [
        "stop web web-1: its network front is made anew",
        "remove web web-1: its network front is made anew",
        "remove network hello.iaaaaaaaaaaa.front: its definition changed",
        "create network hello.iaaaaaaaaaaa.front: missing",
    ]
    assert short(lines(new, world(old))) == [
        "remove network hello.iaaaaaaaaaaa.front",
        "create network hello.iaaaaaaaaaaa.front",
        "create web",
        "start web",
    ]


def test_a_network_deleted_by_hand_takes_the_containers_along_that_were_made_with_it() -> None:
    web = app({"web": service(networks={"front": {}}), "log": service()}, networks={"front": {}})
    seen = world(web, shown(web, state="exited", exit_code=1), shown(web, "log"), networks=False)
    assert lines(web, seen) == [
        "remove web web-1: its network front is missing",
        "create network hello.iaaaaaaaaaaa.front: missing",
    ]


def test_a_running_container_that_was_taken_off_a_network_is_made_anew() -> None:
    web = app({"web": service(networks={"front": {}, "back": {}})}, networks={"front": {}, "back": {}})
    names = web.containers["web"].networks.keys()
    assert lines(web, world(web, became(shown(web), networks=frozenset(names)))) == []
    off = world(web, became(shown(web), networks=frozenset(name for name in names if "front" not in name)))
    assert not is_whole(web, off)
    assert lines(web, off) == [
        f"create web: replaces {hash_of(web)}",
        "stop web web-1: it was taken off network front",
        "start web: created, not yet started",
        "remove web web-1: it was taken off network front",
        "rename web to hello.iaaaaaaaaaaa.web: its name is free again",
    ]
    assert images_needed(web, off) == [WEB_IMAGE]


@pytest.mark.parametrize("networks", [None, frozenset({"hello.iaaaaaaaaaaa.front"})])
def test_a_container_is_left_alone_whose_networks_are_not_told_or_those_of_others(networks: Any) -> None:
    elsewhere = {"front": {}, "shared": {"external": "lan"}}
    web = app({"web": service(networks={"front": {}, "shared": {}})}, networks=elsewhere)
    assert lines(web, world(web, became(shown(web), networks=networks))) == []


def test_a_task_that_has_ended_is_not_done_again_for_the_sake_of_a_network() -> None:
    task = app({"task": service(networks={"front": {}}, restart={"policy": "no"})}, networks={"front": {}})
    ended = became(shown(task, "task", state="exited", exit_code=0), networks=frozenset())
    assert lines(task, world(task, ended)) == []


def test_a_network_that_a_newer_release_adds_disturbs_nothing() -> None:
    old = app()
    new = app({"web": service(networks={"front": {}})}, networks={"front": {}})
    assert short(lines(new, world(old, shown(old))))[:3] == [
        "create network hello.iaaaaaaaaaaa.front",
        "create web",
        "stop web web-1",
    ]


def test_a_network_the_release_no_longer_has_goes_once_all_else_is_done() -> None:
    old = app(networks={"front": {}})
    new = app()
    assert short(lines(new, world(old))) == ["create web", "start web"]
    assert lines(new, world(old, shown(new))) == ["remove network hello.iaaaaaaaaaaa.front: no app uses it"]


def test_a_network_that_somebody_made_and_no_app_wants_goes_too() -> None:
    stray = Observed(networks=(NetworkSeen("n1", "left_behind", I2, "h"),))
    assert removal(I2, stray, None).lines() == ["remove network left_behind: no app uses it"]


def test_a_volume_that_the_release_no_longer_has_stays() -> None:
    old, new = app(volumes={"data": {}}), app()
    assert lines(new, world(old, shown(new))) == []


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_a_container_that_ended_and_should_run_is_started_again(policy: str) -> None:
    web = app({"web": service(restart={"policy": policy})})
    for code in (0, 137):
        ended = shown(web, state="exited", exit_code=code)
        assert lines(web, world(web, ended)) == [f"start web web-1: ended with code {code}, should run"]


@pytest.mark.parametrize("policy", ["no", "on-failure"])
@pytest.mark.parametrize("code", [0, 1])
def test_a_container_that_ended_and_may_is_left_alone(policy: str, code: int) -> None:
    web = app({"web": service(restart={"policy": policy})})
    assert lines(web, world(web, shown(web, state="exited", exit_code=code))) == []


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("no", []),
        ("on-failure", ["start web web-1: ended by a reboot, should run"]),
        ("unless-stopped", ["start web web-1: ended by a reboot, should run"]),
    ],
)
def test_what_a_reboot_ended_is_started_again_as_its_policy_says(policy: str, expected: list[str]) -> None:
    web = app({"web": service(restart={"policy": policy})})
    ended = became(shown(web, state="exited", exit_code=255), was_cut_off=True)
    assert lines(web, world(web, ended)) == expected


def test_a_crash_loop_is_left_to_the_engine() -> None:
    web = app({"web": service(**ALWAYS)})
    assert lines(web, world(web, shown(web, state="restarting", exit_code=1))) == []


def test_a_crash_loop_of_an_old_release_does_not_hold_up_the_new_one() -> None:
    old, new = app(), app({"web": service(digest=OTHER_DIGEST)})
    steps = lines(new, world(old, shown(old, state="restarting", exit_code=1)))
    assert short(steps)[:3] == ["create web", "stop web web-1", "start web"]


def test_nothing_is_made_from_an_image_that_is_not_here() -> None:
    both = app({"db": service("db"), "web": service(digest=OTHER_DIGEST)})
    assert lines(both, Observed(), absent=frozenset({NEW_IMAGE})) == [
        "create db: missing",
        "start db: created, not yet started",
        "wait web: its image is not here",
    ]


def test_only_images_that_something_must_still_be_made_from_are_looked_up() -> None:
    old, new = app(), app({"web": service(digest=OTHER_DIGEST)})
    assert images_needed(old, world(old, shown(old))) == []
    assert images_needed(new, world(old, shown(old))) == [NEW_IMAGE]
    assert images_needed(old, Observed()) == [WEB_IMAGE]


def test_what_hangs_on_another_service_is_restarted_with_it() -> None:
    old = app({"db": service("db", **ALWAYS), "web": service(depends_on={"db": {"restart": True}}, **ALWAYS)})
    new = app({"db": service("db", tty=True, **ALWAYS), "web": service(depends_on={"db": {"restart": True}}, **ALWAYS)})
    seen = world(old, shown(old, "db"), shown(old))
    assert [c.id for c in to_restart(new, seen, Around())] == ["web-1"]
    assert to_restart(old, seen, Around()) == ()
    todo = plan(new, seen, Around(again={"web-1": None}))
    assert short(todo.lines())[:5] == ["create db", "stop web web-1", "stop db db-1", "start db", "start web web-1"]
    after = dict(zip(short(todo.lines()), order(todo), strict=True))
    assert "stop web web-1" in after["stop db db-1"]
    assert "start db" in after["start web web-1"]


def test_equal_worlds_in_another_order_have_equal_plans() -> None:
    old = app(DB_WEB)
    new = app({"db": service("db", tty=True), "web": service(tty=True)}, networks={"n": {}}, volumes={"v": {}})
    containers = [shown(old, "db"), shown(old, "web"), shown(old, "web", key="web-0")]
    one, other = world(old, *containers), world(old, *reversed(containers))
    assert plan(new, one) == plan(new, other)
