"""The owner's policy on named volumes: their options can reach the host as well."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from broker.appspec import AppSpec, Image, Mount, Service, Volume
from broker.policy import Policy

BIND = {"type": "none", "o": "bind", "device": "/etc"}


def objections(policy: Policy, options: Mapping[str, str]) -> list[str]:
    image = Image(repository="web", digest="sha256:" + "0" * 64)
    service = Service(image=image, mounts=(Mount(type="volume", target="/data", source="data"),))
    return policy.objections(AppSpec(name="shop", services={"web": service}, volumes={"data": Volume(options=options)}))


@pytest.mark.parametrize(
    "options",
    [
        BIND,
        BIND | {"type": "tmpfs"},
        {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/exports"},
        {"o": "bind"},
        BIND | {"device": "/srv/data/../../etc"},
    ],
)
def test_a_volume_that_is_a_place_outside_the_app_is_refused(options: Mapping[str, str]) -> None:
    assert objections(Policy(allow_bind_prefixes=("/srv/data",)), options) == [
        f"volume data: host path {options.get('device', '')!r} is not allowed (policy.allow_bind_prefixes)"
    ]


@pytest.mark.parametrize(
    "options", [{}, {"type": "tmpfs", "device": "tmpfs", "o": "size=8m"}, BIND | {"device": "/srv/data/a"}]
)
def test_a_volume_of_the_engine_of_memory_or_of_an_allowed_path_is_not_refused(options: Mapping[str, str]) -> None:
    assert objections(Policy(allow_bind_prefixes=("/srv/data",)), options) == []
