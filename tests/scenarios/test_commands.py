"""Commands end to end: obeyed once, whatever is lost, repeated, forged, or ends in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.intruder import Intruder
from tests.harness.mqtt_proxy import MqttProxy, kinds, nothing
from tests.harness.stage import Stage

PROXIED = True


@pytest.fixture(scope="module")
def intruder(stage: Stage) -> Iterator[Intruder]:
    made = Intruder(stage)
    yield made
    made.stop()


@pytest.fixture
def proxy(stage: Stage) -> Iterator[MqttProxy]:
    assert stage.proxy is not None
    yield stage.proxy
    stage.proxy.drop = stage.proxy.twice = nothing


def ask(stage: Stage, *words: str) -> str:
    """Ask for something without waiting; return the command's id."""
    return str(stage.cli(*words, "--no-wait")["commands"][0]["command"])


def command(stage: Stage, name: str) -> dict[str, Any]:
    return dict(stage.cli("command", "show", name))


def ended(stage: Stage, name: str) -> str:
    """Wait until a command has ended; return how."""
    stage.until(lambda: command(stage, name)["state"] not in ("waiting", "sent"), f"command {name} has ended")
    found = command(stage, name)
    return " ".join(filter(None, (found["state"], found["reason"])))


def test_a_device_that_is_there_answers_at_once(stage: Stage) -> None:
    (answered,) = stage.cli("device", "resync", stage.device.id)["commands"]
    assert (answered["state"], answered["tries"]) == ("done", 1)


@pytest.mark.parametrize("kind", ["dn/command", "up/reply", "dn/sync"])
def test_a_command_is_answered_though_each_message_of_it_is_lost_for_a_while(
    stage: Stage, proxy: MqttProxy, kind: str
) -> None:
    dropped = proxy.dropped[kind]
    proxy.drop = kinds(kind)
    name = ask(stage, "device", "resync", stage.device.id)
    stage.until(lambda: proxy.dropped[kind] >= dropped + 2, f"{kind} is dropped twice")
    proxy.drop = nothing
    assert ended(stage, name) == "done"


def test_a_command_for_an_absent_device_is_obeyed_when_it_comes(stage: Stage) -> None:
    stage.device.link.cut()
    stage.until(lambda: not stage.show()["online"], "the cloud notices that the device is gone")
    name = ask(stage, "device", "resync", stage.device.id, "--wait-for", "2h")
    assert command(stage, name)["state"] == "waiting"
    stage.cloud.process.kill()
    stage.cloud.start()
    assert command(stage, name)["state"] == "waiting"
    stage.device.link.restore()
    assert ended(stage, name) == "done"


def test_a_device_that_comes_too_late_does_not_get_the_command(stage: Stage, proxy: MqttProxy) -> None:
    stage.device.link.cut()
    stage.until(lambda: not stage.show()["online"], "the cloud notices that the device is gone")
    passed = proxy.passed["dn/command"]
    name = ask(stage, "device", "resync", stage.device.id, "--wait-for", "1s")
    assert ended(stage, name) == "expired unreached"
    stage.device.link.restore()
    stage.until(lambda: stage.show()["online"], "the device is there again")
    later = ask(stage, "device", "resync", stage.device.id)
    assert ended(stage, later) == "done"
    assert proxy.passed["dn/command"] == passed + 1
