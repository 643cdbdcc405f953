"""What is built, fetched and pushed."""

from __future__ import annotations

import pytest

from compose.errors import Unsupported
from compose.publish_plan import Job, plan
from tests.unit.compose.conftest import Load


def line(job: Job) -> str:
    how = "build" if job.build else f"fetch {job.pull}".strip()
    return f"{how} {job.name} {job.platform}".strip() + f" for {','.join(job.services)}"


def lines(load_text: Load, services: str) -> list[str]:
    return [line(job) for job in plan(load_text(f"services: {services}"))]


def test_what_is_built_comes_first_and_gets_a_local_name(load_text: Load) -> None:
    assert lines(load_text, "{a: {image: redis}, b: {build: .}, c: {build: ., image: mine}}") == [
        "build app-b for b",
        "build mine for c",
        "fetch redis for a",
    ]


def test_services_with_one_image_are_one_job(load_text: Load) -> None:
    assert lines(load_text, "{a: {image: x}, b: {image: x}, c: {image: x, platform: linux/arm64}}") == [
        "fetch x for a,b",
        "fetch x linux/arm64 for c",
    ]


def test_an_image_that_is_built_is_not_fetched_for_others(load_text: Load) -> None:
    assert lines(load_text, "{a: {image: x}, b: {build: ., image: x}}") == ["build x for b", "fetch never x for a"]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("{image: x, pull_policy: always}", "fetch always x for a"),
        ("{image: x, pull_policy: never}", "fetch never x for a"),
        ("{image: x, pull_policy: missing}", "fetch x for a"),
        ("{image: x, build: ., pull_policy: always}", "fetch always x for a"),
        ("{image: x, build: ., pull_policy: build}", "build x for a"),
        ("{build: {context: ., platforms: [linux/arm64]}}", "build app-a linux/arm64 for a"),
    ],
)
def test_the_pull_policy_decides(load_text: Load, service: str, expected: str) -> None:
    assert lines(load_text, f"{{a: {service}}}") == [expected]


def test_several_platforms_are_refused(load_text: Load) -> None:
    with pytest.raises(Unsupported):
        lines(load_text, "{a: {build: {context: ., platforms: [a, b]}}}")
