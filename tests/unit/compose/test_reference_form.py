"""A canonical project in the form that other Compose tools print."""

from __future__ import annotations

import pytest

from compose.reference_form import duration_text, reference_form
from compose.tree import Plain


@pytest.mark.parametrize(
    ("millis", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (999, "999ms"),
        (1000, "1s"),
        (1500, "1.5s"),
        (90_000, "1m30s"),
        (60_000, "1m0s"),
        (3_600_000, "1h0m0s"),
        (90_061_001, "25h1m1.001s"),
    ],
)
def test_a_duration_has_hours_minutes_and_seconds(millis: int, text: str) -> None:
    assert duration_text(millis) == text


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({"mem_limit": 64 << 20}, {"mem_limit": "67108864"}),
        ({"memswap_limit": -1}, {"memswap_limit": "-1"}),
        ({"stop_grace_period": 0}, {"stop_grace_period": "0s"}),
        ({"tty": False, "restart": "", "dns": [], "pids_limit": 0}, {}),
        ({"init": False, "attach": False, "scale": 0}, {"init": False, "attach": False, "scale": 0}),
        ({"command": [], "entrypoint": []}, {"command": [], "entrypoint": []}),
        ({"command": None}, {}),
        ({"environment": {"A": None, "B": ""}}, {"environment": {"A": None, "B": ""}}),
        ({"labels": {"x-a": ""}}, {"labels": {"x-a": ""}}),
        ({"x-note": {"a": 0}}, {"x-note": {"a": 0}}),
        ({"extra_hosts": {"b": ["2"], "a": ["1", "0"]}}, {"extra_hosts": ["a=0", "a=1", "b=2"]}),
        ({"healthcheck": {"disable": True}}, {"healthcheck": {"disable": True}}),
        ({"healthcheck": {"retries": 0}}, {"healthcheck": {"retries": 0}}),
        ({"networks": {"front": None}}, {"networks": {"front": None}}),
        ({"deploy": {"resources": {}, "replicas": 0}}, {"deploy": {"replicas": 0}}),
        ({"build": {"ssh": {"default": "", "k": "/k"}}}, {"build": {"ssh": ["default", "k: /k"]}}),
        ({"secrets": [{"source": "a", "mode": 0o440}]}, {"secrets": [{"source": "a", "mode": "0440"}]}),
        (
            {"depends_on": {"db": {"condition": "service_started", "restart": False}}},
            {"depends_on": {"db": {"condition": "service_started", "required": True}}},
        ),
        (
            {"volumes": [{"type": "bind", "bind": {"create_host_path": True}}]},
            {"volumes": [{"type": "bind", "bind": {}}]},
        ),
        (
            {"volumes": [{"type": "bind", "bind": {"create_host_path": False}}]},
            {"volumes": [{"type": "bind", "bind": {"create_host_path": False}}]},
        ),
        (
            {"deploy": {"update_config": {"delay": 0, "monitor": 60_000, "parallelism": 0}}},
            {"deploy": {"update_config": {"monitor": "1m0s", "parallelism": 0}}},
        ),
    ],
)
def test_a_service_is_written_as_other_tools_write_it(service: dict[str, Plain], expected: Plain) -> None:
    assert reference_form({"services": {"web": service}}) == {"services": {"web": expected}}


def test_what_is_empty_at_the_top_is_not_written() -> None:
    assert reference_form({"name": "app", "networks": {}, "x-note": {}}) == {"name": "app", "x-note": {}}
