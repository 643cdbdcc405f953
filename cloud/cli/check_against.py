"""A project held against one device: its engine, its architecture, its owner's policy. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from broker.appspec import AppSpec
from broker.engine_limits import Limit, asked_later, left_out, network_left_out
from broker.policy import Denied, Grants, Policy
from cloud.cli.answers import Device
from compose.project import Project
from compose.refusals import Refusal

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386"}
_KEY = re.compile(r"[a-z_]+")


@dataclass(frozen=True)
class Target:
    """What is known of the device that a project is meant for; or, with only a policy, of any whose owner has that."""

    name: str = ""
    os: str = ""
    arch: str = ""
    engine: str = ""
    engine_version: str = ""
    api: str = ""
    policy: Policy | None = None
    registry: str = ""

    def plain(self) -> dict[str, Any]:
        """Return it for programs; what is not known is null."""
        engine = f"{self.engine} {self.engine_version}".strip()
        told = {"name": self.name, "os": self.os, "arch": self.arch, "engine": engine, "api": self.api}
        policy = None if self.policy is None else self.policy.model_dump(mode="json")
        return {key: value or None for key, value in told.items()} | {"policy": policy}


def target_of(device: Device, *, registry: str) -> Target:
    """Return what a device has told of itself."""
    host = device.host or {}
    return Target(
        name=device.name,
        os=str(host.get("os") or ""),
        arch=str(host.get("arch") or ""),
        engine=str(host.get("engine") or ""),
        engine_version=str(host.get("engine_version") or ""),
        api=str(host.get("engine_api") or ""),
        policy=_policy(device.policy),
        registry=registry,
    )


def _policy(told: Mapping[str, Any] | None) -> Policy | None:
    try:
        return None if told is None else Policy.model_validate(told)
    except ValidationError:  # of a worker that means something else by a row: then nothing is known
        return None


def machine_of(platform: str) -> str:
    """Return the processor that `linux/arm64` or `x86_64` stands for, as images name it."""
    machine = platform.split("/")[1] if "/" in platform else platform
    return _ARCHITECTURES.get(machine, machine)


def refused_by(target: Target, spec: AppSpec | None, project: Project, *, grants: Grants, here: str) -> list[Refusal]:
    """Return what the target refuses of a project, pushed from a machine whose own platform is `here`."""
    found = list(_for_another_machine(target, project, here))
    if spec is not None:
        if target.policy is not None:
            found += [
                Refusal(denied.path, f"{denied.what} (policy.{denied.row})")
                for denied in target.policy.denied(spec, grants, registry=target.registry)
            ]
        found += _too_much_for_the_engine(target, spec)
    return found


def _for_another_machine(target: Target, project: Project, here: str) -> Iterator[Refusal]:
    wanted = machine_of(target.arch)
    for name, service in project.services.items() if wanted else ():
        machine = machine_of(service.platform or here)
        if machine and machine != wanted:
            if service.platform:
                why = f"is refused: the image is for {machine}, and the device has {wanted}"
                yield Refusal(f"services.{name}.platform", why)
            else:
                why = f"is refused: the image would be for {machine}, and the device has {wanted}"
                yield Refusal(f"services.{name}.image", f"{why}; set platform: linux/{wanted}")


def _too_much_for_the_engine(target: Target, spec: AppSpec) -> Iterator[Refusal]:
    if not target.engine or not target.api:
        return
    for name, service in spec.services.items():
        for limit in left_out(service, target.engine, target.api):
            engine = f"{target.engine} {target.engine_version}".strip()
            yield Refusal(_path(name, limit), f"is refused: {limit.key} is not known to {engine}, API {target.api}")
    for name, network in spec.networks.items():
        for key in network_left_out(
            target.engine, pools=network.ranges, ipam_options=network.ipam_options, options=network.options
        ):
            yield Refusal(f"networks.{name}", f"is refused: {key.partition(': ')[2]} is not known to {target.engine}")


def needs(spec: AppSpec) -> list[Denied]:
    """Return what only some owners allow: all that is more than the default policy."""
    return Policy().denied(spec)


def engine_needs(spec: AppSpec) -> Iterator[tuple[str, str]]:
    """Yield (key, what it needs) for all that not every engine carries out."""
    for name, service in spec.services.items():
        for limit in asked_later(service):
            since = f"Engine API {limit.docker_from}" if limit.docker_from else ""
            yield _path(name, limit), " and ".join(filter(None, (since, "Docker" if limit.podman_cannot else "")))


def _path(service: str, limit: Limit) -> str:
    key = _KEY.match(limit.key)
    return f"services.{service}.{key[0] if key else limit.key}"
