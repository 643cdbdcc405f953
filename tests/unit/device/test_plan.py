"""Whole plans, as text."""

from __future__ import annotations

import pytest

from device.engine.port import NetworkSeen, Observed
from device.reconcile.plan import images_needed, plan
from device.reconcile.wanted import Wanted
from tests.harness.apps import OTHER_DIGEST, service
from tests.unit.device.worlds import CHECK, I2, NEW_IMAGE, WEB_IMAGE, app, became, shown, together, world

DB_WEB = {"db": service("db"), "web": service(depends_on={"db": {}})}


def lines(apps: list[Wanted], observed: Observed, *absent: str) -> list[str]:
    return plan(apps, observed, absent_images=frozenset(absent)).lines()


def depends(condition: str, **keys: object) -> Wanted:
    web = service(depends_on={"db": {"condition": condition} | keys})
    return app({"db": service("db", healthcheck=CHECK), "web": web})


def test_a_first_start_makes_networks_and_volumes_before_containers() -> None:
    first = app(
        {"web": service(networks={"front": {}}, mounts=[{"type": "volume", "target": "/d", "source": "data"}])},
        networks={"front": {}, "back": {}},
        volumes={"data": {}},
    )
    assert lines([first], Observed()) == [
        "create network hello.iaaaaaaaaaaa.back: missing",
        "create network hello.iaaaaaaaaaaa.front: missing",
        "create volume hello.iaaaaaaaaaaa.data: missing",
        "create web: missing",
    ]


def test_what_is_created_is_started_in_the_next_round() -> None:
    web = app()
    assert lines([web], world(web, shown(web, state="created"))) == ["start web web-1: created, not yet started"]


def test_what_runs_as_wanted_needs_nothing() -> None:
    web = app()
    todo = plan([web], world(web, shown(web)))
    assert todo.lines() == []
    assert todo.converged


def test_no_apps_and_an_empty_engine_need_nothing() -> None:
    assert plan([], Observed()).converged


def test_a_service_waits_until_what_it_depends_on_has_started() -> None:
    both = app(DB_WEB)
    assert lines([both], Observed()) == ["create db: missing", "wait web: db is not started"]
    created = shown(both, "db", state="created")
    assert lines([both], world(both, created)) == [
        "start db db-1: created, not yet started",
        "wait web: db is not started",
    ]
    assert lines([both], world(both, shown(both, "db"))) == ["create web: missing"]


def test_services_start_in_the_order_of_a_chain_whatever_their_names() -> None:
    chain = app(
        {"a": service(depends_on={"b": {}}), "b": service(depends_on={"c": {}}), "c": service(), "d": service()}
    )
    assert lines([chain], Observed()) == [
        "create c: missing",
        "create d: missing",
        "wait b: c is not started",
        "wait a: b is not started",
    ]


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        ("starting", ["wait web: db is not healthy"]),
        ("unhealthy", ["wait web: db is not healthy"]),
        ("none", ["wait web: db is not healthy"]),
        ("healthy", ["create web: missing"]),
    ],
)
def test_a_service_waits_for_the_health_of_another(health: str, expected: list[str]) -> None:
    both = depends("service_healthy")
    db = became(shown(both, "db"), health=health)
    assert lines([both], world(both, db)) == expected


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("running", None, ["wait web: db is not completed successfully"]),
        ("exited", 1, ["wait web: db is not completed successfully"]),
        ("exited", 0, ["create web: missing"]),
    ],
)
def test_a_service_waits_for_one_that_runs_once_to_end_well(state: str, code: int | None, expected: list[str]) -> None:
    both = depends("service_completed_successfully")
    db = became(shown(both, "db"), state=state, exit_code=code)
    assert lines([both], world(both, db)) == expected


def test_one_that_ran_once_and_ended_well_counts_as_started() -> None:
    both = app(DB_WEB)
    ended = shown(both, "db", state="exited", exit_code=0)
    assert lines([both], world(both, ended)) == ["create web: missing"]
    assert lines([both], world(both, became(ended, exit_code=1))) == ["wait web: db is not started"]


def test_a_dependency_that_is_not_required_and_not_there_is_not_waited_for() -> None:
    alone = app({"web": service(depends_on={"db": {"required": False}})})
    assert lines([alone], Observed()) == ["create web: missing"]


def test_a_created_service_is_not_started_before_its_time_either() -> None:
    both = depends("service_healthy")
    seen = world(both, shown(both, "db", health="starting"), shown(both, "web", state="created"))
    assert lines([both], seen) == ["wait web: db is not healthy"]


def test_what_already_runs_is_not_stopped_because_its_dependency_fell_ill() -> None:
    both = depends("service_healthy")
    seen = world(both, shown(both, "db", health="unhealthy"), shown(both, "web"))
    assert lines([both], seen) == []


def test_a_changed_image_replaces_the_container_and_the_next_round_makes_the_new_one() -> None:
    old, new = app(), app({"web": service(digest=OTHER_DIGEST, stop_grace_ms=2500)})
    was, will = old.containers["web"].hash[7:19], new.containers["web"].hash[7:19]
    steps = plan([new], world(old, shown(old)))
    assert steps.lines() == [
        f"stop web web-1: made from {was}, wanted {will}",
        f"remove web web-1: made from {was}, wanted {will}",
    ]
    assert [step.grace_s for step in steps.steps if hasattr(step, "grace_s")] == [3]
    assert lines([new], Observed()) == ["create web: missing"]


def test_a_container_that_does_not_run_is_removed_without_being_stopped() -> None:
    old, new = app(), app({"web": service(digest=OTHER_DIGEST)})
    for state in ("created", "exited"):
        assert [line.split(":")[0] for line in lines([new], world(old, became(shown(old), state=state)))] == [
            "remove web web-1"
        ]


def test_a_changed_environment_replaces_only_the_service_that_has_it() -> None:
    old = app(DB_WEB)
    new = app({"db": DB_WEB["db"], "web": DB_WEB["web"] | {"environment": {"A": "1"}}})
    seen = world(old, shown(old, "db"), shown(old, "web"))
    assert [line.split(":")[0] for line in lines([new], seen)] == ["stop web web-1", "remove web web-1"]


def test_a_service_that_the_release_no_longer_has_is_removed() -> None:
    old, new = app(DB_WEB), app({"web": service()})
    web = became(shown(old, "web"), hash=new.containers["web"].hash)
    assert lines([new], world(new, shown(old, "db"), web)) == [
        "stop db db-1: the release has no such service",
        "remove db db-1: the release has no such service",
    ]


def test_an_app_that_is_no_longer_wanted_is_removed_and_its_networks_after_it_but_never_its_volumes() -> None:
    gone = app({"web": service(networks={"front": {}})}, networks={"front": {}}, volumes={"data": {}})
    assert lines([], world(gone, shown(gone))) == [
        "stop web web-1: its app is not in the desired state",
        "remove web web-1: its app is not in the desired state",
    ]
    assert lines([], world(gone)) == ["remove network hello.iaaaaaaaaaaa.front: no app uses it"]
    assert lines([], world(gone, networks=False)) == []


def test_another_app_is_not_touched_by_a_change_of_one() -> None:
    old, new = app(), app({"web": service(digest=OTHER_DIGEST)})
    other = app(instance=I2, name="other", networks={"n": {}})
    seen = together(world(old, shown(old)), world(other, shown(other, key="other-1")))
    assert [line.split(":")[0] for line in lines([new, other], seen)] == ["stop web web-1", "remove web web-1"]


def test_a_second_container_of_a_service_goes_and_the_running_one_stays() -> None:
    web = app()
    ended = shown(web, key="web-0", state="exited", exit_code=0)
    assert lines([web], world(web, ended, shown(web))) == ["remove web web-0: a second container of the service"]
    twin = shown(web, key="web-2")
    assert lines([web], world(web, twin, shown(web))) == [
        "stop web web-2: a second container of the service",
        "remove web web-2: a second container of the service",
    ]


def test_a_changed_network_is_made_anew_without_containers_on_it() -> None:
    old = app({"web": service(networks={"front": {}})}, networks={"front": {}})
    new = app({"web": service(networks={"front": {}})}, networks={"front": {"internal": True}})
    assert lines([new], world(old, shown(old))) == [
        "stop web web-1: its network front is made anew",
        "remove web web-1: its network front is made anew",
        "remove network hello.iaaaaaaaaaaa.front: its definition changed",
    ]
    assert lines([new], world(new, networks=False)) == [
        "create network hello.iaaaaaaaaaaa.front: missing",
        "create web: missing",
    ]


def test_a_network_the_release_no_longer_has_goes_once_all_else_is_done() -> None:
    old = app(networks={"front": {}})
    new = app()
    assert lines([new], world(old)) == ["create web: missing"]
    assert lines([new], world(old, shown(new))) == ["remove network hello.iaaaaaaaaaaa.front: no app uses it"]


def test_a_network_that_somebody_made_and_no_app_wants_goes_too() -> None:
    stray = Observed(networks=(NetworkSeen("n1", "left_behind", I2, "h"),))
    assert lines([], stray) == ["remove network left_behind: no app uses it"]


def test_a_volume_that_the_release_no_longer_has_stays() -> None:
    old, new = app(volumes={"data": {}}), app()
    assert lines([new], world(old, shown(new))) == []


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_a_container_that_ended_and_should_run_is_started_again(policy: str) -> None:
    web = app({"web": service(restart={"policy": policy})})
    for code in (0, 137):
        ended = shown(web, state="exited", exit_code=code)
        assert lines([web], world(web, ended)) == [f"start web web-1: ended with code {code}, should run"]


@pytest.mark.parametrize("policy", ["no", "on-failure"])
@pytest.mark.parametrize("code", [0, 1])
def test_a_container_that_ended_and_may_is_left_alone(policy: str, code: int) -> None:
    web = app({"web": service(restart={"policy": policy})})
    assert lines([web], world(web, shown(web, state="exited", exit_code=code))) == []


def test_a_crash_loop_is_left_to_the_engine() -> None:
    web = app({"web": service(restart={"policy": "always"})})
    assert lines([web], world(web, shown(web, state="restarting", exit_code=1))) == []


def test_a_crash_loop_of_an_old_release_does_not_hold_up_the_new_one() -> None:
    old, new = app(), app({"web": service(digest=OTHER_DIGEST)})
    steps = lines([new], world(old, shown(old, state="restarting", exit_code=1)))
    assert [line.split(":")[0] for line in steps] == ["remove web web-1"]


def test_everything_is_fetched_before_anything_is_touched() -> None:
    old = app(DB_WEB)
    new = app({"db": service("db", environment={"A": "1"}), "web": service(digest=OTHER_DIGEST)})
    seen = world(old, shown(old, "db"), shown(old, "web"))
    release = new.section.release[7:19]
    assert lines([new], seen, NEW_IMAGE) == [f"pull {NEW_IMAGE}: release {release} needs it"]
    assert [line.split(":")[0] for line in lines([new], seen)] == [
        "stop db db-1", "remove db db-1", "stop web web-1", "remove web web-1"
    ]  # fmt: skip


def test_an_app_whose_images_are_here_does_not_wait_for_those_of_another() -> None:
    new = app({"web": service(digest=OTHER_DIGEST)})
    other = app(instance=I2, name="other")
    assert lines([new, other], Observed(), NEW_IMAGE) == [
        f"pull {NEW_IMAGE}: release {new.section.release[7:19]} needs it",
        "create web: missing",
    ]


def test_a_removed_app_does_not_wait_for_the_images_of_another() -> None:
    new, gone = app({"web": service(digest=OTHER_DIGEST)}), app(instance=I2, name="other")
    assert lines([new], world(gone, shown(gone)), NEW_IMAGE)[:2] == [
        "stop web web-1: its app is not in the desired state",
        "remove web web-1: its app is not in the desired state",
    ]


def test_only_images_that_something_must_still_be_made_from_are_looked_up() -> None:
    old, new = app(), app({"web": service(digest=OTHER_DIGEST)})
    assert images_needed([old], world(old, shown(old))) == []
    assert images_needed([new], world(old, shown(old))) == [NEW_IMAGE]
    assert images_needed([old, new], Observed()) == sorted([WEB_IMAGE, NEW_IMAGE])


def test_equal_worlds_in_another_order_have_equal_plans() -> None:
    old = app(DB_WEB)
    new = app({"db": service("db", tty=True), "web": service(tty=True)}, networks={"n": {}}, volumes={"v": {}})
    containers = [shown(old, "db"), shown(old, "web"), shown(old, "web", key="web-0")]
    one, other = world(old, *containers), world(old, *reversed(containers))
    assert lines([new], one) == lines([new], other)
