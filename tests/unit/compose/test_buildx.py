"""What `docker buildx` is told: every key of a build, secrets in files that do not stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from compose.buildx import buildx_arguments, find_buildx, keys_for_buildx
from compose.errors import BuildFailed
from compose.project import Build, Project
from compose.publish_plan import Job, plan
from tests.unit.compose.conftest import Load

BUILD = """
name: app
services:
  base: {build: ./base}
  web:
    platform: linux/arm64
    build:
      context: ./web
      dockerfile: Own
      args: {A: b, FROM_HERE: }
      labels: {l: m}
      target: stage
      network: host
      cache_from: [c]
      no_cache: true
      no_cache_filter: [stage]
      pull: true
      shm_size: 1m
      extra_hosts: ["peer=10.0.0.1"]
      additional_contexts: {base: "service:base", near: ./near, far: "docker-image://x"}
      ssh: [default, "k=/key"]
      ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}
      entitlements: [network.host]
      privileged: true
      secrets: [file, {source: variable, target: other}]
secrets:
  file: {file: ./s}
  variable: {environment: KEY}
"""


def job_of(project: Project, service: str = "web") -> tuple[Job, Build]:
    job = next(job for job in plan(project) if job.services == (service,))
    assert job.build is not None
    return job, job.build


def test_every_key_of_a_build_becomes_an_option(load_text: Load) -> None:
    project = load_text(BUILD, environment={"KEY": "sesame"})
    job, build = job_of(project)
    folder = project.folder
    with buildx_arguments(job, build, project, build.dockerfile) as arguments:
        files = {word.partition(",src=")[0]: word.partition(",src=")[2] for word in arguments if ",src=" in word}
        secret = Path(files["id=other"])
        assert (secret.read_text(), oct(secret.stat().st_mode & 0o777)) == ("sesame", "0o600")
        assert files["id=file"] == f"{folder}/s"
    assert not secret.exists()
    assert " ".join(word for word in arguments if ",src=" not in word).split(" --") == [
        "--tag app-web",
        "platform linux/arm64",
        f"file {folder}/web/Own",
        "target stage",
        "network host",
        f"shm-size {1 << 20}",
        "build-arg A=b",
        "build-arg FROM_HERE",
        "label l=m",
        "cache-from c",
        "add-host peer=10.0.0.1",
        "build-context base=docker-image://app-base",
        f"build-context near={folder}/near",
        "build-context far=docker-image://x",
        "ssh default",
        "ssh k=/key",
        "ulimit nofile=5",
        "ulimit nproc=1:2",
        "allow network.host",
        "allow security.insecure",
        "no-cache-filter stage",
        "no-cache",
        "pull",
        "provenance=false",
        "secret",
        "secret",
        f" {folder}/web",
    ]


def test_a_secret_whose_variable_has_no_value_is_told(load_text: Load) -> None:
    project = load_text(BUILD)
    with (
        pytest.raises(BuildFailed, match=r"services\.web\.build\.secrets\[1\]: the variable KEY has no value here"),
        buildx_arguments(*job_of(project), project, None),
    ):
        pass


def test_the_dockerfile_of_an_address_is_inside_of_it(load_text: Load) -> None:
    project = load_text("services: {web: {build: {context: 'https://git.example/x.git', dockerfile: Own}}}")
    job, build = job_of(project)
    with buildx_arguments(job, build, project, build.dockerfile) as arguments:
        assert arguments[:6] == ["--tag", "app-web", "--file", "Own", "--provenance=false", "--"]


@pytest.mark.parametrize(
    ("build", "keys"),
    [
        ("{context: ., args: {A: b}, target: x}", []),
        ("{context: ., ssh: [default], ulimits: {x: 1}}", ["ssh", "ulimits"]),
    ],
)
def test_it_is_told_which_keys_only_buildx_knows(load_text: Load, build: str, keys: list[str]) -> None:
    assert keys_for_buildx(job_of(load_text(f"services: {{web: {{build: {build}}}}}"))[1]) == keys


def test_without_the_program_there_is_no_buildx(tmp_path: Path) -> None:
    assert find_buildx({"PATH": str(tmp_path)}, "unix:///nowhere") is None
