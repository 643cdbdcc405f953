"""Whether a pull still moves, by what engines tell."""

from __future__ import annotations

from typing import Any

from device.engine.pulling import BLIND_S, LOCAL_S, STALLED_S, Pulling


def layer(name: str, status: str, current: int | None = None, total: int | None = None) -> dict[str, Any]:
    detail = {} if total is None else {"current": current, "total": total}
    return {"status": status, "id": name, "progressDetail": detail}


def heard(*events: dict[str, Any]) -> Pulling:
    """Return a pull that began at 0 and told these, one a second."""
    pulling = Pulling("docker", began_at=0.0)
    for now, event in enumerate(events, start=1):
        pulling.hear(event, now=float(now))
    return pulling


def test_bytes_are_added_up_over_layers() -> None:
    pulling = heard(
        layer("a", "Pulling fs layer"),
        layer("a", "Downloading", 10, 100),
        layer("b", "Downloading", 5, 50),
        layer("a", "Downloading", 60, 100),
    )
    assert (pulling.done, pulling.total) == (65, 150)


def test_a_layer_that_has_come_counts_whole() -> None:
    pulling = heard(layer("a", "Downloading", 10, 100), layer("a", "Download complete"))
    assert (pulling.done, pulling.total) == (100, 100)


def test_silence_from_the_beginning_is_a_stall() -> None:
    pulling = heard()
    assert not pulling.is_stalled(STALLED_S)
    assert pulling.is_stalled(STALLED_S + 1)


def test_however_long_it_takes_it_goes_on_while_bytes_come() -> None:
    pulling = Pulling("docker", began_at=0.0)
    for count in range(1, 1000):
        now = count * (STALLED_S - 1)
        assert not pulling.is_stalled(now)
        pulling.hear(layer("a", "Downloading", count, 1000), now=now)


def test_an_engine_that_only_counts_down_to_its_next_try_is_stalled() -> None:
    pulling = heard(layer("a", "Downloading", 10, 100))
    for now in range(2, 40):
        pulling.hear(layer("a", f"Retrying in {40 - now} seconds"), now=float(now))
    assert pulling.is_stalled(40.0)


def test_a_disk_that_is_slow_to_unpack_has_more_time() -> None:
    pulling = heard(layer("a", "Downloading", 10, 100), layer("a", "Extracting", 1, 100))
    assert not pulling.is_stalled(2 + LOCAL_S)
    assert pulling.is_stalled(3 + LOCAL_S)
    pulling = heard(layer("b", "Downloading", 1, 100), layer("a", "Extracting", 1, 100))
    assert pulling.is_stalled(3 + STALLED_S)


def test_a_layer_that_waits_for_the_engines_other_pulls_is_no_stall() -> None:
    pulling = heard(layer("a", "Pulling fs layer"), layer("a", "Waiting"))
    assert not pulling.is_stalled(2 + LOCAL_S)


def test_podman_tells_only_which_layer_it_has_begun() -> None:
    pulling = Pulling("podman", began_at=0.0)
    pulling.hear({"stream": "Trying to pull x...\n"}, now=1.0)
    assert pulling.is_stalled(2 + STALLED_S)
    pulling.hear({"stream": "Copying blob sha256:1\n"}, now=2.0)
    assert not pulling.is_stalled(2 + BLIND_S)
    assert pulling.is_stalled(3 + BLIND_S)
