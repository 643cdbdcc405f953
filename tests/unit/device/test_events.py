"""Which of an engine's events may be about what is ours."""

from __future__ import annotations

from typing import Any

import pytest

from device.engine import labels
from device.engine.events import Sieve


def container(action: str, *, key: str = "c1", device: str = "d1") -> dict[str, Any]:
    return {"Type": "container", "Action": action, "Actor": {"ID": key, "Attributes": {labels.DEVICE: device}}}


def docker_network(action: str, *, container: str = "c1") -> dict[str, Any]:
    """Return what Docker tells of a network: none of its labels."""
    return {"Type": "network", "Action": action, "Actor": {"ID": "n1", "Attributes": {"container": container}}}


def podman_network(action: str, *, container: str = "c1") -> dict[str, Any]:
    """Return what Podman tells of a network: in the place of its id that of the container."""
    return {"Type": "network", "Action": action, "Actor": {"ID": container, "Attributes": {"name": "web"}}}


def heard(*events: dict[str, Any]) -> list[bool]:
    sieve = Sieve("d1")
    return [sieve.lets_through(event) for event in events]


def test_what_happens_to_our_containers_is_heard() -> None:
    assert heard(container("start"), container("die")) == [True, True]


def test_what_happens_to_the_containers_of_others_is_not() -> None:
    assert heard(container("start", device="d2"), {"Type": "container", "Action": "die"}, {}) == [False, False, False]


@pytest.mark.parametrize("network", [docker_network, podman_network])
def test_a_network_that_a_running_container_is_taken_off_is_heard(network: Any) -> None:
    assert heard(container("start"), network("disconnect")) == [True, True]


def test_a_network_that_is_deleted_is_heard() -> None:
    assert heard(docker_network("destroy"), podman_network("remove")) == [True, True]


def test_that_a_container_joins_a_network_is_not_heard_as_its_start_is() -> None:
    assert heard(docker_network("connect"), docker_network("create")) == [False, False]


@pytest.mark.parametrize("device", ["d1", "d2"])
def test_a_container_that_leaves_its_networks_because_it_has_ended_is_not_heard_twice(device: str) -> None:
    ends, left = container("die", device=device), docker_network("disconnect")
    assert heard(ends, left, left)[1:] == [False, False]
    assert heard(ends, left, container("start"), left)[3]  # in its next life it may be taken off again
    assert heard(ends, container("destroy"), docker_network("disconnect"))[2]
