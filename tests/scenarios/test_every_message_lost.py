"""No message kind is needed to arrive at any particular time: each is lost for a while, then half of all for long."""

from __future__ import annotations

import pytest

from tests.harness.mqtt_proxy import MqttProxy, kinds, nothing, share
from tests.harness.stage import Stage

PROXIED = True
KINDS = ["dn/desired", "dn/sync", "up/presence", "up/status", "up/batch", "up/progress", "dn/trust"]
SEED = 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_kind_that_never_arrives_for_a_while_holds_nothing_up_for_good(stage: Stage, kind: str) -> None:
    proxy = _proxy(stage)
    proxy.drop = kinds(kind)
    dropped = proxy.dropped[kind]
    if kind == "dn/trust":
        stage.device.link.cut()  # a trust document is sent when the device subscribes
        stage.device.link.restore()
    stage.deploy(greeting=kind.replace("/", "-"), image=kind)  # only of a new image there is progress
    stage.until(lambda: proxy.dropped[kind] > dropped, f"{kind} is dropped")
    written = stage.written()
    stage.until(lambda: stage.written() > written + 10, "the app goes on writing")
    proxy.drop = nothing
    stage.settle(kind.replace("/", "-"))


@pytest.mark.timeout(600)
def test_half_of_all_messages_lost_for_long_only_makes_it_slower(stage: Stage) -> None:
    proxy = _proxy(stage)
    proxy.drop = share(0.5, seed=SEED)
    for greeting in ("half-one", "half-two"):
        stage.deploy(greeting=greeting)
        stage.settle(greeting, timeout_s=200.0)
    assert sum(proxy.dropped.values()) > 20
    assert stage.audited().holds, "of all that was written while anything was lost, each sample is stored once"
    proxy.drop = nothing


def _proxy(stage: Stage) -> MqttProxy:
    assert stage.proxy is not None
    return stage.proxy
