"""Commands end to end: obeyed once, whatever is lost, repeated, forged, or ends in between."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from broker.channels import COMMAND
from broker.codec import open_sealed, seal
from broker.messages import Command
from broker.signing import Signatures, Signer
from device.engine.labels import DEVICE, SERVICE
from tests.harness.engine import docker_client
from tests.harness.intruder import Intruder, ref
from tests.harness.mqtt_proxy import MqttProxy, kinds, nothing
from tests.harness.stage import SETTLED, Stage

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


class Starts:
    """Counts how often containers of each service of a device are started, by the engine's own events.

    They are followed from the beginning: the engine remembers only its last 256.
    """

    def __init__(self, stage: Stage) -> None:
        self._client = docker_client()
        wanted = {"type": "container", "event": "start", "label": f"{DEVICE}={stage.device.id}"}
        self._events = self._client.events(filters=wanted, decode=True)
        self._seen: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._follow, name="starts", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        for event in self._events:
            self._seen[event["Actor"]["Attributes"][SERVICE]] += 1

    def count(self) -> Counter[str]:
        return Counter(self._seen)

    def close(self) -> None:
        self._events.close()
        self._client.close()


@pytest.fixture
def starts(stage: Stage) -> Iterator[Starts]:
    made = Starts(stage)
    yield made
    made.close()


def ask(stage: Stage, *words: str) -> str:
    """Ask for something without waiting; return the command's id."""
    return str(stage.cli(*words, "--no-wait")["commands"][0]["command"])


def command(stage: Stage, name: str) -> dict[str, Any]:
    return stage.api(f"/v1/commands/{name}")


def ended(stage: Stage, name: str) -> str:
    """Wait until a command has ended; return how."""
    stage.until(lambda: command(stage, name)["state"] not in ("waiting", "sent"), f"command {name} has ended")
    found = command(stage, name)
    return " ".join(filter(None, (found["state"], found["reason"])))


def quiet(stage: Stage) -> None:
    """Return when the device has worked off all that came before: commands are taken in their order."""
    assert ended(stage, ask(stage, "device", "resync", stage.device.id)) == "done"
    stage.until(lambda: stage.app_state() == "converged", "the app is converged")


def wait_briefly(moment: int, starts: Starts) -> None:
    """Let a little happen: nothing, the first container's start, both."""
    deadline = time.monotonic() + 10
    while sum(starts.count().values()) < moment and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_device_that_is_there_answers_at_once(stage: Stage) -> None:
    (answered,) = stage.cli("device", "resync", stage.device.id)["commands"]
    assert (answered["state"], answered["tries"]) == ("done", 1)


ONCE = Counter({"sensor": 1, "web": 1})


@pytest.mark.parametrize("kind", ["dn/command", "up/reply", "dn/sync"])
def test_a_restart_is_done_once_though_each_message_of_it_is_lost_for_a_while(
    stage: Stage, proxy: MqttProxy, starts: Starts, kind: str
) -> None:
    dropped = proxy.dropped[kind]
    proxy.drop = kinds(kind)
    name = ask(stage, "app", "restart", "hello", "--device", stage.device.id)
    stage.until(lambda: proxy.dropped[kind] >= dropped + 2, f"{kind} is dropped twice")
    proxy.drop = nothing
    assert ended(stage, name) == "done"
    stage.until(lambda: starts.count() == ONCE, "both services were started once")
    quiet(stage)
    assert starts.count() == ONCE


@pytest.mark.parametrize("kind", ["dn/command", "up/reply", "dn/sync"])
def test_a_restart_is_done_once_though_each_message_of_it_arrives_twice(
    stage: Stage, proxy: MqttProxy, starts: Starts, kind: str
) -> None:
    passed = proxy.passed[kind]
    proxy.twice = kinds(kind)
    name = ask(stage, "app", "restart", "hello", "--service", "web", "--device", stage.device.id)
    assert ended(stage, name) == "done"
    assert proxy.passed[kind] > passed
    stage.until(lambda: starts.count() == Counter(web=1), "the service was started once")
    quiet(stage)
    assert starts.count() == Counter(web=1)


def test_a_stopped_service_stays_stopped_until_it_is_started(stage: Stage) -> None:
    def states() -> dict[str, str]:
        return stage.device.containers()

    assert ended(stage, ask(stage, "app", "stop", "hello", "--service", "web", "--device", stage.device.id)) == "done"
    stage.until(lambda: states() == {"sensor": "healthy", "web": "exited"}, "the service is stopped")
    stage.device.process.kill()
    stage.device.process.start()
    quiet(stage)
    assert states() == {"sensor": "healthy", "web": "exited"}
    assert ended(stage, ask(stage, "app", "start", "hello", "--device", stage.device.id)) == "done"
    stage.until(lambda: states() == SETTLED, "the service runs again")


def test_what_cannot_be_done_is_told(stage: Stage) -> None:
    name = ask(stage, "app", "restart", "hello", "--service", "nothing", "--device", stage.device.id)
    assert ended(stage, name) == "failed failed"
    assert command(stage, name)["message"] == "hello has no service nothing"


def test_a_replayed_command_is_not_done_again(
    stage: Stage, proxy: MqttProxy, intruder: Intruder, starts: Starts
) -> None:
    proxy.kept = frozenset({"dn/command"})
    assert ended(stage, ask(stage, "app", "restart", "hello", "--device", stage.device.id)) == "done"
    captured = proxy.payloads["dn/command"][-1]
    proxy.kept = frozenset()
    stage.until(lambda: starts.count() == ONCE, "both services were started once")
    quiet(stage)
    for _ in range(3):
        intruder.send(COMMAND, captured)
    stage.device.link.cut()
    stage.until(lambda: not stage.show()["online"], "the cloud notices that the device is gone")
    stage.device.link.restore()
    stage.until(lambda: stage.show()["online"], "the device is there again")
    intruder.send(COMMAND, captured)  # on another connection than the one it is for
    quiet(stage)
    assert starts.count() == ONCE


def test_a_command_under_another_key_or_an_old_number_is_refused(
    stage: Stage, proxy: MqttProxy, intruder: Intruder, starts: Starts
) -> None:
    proxy.kept = frozenset({"dn/command"})
    quiet(stage)
    keys = {name: Signer((stage.cloud.state / "keys" / f"{name}.key").read_bytes()) for name in ("command", "desired")}
    trusted = Signatures((keys["command"].public,))
    genuine: Command = open_sealed(COMMAND, ref(stage), proxy.payloads["dn/command"][-1], trusted).message
    proxy.kept = frozenset()
    instance = stage.show()["status"]["instances"][0]["instance"]
    wanted = {"id": "c-forged", "verb": "app.restart", "args": {"instance": instance}, "ttl_s": 60}
    for key, counter, reason in (
        (Signer.generate(), genuine.counter + 1, "unknown_key"),
        (keys["desired"], genuine.counter + 1, "unknown_key"),
        (keys["command"], genuine.counter, "stale_command"),
    ):
        forged = genuine.model_copy(update={**wanted, "counter": counter})
        intruder.send(COMMAND, seal(COMMAND, ref(stage), forged, key))
        stage.until(
            lambda reason=reason: stage.condition("Refused.command").get("reason") == reason,  # type: ignore[misc]
            f"the refusal {reason} is reported",
        )
    quiet(stage)
    assert starts.count() == Counter()


@pytest.mark.parametrize("moment", range(3))
def test_a_worker_killed_after_it_took_a_command_does_not_do_it_twice(
    stage: Stage, starts: Starts, moment: int
) -> None:
    taken = stage.device.state / "ledger" / "command"
    name = ask(stage, "app", "restart", "hello", "--device", stage.device.id, "--wait-for", "1h")
    stage.until(lambda: name.encode() in taken.read_bytes(), "the command is taken")
    wait_briefly(moment, starts)
    stage.device.process.kill()
    stage.device.process.start()
    how = ended(stage, name)
    assert how in ("done", "failed interrupted")
    stage.until(lambda: stage.device.containers() == SETTLED, "both services are healthy")
    quiet(stage)
    done = starts.count()
    assert max(done.values(), default=0) <= 1, done
    assert how != "done" or done == ONCE


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
