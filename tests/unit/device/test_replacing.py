"""How services are replaced: order, replicas in lots, hooks, joined namespaces, stops and starts by request."""

from __future__ import annotations

from typing import Any

from device.engine.port import Observed
from device.reconcile.facts import Run
from device.reconcile.moves import Around
from device.reconcile.plan import plan
from device.reconcile.wanted import Wanted
from tests.harness.apps import OTHER_DIGEST, service
from tests.unit.device.worlds import app, became, shown, world

ALWAYS: dict[str, Any] = {"restart": {"policy": "always"}}
STEADY = Run(steady_s=5.0)


def lines(of: Wanted, observed: Observed, **around: Any) -> list[str]:
    return plan(of, observed, Around(**around)).lines()


def short(of: Wanted, observed: Observed, **around: Any) -> list[str]:
    return [line.split(":")[0] for line in lines(of, observed, **around)]


def start_first(**keys: Any) -> Wanted:
    return app({"web": service(update={"order": "start-first"}, **ALWAYS, **keys)})


OLD, NEW = start_first(), start_first(digest=OTHER_DIGEST)
NEXT = became(shown(NEW, key="web-2"), name="hello.iaaaaaaaaaaa.web.next")


def test_start_first_makes_and_starts_the_new_container_beside_the_old_one() -> None:
    assert short(NEW, world(OLD, shown(OLD))) == ["create web", "start web"]


def test_start_first_lets_the_old_one_run_until_the_new_one_works() -> None:
    seen = world(OLD, shown(OLD), NEXT)
    assert lines(NEW, seen) == ["wait web: the one before it runs until this one works"]
    assert short(NEW, seen, runs={"web-2": STEADY}) == [
        "stop web web-1", "remove web web-1", "rename web web-2 to hello.iaaaaaaaaaaa.web"
    ]  # fmt: skip


def test_start_first_that_fails_has_stopped_nothing() -> None:
    seen = world(OLD, shown(OLD), became(NEXT, health="unhealthy"))
    assert short(OLD, seen, going_back=True) == ["stop web web-2", "remove web web-2"]


def test_where_a_start_beside_the_old_one_was_refused_the_old_one_makes_room() -> None:
    seen = world(OLD, shown(OLD), became(NEXT, state="created"))
    assert short(NEW, seen, is_rough=True)[:2] == ["stop web web-1", "start web web-2"]


def test_the_way_back_has_an_order_of_its_own() -> None:
    old = app({"web": service(rollback={"order": "start-first"}, **ALWAYS)})
    seen = world(old, shown(old, state="exited", exit_code=0), shown(NEW, key="web-2"))
    assert short(old, seen, going_back=True) == ["start web web-1"]
    assert short(old, seen)[:2] == ["stop web web-2", "start web web-1"]


def replicas(count: int = 3, digest: str = "", **update: Any) -> Wanted:
    keys: dict[str, Any] = {"digest": digest} if digest else {}
    return app({"web": service(replicas=count, update=update, **ALWAYS, **keys)})


def all_of(of: Wanted, prefix: str = "a") -> list[Any]:
    return [shown(of, slot, key=f"{prefix}{want.index}") for slot, want in of.containers.items()]


def test_replicas_are_named_and_made_side_by_side() -> None:
    assert short(replicas(), Observed()) == [
        "create web", "create web.2", "create web.3", "start web", "start web.2", "start web.3"
    ]  # fmt: skip
    assert [c.name.rpartition("iaaaaaaaaaaa.")[2] for c in replicas().containers.values()] == ["web", "web.2", "web.3"]


def test_replicas_publish_ports_one_after_the_other() -> None:
    many = app({"web": service(replicas=2, ports=[{"target": 80, "published": 8080}])})
    assert [c.spec.ports[0].published for c in many.containers.values()] == [8080, 8081]


def test_more_or_fewer_replicas_leave_the_others_alone() -> None:
    two, three = replicas(2), replicas(3)
    assert short(three, world(two, *all_of(two))) == ["create web.3", "start web.3"]
    seen = world(three, *all_of(three))
    assert lines(two, seen) == [
        "stop web.3 a3: its service has fewer replicas",
        "remove web.3 a3: its service has fewer replicas",
    ]


def test_replicas_are_replaced_so_many_at_a_time() -> None:
    old, new = replicas(), replicas(digest=OTHER_DIGEST)
    assert short(new, world(old, *all_of(old))) == [
        "create web", "create web.2", "create web.3", "stop web a1", "start web", "remove web a1",
        "rename web to hello.iaaaaaaaaaaa.web", "wait web.2", "wait web.3",
    ]  # fmt: skip
    two_at_once = replicas(digest=OTHER_DIGEST, parallelism=2)
    assert "stop web.2 a2" in short(two_at_once, world(old, *all_of(old)))
    assert "stop web.3 a3" not in short(two_at_once, world(old, *all_of(old)))
    everyone = replicas(digest=OTHER_DIGEST, parallelism=0)
    assert "stop web.3 a3" in short(everyone, world(old, *all_of(old)))


def half_way(new: Wanted, old: Wanted) -> Observed:
    return world(old, shown(new, key="b1"), *all_of(old)[1:])


def test_the_next_lot_waits_until_the_one_before_works() -> None:
    old, new = replicas(), replicas(digest=OTHER_DIGEST)
    seen = half_way(new, old)
    assert "stop web.2 a2" not in short(new, seen, runs={"b1": Run(steady_s=4.0)})
    assert "stop web.2 a2" in short(new, seen, runs={"b1": Run(steady_s=5.0)})


def test_the_next_lot_waits_as_long_as_the_file_asks() -> None:
    old, new = replicas(), replicas(digest=OTHER_DIGEST, delay_ms=30_000)
    seen = half_way(new, old)
    assert "stop web.2 a2" not in short(new, seen, runs={"b1": Run(steady_s=29.0)})
    assert "stop web.2 a2" in short(new, seen, runs={"b1": Run(steady_s=30.0)})


def hooked() -> Wanted:
    hooks: dict[str, Any] = {
        "post_start": [{"command": ["fill"]}, {"command": ["warm"]}],
        "pre_stop": [{"command": ["drain"]}],
    }
    return app({"web": service(**hooks, **ALWAYS), "log": service(depends_on={"web": {}})})


def test_hooks_run_after_a_start_one_after_the_other_and_dependents_start_after_them() -> None:
    todo = plan(hooked(), Observed())
    assert [line.split(":")[0] for line in todo.lines()] == [
        "create web", "create log", "start web", "run fill in web", "run warm in web", "start log"
    ]  # fmt: skip
    assert todo.after[5] == {1, 4}


def test_a_hook_that_did_not_run_before_a_kill_runs_now() -> None:
    of = hooked()
    seen = world(of, shown(of), shown(of, "log"))
    assert short(of, seen) == ["run fill in web web-1", "run warm in web web-1"]
    key = f"web@{of.containers['web'].hash[7:19]}"
    assert short(of, seen, hooked=frozenset({key})) == []


def test_hooks_run_before_a_stop_and_only_in_what_runs() -> None:
    of = hooked()
    new = app({"log": service()})
    known = {c.hash: c for c in of.containers.values()}
    log = became(shown(of, "log"), hash=new.containers["log"].hash)
    assert short(new, world(new, shown(of), log), known=known) == [
        "run drain in web web-1", "stop web web-1", "remove web web-1"
    ]  # fmt: skip
    assert short(new, world(new, shown(of, state="restarting"), log), known=known) == [
        "stop web web-1", "remove web web-1"
    ]  # fmt: skip


def joined(digest: str = "") -> Wanted:
    keys: dict[str, Any] = {"digest": digest} if digest else {}
    return app(
        {
            "vpn": service("vpn", **keys, **ALWAYS),
            "web": service(network_mode="service:vpn", depends_on={"vpn": {}}, **ALWAYS),
        }
    )


def test_what_joins_another_is_made_once_the_other_is_there() -> None:
    of = joined()
    assert lines(of, Observed()) == [
        "create vpn: missing",
        "start vpn: created, not yet started",
        "wait web: vpn is not made yet",
    ]
    todo = plan(of, world(of, shown(of, "vpn")))
    assert [line.split(":")[0] for line in todo.lines()] == ["create web", "start web"]
    assert todo.steps[0].container.joined == {"vpn": "vpn-1"}  # type: ignore[union-attr]


def test_what_joins_another_is_made_anew_when_the_other_is() -> None:
    of = joined()
    seen = world(of, shown(of, "vpn", key="vpn-2"), became(shown(of), joined="vpn-1"))
    assert short(of, seen)[:3] == ["create web", "stop web web-1", "start web"]
    assert short(of, world(of, shown(of, "vpn"), became(shown(of), joined="vpn-1"))) == []


def test_a_service_stopped_by_request_is_stopped_and_left_so() -> None:
    web = app({"web": service(**ALWAYS)})
    down = {"stopped": frozenset({"web"})}
    assert lines(web, world(web, shown(web)), **down) == [
        "stop web web-1: stopped by request",
        "wait web: stopped by request",
    ]
    ended = shown(web, state="exited", exit_code=137)
    assert lines(web, world(web, ended), **down) == ["wait web: stopped by request"]
    assert lines(web, Observed(), **down) == ["wait web: stopped by request"]


def test_a_container_asked_to_restart_is_stopped_and_started_whatever_its_policy() -> None:
    web = app()
    runs = {"web-1": Run(started_at_ms=7)}
    again = {"web-1": 7}
    assert short(web, world(web, shown(web)), again=again, runs=runs) == ["stop web web-1", "start web web-1"]
    ended = shown(web, state="exited", exit_code=137)
    assert short(web, world(web, ended), again=again, runs=runs) == ["start web web-1"]
    runs = {"web-1": Run(started_at_ms=8)}
    assert short(web, world(web, shown(web)), again=again, runs=runs) == []


def test_a_container_that_crashes_faster_than_any_engine_lets_it_rests() -> None:
    web = app({"web": service(**ALWAYS)})
    seen = world(web, shown(web))
    loops = {"runs": {"web-1": Run(is_looping=True)}}
    assert lines(web, seen, **loops) == [
        "stop web web-1: it crashes again and again, and rests",
        "wait web: it crashes again and again, and rests",
    ]
    ended = shown(web, state="exited", exit_code=1)
    assert short(web, world(web, ended), runs={"web-1": Run(rests_s=1.0)}) == ["wait web"]
    assert short(web, world(web, ended), runs={"web-1": Run()}) == ["start web web-1"]


def test_a_newer_release_gets_through_into_a_rest() -> None:
    web, fix = app({"web": service(**ALWAYS)}), app({"web": service(digest=OTHER_DIGEST, **ALWAYS)})
    ended = shown(web, state="exited", exit_code=1)
    assert short(fix, world(web, ended), runs={"web-1": Run(rests_s=100.0)})[:2] == ["create web", "start web"]
