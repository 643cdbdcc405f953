"""Two organisations on one cloud: neither sees the other's topics, images or API objects."""

from __future__ import annotations

import base64
import queue
import ssl
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from broker.channels import BATCH, DESIRED, STATUS, inbox_filter
from broker.enrollment import registry_token_proof
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.session import Session, SessionConfig
from broker.signing import Signer
from broker.tls import client_context
from broker.transport import Delivery, Endpoint, Publication
from device.cloud_client import CloudClient
from examples.demo.world import PASSWORD, Cli, Device
from tests.harness.stage import Stage


class Other:
    """The second organisation: its user, its command line, its device."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.acme = self._client("ann")
        answer = self.acme.post("/v1/orgs", json={"name": "rival", "user": "bob", "password": PASSWORD})
        assert answer.status_code < 300, answer.text
        self.org = str(answer.json()["org"])
        self.api = self._client("bob")
        self.cli = Cli(stage.folder / "home-bob", mark=stage.mark)
        self.cli.login(stage.cloud, user="bob")
        self.device: Device = stage.add_device(
            stage.folder / "d1", broker_port=stage.cloud.broker_port, cli=self.cli, name="spy"
        )

    def _client(self, user: str) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.stage.cloud.state / "pki" / "servers.crt"))
        client = httpx.Client(base_url=str(self.stage.cloud.facts["api"]), verify=context, timeout=30)
        token = client.post("/v1/login", json={"user": user, "password": PASSWORD}).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        return client

    @property
    def ref(self) -> DeviceRef:
        return DeviceRef(self.org, self.device.id)


@pytest.fixture(scope="module")
def other(stage: Stage) -> Iterator[Other]:
    made = Other(stage)
    yield made
    made.acme.close()
    made.api.close()


def acme_ref(stage: Stage) -> DeviceRef:
    return DeviceRef(stage.device.identity["org"], stage.device.id)


def acme_image(other: Other) -> dict[str, Any]:
    """Return an image of the first organisation as it lies in the registry."""
    services = other.acme.get("/v1/apps/hello/releases/latest").json()["spec"]["services"]
    image: dict[str, Any] = services["sensor"]["image"]
    return image


def test_lists_show_nothing_of_the_other_organisation(stage: Stage, other: Other) -> None:
    assert [app["name"] for app in other.api.get("/v1/apps").json()["apps"]] == []
    assert [device["name"] for device in other.api.get("/v1/devices").json()["devices"]] == ["spy"]
    assert [device["name"] for device in other.acme.get("/v1/devices").json()["devices"]] == ["pump-1"]
    deployments = other.api.get("/v1/deployments").json()
    assert not (deployments["deployments"] if isinstance(deployments, dict) else deployments)


def test_knowing_an_id_or_a_name_opens_nothing(stage: Stage, other: Other) -> None:
    deployments = other.acme.get("/v1/deployments").json()
    listed = deployments["deployments"] if isinstance(deployments, dict) else deployments
    release = stage.cli("app", "show", "hello")["releases"][0]["release"]
    for path in (
        f"/v1/devices/{stage.device.id}",
        "/v1/devices/pump-1",
        "/v1/apps/hello",
        f"/v1/apps/hello/releases/{release}",
        f"/v1/deployments/{listed[0]['deployment']}",
    ):
        assert other.acme.get(path).status_code == 200, path
        assert other.api.get(path).status_code == 404, path
    assert other.api.get("/v1/telemetry", params={"device": stage.device.id}).status_code in (200, 404)
    assert not other.api.get("/v1/telemetry").json()["samples"]
    assert not other.api.get("/v1/logs").json()["lines"]
    assert other.api.post("/v1/deployments", json={"app": "hello", "release": "latest"}).status_code == 404
    assert other.api.delete("/v1/apps/hello").status_code == 404


def test_an_ordinary_user_cannot_make_organisations(other: Other) -> None:
    answer = other.api.post("/v1/orgs", json={"name": "third", "user": "carl", "password": PASSWORD})
    assert answer.status_code == 403


def test_a_user_gets_no_token_for_the_other_organisations_images(stage: Stage, other: Other) -> None:
    image = acme_image(other)
    body = {"repositories": [image["repository"]], "actions": ["pull"]}
    assert other.acme.post("/v1/registry/token", json=body).status_code == 200
    assert other.api.post("/v1/registry/token", json=body).status_code in (403, 404)


def test_a_device_gets_no_token_for_the_other_organisations_images(stage: Stage, other: Other) -> None:
    image = acme_image(other)
    identity = other.device.state / "identity"
    client = CloudClient(str(stage.cloud.facts["api"]), ca=identity / "ca.crt")
    signer = Signer((identity / "identity.seed").read_bytes())
    with pytest.raises(Refused):
        client.registry_token(other.ref, signer, (image["repository"],))
    with pytest.raises(Refused):
        client.registry_token(acme_ref(stage), signer, (image["repository"],))


def test_knowing_a_digest_is_not_access_to_the_image(stage: Stage, other: Other) -> None:
    image = acme_image(other)
    registry = f"http://{stage.cloud.facts['registry']}"
    path = f"{registry}/v2/{image['repository']}/manifests/{image['digest']}"
    accept = "application/vnd.docker.distribution.manifest.v2+json"
    own = f"{other.org}/aaaaaaaaaaaaa/x"
    allowed = other.acme.post(
        "/v1/registry/token", json={"repositories": [image["repository"]], "actions": ["pull"]}
    ).json()["token"]
    foreign = other.api.post("/v1/registry/token", json={"repositories": [own], "actions": ["pull", "push"]})
    headers = {"Accept": accept}
    assert httpx.get(path, headers=headers | {"Authorization": f"Bearer {allowed}"}).status_code == 200
    assert httpx.get(path, headers=headers).status_code == 401
    if foreign.status_code == 200:
        token = foreign.json()["token"]
        assert httpx.get(path, headers=headers | {"Authorization": f"Bearer {token}"}).status_code == 401


def test_a_nonce_is_signed_for_one_request_only(stage: Stage, other: Other) -> None:
    nonce = other.api.get("/v1/device/nonce").json()["nonce"]
    signer = Signer((other.device.state / "identity" / "identity.seed").read_bytes())
    proof = signer.prove(registry_token_proof(nonce, (f"{other.org}/a/b",)))
    body = {
        "org": other.org,
        "device": other.device.id,
        "nonce": nonce,
        "repositories": [f"{other.org}/a/c"],
        "signature": base64.b64encode(proof).decode(),
    }
    assert other.api.post("/v1/device/registry-token", json=body).status_code in (401, 403)


def test_a_device_hears_nothing_of_the_other_organisations_topics_and_may_not_write_there(
    stage: Stage, other: Other
) -> None:
    heard: queue.Queue[str] = queue.Queue()
    ups: queue.Queue[bool] = queue.Queue()

    class Events:
        def opening(self) -> None:
            return None

        def up(self, resumed: bool) -> None:
            ups.put(resumed)

        def down(self, reason: str, *, taken_over: bool = False) -> None:
            return

        def message(self, topic: str, payload: bytes) -> None:
            heard.put(topic)

    other.device.process.stop()
    identity = other.device.state / "identity"
    theirs = acme_ref(stage)
    config = SessionConfig(
        (Endpoint("127.0.0.1", stage.cloud.broker_port),),
        other.ref.cn,
        lambda: client_context(identity / "ca.crt", identity / "device.crt", identity / "device.key"),
        (("#", 1), ("sk/1/#", 1), (DESIRED.topic(theirs), 1), (inbox_filter(theirs), 1)),
    )
    session = Session(config, Events())
    session.start()
    ups.get(timeout=20)
    answers: dict[str, Delivery] = {}
    for topic in (STATUS.topic(theirs), BATCH.topic(theirs), DESIRED.topic(theirs), DESIRED.topic(other.ref)):
        assert session.publish(Publication(topic, b"x", 1, retain=True), partial(answers.__setitem__, topic))
    stage.until(lambda: len(answers) == 4, "every publication is answered")
    assert set(answers.values()) == {Delivery.DENIED}
    stored = stage.stored()
    stage.until(lambda: stage.stored() > stored, "the other device's samples pass through the broker")
    stage.deploy_and_settle(greeting="quiet")
    topics = [heard.get_nowait() for _ in range(heard.qsize())]
    assert [topic for topic in topics if theirs.device in topic] == []
    session.stop()
