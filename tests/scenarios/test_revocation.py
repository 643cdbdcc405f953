"""A device that is revoked: its session ends, no other begins, also none that resumes; others do not notice."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

from broker.channels import TRUST
from broker.errors import Refused
from broker.session import Session, SessionConfig
from broker.signing import Signer
from broker.tls import ResumingContext, client_context
from broker.transport import Endpoint, Publication
from device.cloud_client import CloudClient
from device.engine import labels
from examples.demo.world import Device
from tests.harness.engine import docker_client
from tests.harness.intruder import ref
from tests.harness.stage import SETTLED, Stage


class Heard:
    """What a session told."""

    def __init__(self) -> None:
        self.told: queue.Queue[str] = queue.Queue()

    def opening(self) -> Publication | None:
        return None

    def up(self, resumed: bool) -> None:
        self.told.put("up")

    def down(self, reason: str, *, taken_over: bool = False) -> None:
        self.told.put(f"down: {reason}")

    def message(self, topic: str, payload: bytes) -> None:
        if payload:
            self.told.put(topic)

    def next(self) -> str:
        return self.told.get(timeout=20)


class Thief:
    """Somebody with a copy of a device's keys, on a session of his own."""

    def __init__(self, stage: Stage, device: Device, *, topic: str) -> None:
        identity = device.state / "identity"
        self.context: ResumingContext = client_context(
            identity / "ca.crt", identity / "device.crt", identity / "device.key"
        )
        self._config = SessionConfig(
            (Endpoint("127.0.0.1", stage.cloud.broker_port),), ref(stage).cn, lambda: self.context, ((topic, 1),)
        )
        self.heard = Heard()
        self.session = Session(self._config, self.heard)

    def again(self) -> Heard:
        """Connect anew with the same TLS context, which offers the session it has kept."""
        self.session.stop()
        self.heard = Heard()
        self.session = Session(self._config, self.heard)
        self.session.start()
        return self.heard


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("r"))
    try:
        made.begin()
        made.cli("fleet", "create", "boats")
        boat = Device(made.folder / "d1", broker_port=made.cloud.broker_port, mark=made.mark)
        made.devices.append(boat)
        boat.enroll(made.cli("device", "enroll-token", "--fleet", "boats")["token"], name="pump-2")
        boat.process.start()
        yield made
    finally:
        made.end()


def test_a_revoked_device_is_put_out_and_does_not_get_in_again_not_by_a_resumed_session_either(stage: Stage) -> None:
    device = stage.device
    device.process.stop()
    thief = Thief(stage, device, topic=TRUST.topic(ref(stage)))
    thief.session.start()
    assert thief.heard.next() == "up"
    assert thief.heard.next() == TRUST.topic(ref(stage))  # what is retained
    heard = thief.again()
    assert heard.next() == "up"
    assert thief.context.resumed  # else what follows proves nothing
    assert heard.next() == TRUST.topic(ref(stage))

    stage.cli("device", "revoke", "pump-1")

    assert heard.next().startswith("down: ")
    heard = thief.again()
    assert [heard.next()[:5], heard.next()[:5]] == ["down:", "down:"]
    thief.session.stop()
    fresh = Thief(stage, device, topic=TRUST.topic(ref(stage)))
    fresh.session.start()
    assert fresh.heard.next().startswith("down: ")
    fresh.session.stop()


def test_the_revoked_device_gets_no_images_and_is_gone_from_the_list(stage: Stage) -> None:
    identity = stage.device.state / "identity"
    client = CloudClient(str(stage.cloud.facts["api"]), ca=identity / "ca.crt")
    with pytest.raises(Refused, match="no such device"):
        client.registry_token(ref(stage), Signer((identity / "identity.seed").read_bytes()), (f"{ref(stage).org}/a/b",))
    assert [one["name"] for one in stage.api("/v1/devices")["devices"]] == ["pump-2"]


def test_the_other_device_goes_on(stage: Stage) -> None:
    other = stage.devices[1]
    stage.until(lambda: stage.show(other)["online"], "the other device is there")
    other.link.cut()
    stage.until(lambda: not stage.show(other)["online"], "it is away")
    other.link.restore()
    stage.until(lambda: stage.show(other)["online"], "it comes back after the reload")


def test_a_revocation_outlives_a_restart_of_the_cloud(stage: Stage) -> None:
    stage.cloud.process.kill()
    stage.cloud.start()
    thief = Thief(stage, stage.device, topic=TRUST.topic(ref(stage)))
    thief.session.start()
    assert thief.heard.next().startswith("down: ")
    thief.session.stop()


def test_a_device_that_is_retired_wipes_itself_and_is_revoked_then(stage: Stage) -> None:
    other = stage.devices[1]
    stage.push()
    stage.cli("deploy", "hello", "--fleet", "boats")
    stage.until(lambda: other.containers() == SETTLED, "the app runs on the other device")
    label = f"{labels.DEVICE}={other.id}"
    client = docker_client()
    assert client.volumes(filters={"label": label})["Volumes"]
    stage.cli("device", "retire", "pump-2", "--wipe", "all")
    stage.until(lambda: stage.api("/v1/devices")["devices"] == [], "it has wiped itself and is revoked")
    assert not client.containers(all=True, filters={"label": label})
    assert not client.volumes(filters={"label": label})["Volumes"]
    client.close()
    stage.until(lambda: "not connected" in other.process.tail(40), "its session was ended")
