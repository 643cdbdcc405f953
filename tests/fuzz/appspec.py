"""Fuzz the AppSpec: damaged specs are refused, and what is not refused can be planned and told to an engine."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgpack

from broker import channels
from broker.codec import open_sealed, seal_payload
from broker.messages import AppSection, DesiredState
from broker.policy import Policy
from device.engine.docker_spec import container_options, host_options
from device.engine.port import Observed
from device.reconcile.plan import plan
from device.reconcile.wanted import wanted
from tests.fuzz.fuzzing import changed, main
from tests.harness.apps import PLACE
from tests.wire.examples import DESIRED, DEVICE, EXAMPLES, ONLINE

SPECS = tuple(
    section.spec.model_dump(mode="json")
    for example in EXAMPLES
    if isinstance(example.message, DesiredState)
    for section in example.message.apps
)

TRUSTED = next(example.verifier for example in EXAMPLES if example.channel is channels.DESIRED)


def make(random: Random) -> Any:
    spec: Any = random.choice(SPECS)
    for _ in range(random.choice((1, 1, 2, 4))):
        spec = changed(random, spec)
    return spec


def attempt(spec: Any) -> None:
    """Let a spec travel as devices get it, and go with it as far as what an engine is told."""
    bare: dict[str, Any] = DESIRED.model_dump(exclude_none=True)
    bare["apps"] = [bare["apps"][0] | {"spec": spec}]
    sealed = seal_payload(channels.DESIRED, DEVICE, msgpack.packb(bare), ONLINE)
    message: DesiredState = open_sealed(channels.DESIRED, DEVICE, sealed, TRUSTED).message
    section: AppSection = message.apps[0]
    assert section.spec.digest.startswith("sha256:")
    assert all(objection.isprintable() or objection for objection in Policy().objections(section.spec))
    app = wanted(section, PLACE)
    plan(app, Observed()).lines()
    for container in app.containers.values():
        assert json.dumps([host_options(container), container_options(container)])


if __name__ == "__main__":
    main(make, attempt)
