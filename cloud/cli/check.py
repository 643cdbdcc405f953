"""`skerry app check`: a Compose project held against a device, a policy, or what holds for all devices."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import typer

from broker.errors import Refused
from broker.policy import Grants, Policy, policy_of
from cloud.cli import answers
from cloud.cli.check_against import Target, refused_by, target_of
from cloud.cli.check_text import Checked
from cloud.cli.connect import connected
from cloud.cli.granting import granted
from cloud.cli.project_files import chosen_files
from cloud.cli.projects import load_project
from cloud.cli.surroundings import around
from compose.locate import documents_of
from compose.refusals import verdict

PLATFORM = "DOCKER_DEFAULT_PLATFORM"  # what other Compose tools read as well


@dataclass(frozen=True)
class Asked:
    """What a command line asks to be checked, and against what."""

    files: tuple[Path, ...] = ()
    env_files: tuple[Path, ...] = ()
    profiles: tuple[str, ...] = ()
    name: str | None = None
    device: str | None = None
    policy: Path | None = None
    grants: tuple[str, ...] = ()


def checked(context: typer.Context, asked: Asked) -> Checked:
    """Return what would become of the project."""
    here = around(context)
    grants = Grants.model_validate(granted(asked.grants))
    policy = None if asked.policy is None else read_policy(asked.policy)
    project = load_project(
        asked.files,
        environment=here.variables,
        env_files=asked.env_files,
        profiles=asked.profiles,
        name=asked.name,
    )
    target = _target(context, asked, policy)
    platform = here.variables.get(PLATFORM, "")
    found = verdict(project, platform=platform)
    there = (
        refused_by(target, found.spec, project, grants=grants, here=platform or here.machine)
        if target is not None
        else ()
    )
    documents = documents_of(chosen_files(asked.files, here.variables), project.folder)
    return Checked(project, found, documents, target, tuple(there))


def _target(context: typer.Context, asked: Asked, policy: Policy | None) -> Target | None:
    if asked.device is None:
        return None if policy is None else Target(policy=policy)
    with connected(context) as client:
        device = client.get(f"/v1/devices/{quote(asked.device, safe='')}", answers.Device)
        registry = client.get("/v1/me", answers.Me).registry
    target = target_of(device, registry=registry)
    return target if policy is None else replace(target, policy=policy)


def read_policy(path: Path) -> Policy:
    """Return the policy of a device.toml; raise `Refused` (`bad_policy`) by the name of what is wrong."""
    try:
        settings = tomllib.loads(path.read_text())
    except OSError as error:
        raise Refused("bad_policy", f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Refused("bad_policy", f"{path}: {error}") from error
    return policy_of(settings.get("policy", {}))
