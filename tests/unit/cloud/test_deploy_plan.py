"""What deploying would do to a device: bytes, time, room, services."""

from __future__ import annotations

from typing import Any

from broker.appspec import AppSpec
from cloud.deploy_plan import Known, planned

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
LAYERS = {A: {"base": 1000, "one": 100}, B: {"base": 1000, "two": 200}, C: {"base": 1000, "three": 50}}


def spec(**services: dict[str, Any]) -> AppSpec:
    def service(name: str, changes: dict[str, Any]) -> dict[str, Any]:
        image = {"repository": f"oaaaaaaaaaaa/aaaaaaaaaaaa/{name}", "digest": changes.pop("image", A)}
        return {"image": image | {"unpacked_bytes": changes.pop("unpacked", 0)}} | changes

    return AppSpec.model_validate(
        {"name": "app", "services": {name: service(name, dict(changes)) for name, changes in services.items()}}
    )


def plan(new: AppSpec, running: AppSpec | None = None, *, held: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    known = Known(running, held, more.pop("rate", None), more.pop("free", None))
    given: dict[str, Any] = {"patches": {}, "other_variables": False} | more
    return planned(new, known, layers_of=LAYERS, **given)


def services(found: dict[str, Any]) -> dict[str, list[str]]:
    return {verb: found[verb] for verb in ("starts", "restarts", "stops", "stays") if found[verb]}


def test_a_layer_that_several_images_share_moves_once() -> None:
    found = plan(spec(web={"image": A, "unpacked": 1100}, api={"image": B, "unpacked": 1200}), free=10_000)
    assert found["bytes"] == {"present": 0, "layers": 1300, "delta": None}
    assert found["disk_after_bytes"] == 10_000 - 1300 - 1300  # and lies unpacked once
    assert services(found) == {"starts": ["api", "web"]}


def test_what_the_device_has_does_not_move() -> None:
    found = plan(spec(web={"image": B}), spec(web={"image": A}), held=(A,))
    assert found["bytes"] == {"present": 1000, "layers": 200, "delta": None}
    assert services(found) == {"restarts": ["web"]}


def test_a_patch_from_an_image_that_the_device_has_counts_where_it_is_smaller() -> None:
    new, old = spec(web={"image": B}), spec(web={"image": A})
    assert plan(new, old, held=(A,), patches={(B, A): 30})["bytes"]["delta"] == 30
    assert plan(new, old, held=(A,), patches={(B, A): 300})["bytes"]["delta"] is None
    assert plan(new, old, held=(A,), patches={(B, C): 30})["bytes"]["delta"] is None


def test_time_is_that_of_the_rate_and_room_counts_both_forms() -> None:
    found = plan(spec(web={"image": B, "unpacked": 6000}), held=(A,), rate=150, free=5000)
    assert found["seconds"] == 2
    assert found["disk_after_bytes"] == 5000 - 200 - 1000  # a sixth of the image is new


def test_time_counts_what_patches_move_and_room_what_layers_take() -> None:
    new, old = spec(web={"image": B}), spec(web={"image": A})
    found = plan(new, old, held=(A,), patches={(B, A): 30}, rate=10, free=5000)
    assert found["seconds"] == 3
    assert found["disk_after_bytes"] == plan(new, old, held=(A,), free=5000)["disk_after_bytes"]


def test_what_a_device_never_told_is_not_known() -> None:
    found = plan(spec(web={}))
    assert (found["seconds"], found["disk_free_bytes"], found["disk_after_bytes"]) == (None, None, None)


def test_only_what_makes_another_container_restarts() -> None:
    old = spec(web={"environment": {"A": "1"}}, api={}, old={})
    new = spec(web={"environment": {"A": "2"}}, api={"restart": {"policy": "always"}}, fresh={})
    assert services(plan(new, old)) == {"starts": ["fresh"], "restarts": ["web"], "stops": ["old"], "stays": ["api"]}


def test_other_variables_restart_everything() -> None:
    same = spec(web={}, api={})
    assert services(plan(same, same, other_variables=True)) == {"restarts": ["api", "web"]}
    assert services(plan(same, same)) == {"stays": ["api", "web"]}


def test_who_asks_to_restart_with_another_restarts_also_in_a_row() -> None:
    def chain(value: str) -> AppSpec:
        return spec(
            db={"environment": {"A": value}},
            api={"depends_on": {"db": {"restart": True}}},
            web={"depends_on": {"api": {"restart": True}}},
            log={"depends_on": {"db": {}}},
        )

    assert services(plan(chain("2"), chain("1"))) == {"restarts": ["api", "db", "web"], "stays": ["log"]}
