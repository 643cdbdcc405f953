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


def test_several_platforms_are_refused_unless_one_is_chosen(load_text: Load) -> None:
    project = load_text("services: {a: {build: {context: ., platforms: [linux/amd64, linux/arm64]}}, b: {image: x}}")
    with pytest.raises(Unsupported, match=r"services\.a\.build\.platforms: .*DOCKER_DEFAULT_PLATFORM"):
        plan(project)
    assert [line(job) for job in plan(project, platform="linux/arm64")] == [
        "build app-a linux/arm64 for a",
        "fetch x linux/arm64 for b",
    ]


def test_the_platform_of_a_service_counts_before_the_default(load_text: Load) -> None:
    project = load_text("services: {a: {image: x, platform: linux/arm/v7}}")
    assert [job.platform for job in plan(project, platform="linux/arm64")] == ["linux/arm/v7"]


def test_a_build_comes_after_those_it_takes_from(load_text: Load) -> None:
    a = "a: {build: {context: ., additional_contexts: {base: 'service:c', other: 'service:b', far: 'docker-image://x'}}}"
    b = "b: {build: {context: ., additional_contexts: ['base=service:c']}}"
    jobs = plan(load_text(f"services: {{{a}, {b}, c: {{build: ., image: mine}}}}"))
    assert [(job.name, dict(job.built)) for job in jobs] == [
        ("mine", {}),
        ("app-b", {"c": "mine"}),
        ("app-a", {"c": "mine", "b": "app-b"}),
    ]


def test_builds_that_take_from_each_other_are_refused(load_text: Load) -> None:
    text = "services: {a: {build: {context: ., additional_contexts: ['x=service:a']}}}"
    with pytest.raises(Unsupported, match=r"services\.a\.build\.additional_contexts: goes in a circle: a -> a"):
        plan(load_text(text))
