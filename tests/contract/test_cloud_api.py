"""The HTTP API over SQLite: what it answers, what it refuses, and that two organisations cannot see each other."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from argon2 import PasswordHasher
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from nacl.signing import SigningKey
from sqlalchemy import update

from broker.appspec import AppSpec, Image
from broker.channels import DESIRED, STATUS, TRUST
from broker.clock import SystemClock
from broker.codec import open_sealed, seal
from broker.enrollment import EnrollResponse, parse_token, registry_token_proof
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import Batch, Birth, Conn, Generation, Instant, LinkPolicy, Status
from broker.payloads import LINES, SAMPLES, Line, Sample, pack_lines, pack_samples
from broker.policy import Policy
from broker.policy_rows import Rows
from broker.signing import MacKey, Signatures
from cloud import deploying, founding, keys, pki, registry
from cloud.api.app import BODY_BYTES_MAX, create_app
from cloud.api.context import Context, Notices
from cloud.config import Folder, Ports, Settings
from cloud.issuing import Issuer
from cloud.keys import Keys
from cloud.live import Feed
from cloud.passwords import Passwords
from cloud.pki import Pki
from cloud.registry import RegistryTokens
from cloud.store import batches, desired, gaps, meta, presence, schema
from cloud.store.migrate import migrate
from cloud.throttle import Throttle
from cloud.vault import Vault
from tests.harness.databases import database

pytestmark = pytest.mark.usefixtures("database_kind")

PASSWORD = "correct horse"
PRESENT, ABSENT = "sha256:" + "a" * 64, "sha256:" + "b" * 64
NOW = dt.datetime.now(dt.UTC)


class Images:
    """A registry that has every image of one digest."""

    def completed(self, spec: AppSpec, *, now_s: int) -> AppSpec:
        if any(service.image.digest != PRESENT for service in spec.services.values()):
            raise Refused("missing_image", "it was not pushed")
        return spec

    def layers(self, image: Image, *, now_s: int) -> dict[str, int]:
        return {"sha256:" + "1" * 64: 1000, "sha256:" + "2" * 64: 200}

    def answers(self) -> bool:
        return True


class Client:
    """Requests to the application without a network between."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def request(self, method: str, path: str, **parts: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, **parts))

    def get(self, path: str, **parts: Any) -> httpx.Response:
        return self.request("GET", path, **parts)

    def post(self, path: str, **parts: Any) -> httpx.Response:
        return self.request("POST", path, **parts)

    async def _request(self, method: str, path: str, **parts: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://cloud") as client:
            return await client.request(method, path, **parts)


class Cloud:
    """The application over a fresh database with the system organisation `main` and its user `ann`."""

    def __init__(self, folder: Folder) -> None:
        folder.make()
        keys.make(folder.keys)
        pki.make(folder.pki, now=NOW)
        self.database = database(folder.database)
        migrate(self.database)
        passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        with self.database.write() as tx:
            meta.create(tx, store="s-1", era=keys.ERA)
            founding.found(tx, name="main", user="ann", password=passwords.hash(PASSWORD), system=True, now_ms=1)
        self.keys: Keys = keys.load(folder.keys)
        self.pki = Pki(folder.pki)
        vault = Vault(self.keys.vault)
        self.enrolled: list[DeviceRef] = []
        self.reported: list[DeviceRef] = []
        self.context = Context(
            settings=Settings(folder, "127.0.0.1", Ports(api=1, broker=2, services=3, registry=4), 300),
            database=self.database,
            keys=self.keys,
            pki=self.pki,
            issuer=Issuer(self.keys.desired, vault, era=keys.ERA, store="s-1"),
            vault=vault,
            images=Images(),
            release_images=Images(),
            registry_tokens=RegistryTokens(pki.load_key(self.pki.key("registry-token"))),
            feed=Feed(first_id=0),
            passwords=passwords,
            logins=Throttle(20),
            commands=Throttle(20),
            notices=Notices(
                lambda: None, lambda: None, lambda: None, self.enrolled.append, self.reported.append, lambda: True
            ),
            clock=SystemClock(),
            store="s-1",
            version="0",
        )
        self.client = Client(create_app(self.context))

    def login(self, user: str = "ann") -> User:
        answer = self.client.post("/v1/login", json={"user": user, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return User(self, answer.json()["token"], answer.json()["org"])

    def other(self) -> User:
        """Return a user of another organisation."""
        made = self.login().post("/v1/orgs", name="other", user="bob", password=PASSWORD)
        assert made.status_code == 201, made.text
        return self.login("bob")


class User:
    """Requests with a token."""

    def __init__(self, cloud: Cloud, token: str, org: str) -> None:
        self.cloud = cloud
        self.org = org
        self.token = token
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> Any:
        return self.cloud.client.get(path, headers=self.headers)

    def post(self, path: str, **body: Any) -> Any:
        return self.cloud.client.post(path, headers=self.headers, json=body)

    def patch(self, path: str, **body: Any) -> Any:
        return self.cloud.client.request("PATCH", path, headers=self.headers, json=body)

    def put(self, path: str, **body: Any) -> Any:
        return self.cloud.client.request("PUT", path, headers=self.headers, json=body)

    def delete(self, path: str) -> Any:
        return self.cloud.client.request("DELETE", path, headers=self.headers)

    def app(self, name: str = "web") -> str:
        """Make an app with one release; return its namespace."""
        namespace = str(self.post("/v1/apps", name=name).json()["namespace"])
        pushed = self.post(f"/v1/apps/{name}/releases", spec=spec(f"{namespace}/web"), version="1")
        assert pushed.status_code == 201, pushed.text
        return namespace


class Joining:
    """A device that is about to enroll."""

    def __init__(self, name: str | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.identity = SigningKey.generate()
        self.name = name

    def csr(self) -> x509.CertificateSigningRequest:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "svc.publisher")])
        return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(self.key, hashes.SHA256())

    def body(self, secret: str) -> dict[str, Any]:
        return {
            "secret": secret,
            "csr": self.csr().public_bytes(serialization.Encoding.PEM).decode(),
            "identity_key": base64.b64encode(bytes(self.identity.verify_key)).decode(),
            "name": self.name,
        }

    def enroll(self, user: User) -> EnrollResponse:
        secret = parse_token(user.post("/v1/enroll-tokens").json()["token"]).secret
        answer = user.cloud.client.post("/v1/enroll", json=self.body(secret))
        assert answer.status_code == 200, answer.text
        return EnrollResponse.model_validate(answer.json())


def spec(repository: str, digest: str = PRESENT) -> dict[str, Any]:
    return {"name": "web", "services": {"web": {"image": {"repository": repository, "digest": digest}}}}


def reason(answer: Any) -> tuple[int, str]:
    """Return status and reason, having checked that the error has the one shape."""
    error = answer.json()["error"]
    assert set(error) == {"reason", "message", "hint"}
    assert "\n" not in error["message"]
    return answer.status_code, error["reason"]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(Folder(tmp_path / "state"))
    yield made
    made.database.close()


def test_anyone_may_ask_for_health_and_for_the_authority(cloud: Cloud) -> None:
    assert cloud.client.get("/v1/health").json()["store"] == "s-1"
    assert cloud.client.get("/v1/ca").text == cloud.pki.servers.pem


def test_a_login_gives_a_token_that_a_logout_ends(cloud: Cloud) -> None:
    user = cloud.login()
    assert user.get("/v1/me").json()["org"] == user.org
    assert user.post("/v1/logout").status_code == 204
    assert reason(user.get("/v1/me")) == (401, "not_logged_in")


@pytest.mark.parametrize("user", ["ann", "nobody"])
def test_a_wrong_password_and_an_unknown_user_look_the_same(cloud: Cloud, user: str) -> None:
    answer = cloud.client.post("/v1/login", json={"user": user, "password": "wrong"})
    assert reason(answer) == (401, "wrong_password")


def test_guessing_passwords_is_slowed_down(cloud: Cloud) -> None:
    tries = [cloud.client.post("/v1/login", json={"user": "ann", "password": "wrong"}) for _ in range(25)]
    assert reason(tries[-1]) == (429, "too_many_logins")


@pytest.mark.parametrize(
    "path", ["/v1/me", "/v1/devices", "/v1/apps", "/v1/deployments", "/v1/events", "/v1/telemetry", "/v1/logs"]
)
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer nonsense", "Basic x", "Bearer " + "a" * 5000])
def test_nothing_is_told_without_a_login(cloud: Cloud, path: str, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    assert reason(cloud.client.get(path, headers=headers)) == (401, "not_logged_in")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/apps", {}),
        ("POST", "/v1/apps", {"name": "Bad Name"}),
        ("POST", "/v1/apps", {"name": 7}),
        ("POST", "/v1/apps", []),
        ("POST", "/v1/fleets", {"name": "x" * 64}),
        ("POST", "/v1/enroll-tokens", {"uses": 0}),
        ("POST", "/v1/enroll-tokens", {"ttl_s": 10**12}),
        ("POST", "/v1/deployments", {"app": "web", "variables": {"A B": "x"}}),
        ("POST", "/v1/deployments", {"app": "web", "variables": {"A": "x\0"}}),
        ("POST", "/v1/registry/token", {"repositories": []}),
        ("POST", "/v1/registry/token", {"repositories": ["x/y"], "actions": ["delete"]}),
        ("GET", "/v1/telemetry?limit=0", None),
        ("GET", "/v1/telemetry?limit=x", None),
        ("GET", "/v1/events?since=x", None),
    ],
)
def test_bad_input_is_refused_in_one_line(cloud: Cloud, method: str, path: str, body: object) -> None:
    user = cloud.login()
    answer = cloud.client.request(method, path, headers=user.headers, json=body)
    assert reason(answer) == (422, "invalid")


def test_other_refusals_have_the_same_shape(cloud: Cloud) -> None:
    user = cloud.login()
    assert reason(user.get("/v1/nothing")) == (404, "not_found")
    assert reason(cloud.client.request("PUT", "/v1/apps", headers=user.headers)) == (405, "method_not_allowed")
    assert reason(user.get("/v1/telemetry?after=x")) == (422, "bad_cursor")
    assert reason(user.get("/v1/telemetry?device=nobody")) == (404, "not_found")
    assert reason(user.delete("/v1/devices/x")) == (404, "not_found")
    assert reason(cloud.client.post("/v1/device/exchange")) == (501, "not_supported")
    large = cloud.client.post("/v1/apps", headers=user.headers, content=b" " * (BODY_BYTES_MAX + 1))
    assert reason(large) == (413, "too_large")
    assert reason(cloud.client.post("/v1/apps", headers=user.headers, content=b"{")) == (422, "invalid")


def test_a_bug_is_answered_with_a_plain_sentence(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object) -> None:
        raise ZeroDivisionError("secret detail")

    user = cloud.login()
    monkeypatch.setattr("cloud.api.devices.device_view.of_org", broken)
    answer = user.get("/v1/devices")
    assert reason(answer) == (500, "bug")
    assert "secret" not in answer.text


def test_no_page_of_ours_loads_scripts_from_elsewhere(cloud: Cloud) -> None:
    assert reason(cloud.client.get("/docs")) == (404, "not_found")
    assert cloud.client.get("/openapi.json").json()["info"]["title"] == "Skerry"


def test_a_device_enrolls_and_gets_a_certificate_with_a_name_of_ours(cloud: Cloud) -> None:
    user, joining = cloud.login(), Joining("pump")
    answer = joining.enroll(user)
    ref = DeviceRef(answer.org, answer.device)
    certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
    names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    assert names == [ref.cn]
    certificate.verify_directly_issued_by(cloud.pki.devices.certificate)
    root = Signatures((base64.b64decode(answer.root_key),))
    assert open_sealed(TRUST, ref, base64.b64decode(answer.trust), root).message.version == 1
    assert cloud.enrolled == [ref]
    assert user.get("/v1/devices/pump").json()["device"] == answer.device


def test_a_token_enrolls_as_often_as_it_says_and_the_same_device_again(cloud: Cloud) -> None:
    user, joining = cloud.login(), Joining()
    secret = parse_token(user.post("/v1/enroll-tokens", uses=1).json()["token"]).secret
    answers = [cloud.client.post("/v1/enroll", json=joining.body(secret)).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert reason(cloud.client.post("/v1/enroll", json=Joining().body(secret))) == (403, "token_used")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"csr": "-----BEGIN NONSENSE"}, "bad_csr"),
        ({"identity_key": "AAAA"}, "bad_identity_key"),
        ({"secret": "wrong"}, "token_used"),
        ({"name": "Bad Name"}, "invalid"),
    ],
)
def test_a_bad_enrollment_uses_nothing_up(cloud: Cloud, change: dict[str, Any], expected: str) -> None:
    user, joining = cloud.login(), Joining()
    secret = parse_token(user.post("/v1/enroll-tokens").json()["token"]).secret
    assert reason(cloud.client.post("/v1/enroll", json=joining.body(secret) | change))[1] == expected
    assert cloud.client.post("/v1/enroll", json=joining.body(secret)).status_code == 200


def test_a_request_signed_by_another_key_is_refused(cloud: Cloud) -> None:
    joining = Joining()
    der = bytearray(joining.csr().public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    pem = "-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(bytes(der)).decode()
    user = cloud.login()
    secret = parse_token(user.post("/v1/enroll-tokens").json()["token"]).secret
    body = joining.body(secret) | {"csr": pem + "-----END CERTIFICATE REQUEST-----\n"}
    assert reason(cloud.client.post("/v1/enroll", json=body)) == (422, "bad_csr")


def test_a_device_proves_itself_for_images_of_its_organisation_alone(cloud: Cloud) -> None:
    user, joining = cloud.login(), Joining()
    device = joining.enroll(user)

    def ask(repository: str, *, signed: str | None = None, nonce: str | None = None) -> Any:
        fresh = nonce or cloud.client.get("/v1/device/nonce").json()["nonce"]
        proof = joining.identity.sign(registry_token_proof(fresh, (signed or repository,))).signature
        body = {
            "org": device.org,
            "device": device.device,
            "nonce": fresh,
            "repositories": [repository],
            "signature": base64.b64encode(proof).decode(),
        }
        return cloud.client.post("/v1/device/registry-token", json=body)

    granted = ask(f"{device.org}/a/web").json()
    assert granted["expires_s"] == registry.DEVICE_S
    claims = jwt.decode(granted["token"], options={"verify_signature": False})
    assert claims["access"] == [{"type": "repository", "name": f"{device.org}/a/web", "actions": ["pull"]}]
    assert reason(ask("o" + "z" * 11 + "/a/web")) == (403, "forbidden")
    assert reason(ask(f"{device.org}/a/web", signed=f"{device.org}/b/web")) == (401, "bad_proof")
    assert reason(ask(f"{device.org}/a/web", nonce="1.2.3")) == (401, "bad_proof")


def test_a_release_needs_its_images_inside_the_apps_namespace(cloud: Cloud) -> None:
    user = cloud.login()
    namespace = user.post("/v1/apps", name="web").json()["namespace"]

    def push(repository: str, digest: str = PRESENT) -> Any:
        return user.post("/v1/apps/web/releases", spec=spec(repository, digest))

    assert reason(push(f"{namespace}/web", ABSENT)) == (422, "missing_image")
    assert reason(push("elsewhere/web")) == (422, "missing_image")
    assert reason(push(f"{namespace}x/web")) == (422, "missing_image")
    first = push(f"{namespace}/web").json()
    assert (first["created"], push(f"{namespace}/web").json()["created"]) == (True, False)
    unknown = spec(f"{namespace}/web") | {"surprise": 1}
    assert reason(user.post("/v1/apps/web/releases", spec=unknown)) == (422, "invalid")
    for name in (first["release"], first["version"], "latest"):
        assert user.get(f"/v1/apps/web/releases/{name}").json()["release"] == first["release"]
    assert reason(user.get("/v1/apps/web/releases/none")) == (404, "not_found")


def test_a_deployment_reaches_each_device_of_its_fleet_and_one_that_joins_later(cloud: Cloud) -> None:
    user = cloud.login()
    first = Joining("first").enroll(user)
    user.app()
    deployed = user.post("/v1/deployments", app="web", variables={"A": "1"}).json()
    assert [(device["name"], device["generation"]) for device in deployed["devices"]] == [("first", 1)]
    found = user.get(f"/v1/deployments/{deployed['deployment']}").json()
    assert [(device["device"], device["state"]) for device in found["devices"]] == [(first.device, "pending")]
    later = Joining("later").enroll(user)
    with cloud.database.read() as tx:
        row = desired.newest(tx, later.device)
    assert row is not None
    ref = DeviceRef(later.org, later.device)
    apps = open_sealed(DESIRED, ref, row.envelope, cloud.keys.desired_verifier).message.apps
    assert [(app.name, app.variables) for app in apps] == [("web", {"A": "1"})]


def test_link_settings_travel_signed_and_a_devices_own_go_before_its_fleets(cloud: Cloud) -> None:
    user = cloud.login()
    enrolled = Joining("pump").enroll(user)
    ref = DeviceRef(enrolled.org, enrolled.device)
    user.app()
    user.post("/v1/deployments", app="web")

    def issued() -> LinkPolicy | None:
        with cloud.database.write() as tx:
            deploying.issue_page(tx, cloud.context.issuer, now_ms=1)
            row = desired.newest(tx, ref.device)
        assert row is not None
        found: LinkPolicy | None = open_sealed(DESIRED, ref, row.envelope, cloud.keys.desired_verifier).message.link
        return found

    assert issued() is None
    changed = user.patch("/v1/fleets/default/link", mirrors=["http://10.0.0.9:5080"], bytes_per_day=1000)
    assert changed.json() == {
        "fleet": "default", "link": {"mirrors": ["http://10.0.0.9:5080"], "bytes_per_day": 1000}
    }  # fmt: skip
    assert issued() == LinkPolicy(mirrors=("http://10.0.0.9:5080",), bytes_per_day=1000)
    user.patch("/v1/devices/pump/link", bytes_per_day=5)
    assert issued() == LinkPolicy(mirrors=("http://10.0.0.9:5080",), bytes_per_day=5)
    assert user.get("/v1/devices/pump/link").json()["holds"]["bytes_per_day"] == 5
    user.patch("/v1/devices/pump/link", bytes_per_day=None)
    user.patch("/v1/fleets/default/link", mirrors=None, bytes_per_day=None)
    assert user.get("/v1/fleets/default/link").json()["link"] == {}
    assert issued() is None


@pytest.mark.parametrize(
    "settings",
    [{"mirrors": ["file:///etc"]}, {"mirrors": ["http://a?b"]}, {"hours": [[0, 25]]}, {"bytes_per_day": -1}, {"x": 1}],
)
def test_link_settings_that_make_no_sense_are_refused(cloud: Cloud, settings: dict[str, Any]) -> None:
    user = cloud.login()
    assert user.patch("/v1/fleets/default/link", **settings).status_code == 422
    assert user.get("/v1/fleets/default/link").json()["link"] == {}


def test_what_does_not_fit_into_a_message_is_refused_as_a_whole(cloud: Cloud) -> None:
    user = cloud.login()
    Joining("pump").enroll(user)
    user.app()
    noise = {f"V{n}": hashlib.shake_256(bytes([n])).hexdigest(15_000) for n in range(4)}
    assert reason(user.post("/v1/deployments", app="web", variables=noise)) == (422, "desired_too_large")
    assert user.get("/v1/devices/pump").json()["desired"] is None
    assert user.get("/v1/deployments").json() == {"deployments": []}
    assert user.get("/v1/apps/web").json()["instances"] == []


def test_a_deployed_app_is_deleted_only_with_force_and_then_also_from_devices(cloud: Cloud) -> None:
    user = cloud.login()
    Joining("pump").enroll(user)
    user.app()
    user.post("/v1/deployments", app="web")
    assert reason(user.delete("/v1/apps/web")) == (409, "app_deployed")
    assert user.delete("/v1/apps/web?force=true").status_code == 204
    assert user.get("/v1/devices/pump").json()["desired"]["generation"] == 2
    assert reason(user.get("/v1/apps/web")) == (404, "not_found")
    assert user.app()  # the name is free again, under another id


def test_docker_asks_for_tokens_in_its_own_way(cloud: Cloud) -> None:
    user = cloud.login()
    scope = f"repository:{user.org}/web:pull,push repository:{'o' + 'z' * 11}/web:pull"
    for credentials in (("ann", PASSWORD), ("token", user.token)):
        answer = cloud.client.get("/token", params={"service": "x", "scope": scope}, auth=credentials)
        claims = jwt.decode(answer.json()["token"], options={"verify_signature": False})
        assert [grant["name"] for grant in claims["access"]] == [f"{user.org}/web"]
    refused = cloud.client.get("/token", params={"scope": scope}, auth=("ann", "wrong"))
    assert reason(refused) == (401, "wrong_password")


def test_an_engine_without_bearer_tokens_shows_a_registry_token_as_its_password(cloud: Cloud) -> None:
    user = cloud.login()
    mine = user.post("/v1/registry/token", repositories=[f"{user.org}/web"]).json()["token"]
    scope = f"repository:{user.org}/web:pull"
    answer = cloud.client.get("/token", params={"scope": scope}, auth=("registry-token", mine)).json()
    assert answer["token"] == mine
    assert 0 < answer["expires_in"] <= 300
    for wrong in (user.token, mine[:-8] + "AAAAAAAA", ""):
        refused = cloud.client.get("/token", params={"scope": scope}, auth=("registry-token", wrong))
        assert reason(refused) == (401, "wrong_token")


def test_only_the_system_organisation_makes_organisations(cloud: Cloud) -> None:
    other = cloud.other()
    assert reason(other.post("/v1/orgs", name="third", user="eve", password=PASSWORD)) == (403, "forbidden")
    again = cloud.login().post("/v1/orgs", name="other", user="eve", password=PASSWORD)
    assert reason(again) == (409, "name_taken")


SEEN: dict[str, Callable[[User], Any]] = {
    "devices": lambda user: user.get("/v1/devices").json()["devices"],
    "apps": lambda user: user.get("/v1/apps").json()["apps"],
    "deployments": lambda user: user.get("/v1/deployments").json()["deployments"],
    "samples": lambda user: user.get("/v1/telemetry").json()["samples"],
    "lines": lambda user: user.get("/v1/logs").json()["lines"],
}


def test_another_organisation_sees_nothing_and_can_name_nothing(cloud: Cloud) -> None:
    mine, theirs = cloud.login(), cloud.other()
    device = Joining("pump").enroll(mine)
    namespace = mine.app()
    mine.post("/v1/fleets", name="north")
    deployed = mine.post("/v1/deployments", app="web").json()
    assert {name: look(theirs) for name, look in SEEN.items()} == {name: [] for name in SEEN}
    for path in (
        f"/v1/devices/{device.device}",
        "/v1/devices/pump",
        "/v1/apps/web",
        "/v1/apps/web/releases/latest",
        f"/v1/deployments/{deployed['deployment']}",
        f"/v1/telemetry?device={device.device}",
        f"/v1/logs?device={device.device}",
    ):
        assert reason(theirs.get(path)) == (404, "not_found"), path
    assert reason(theirs.post("/v1/deployments", app="web")) == (404, "not_found")
    assert reason(theirs.post("/v1/enroll-tokens", fleet="north")) == (404, "not_found")
    assert reason(theirs.delete("/v1/apps/web?force=true")) == (404, "not_found")
    assert reason(theirs.post("/v1/registry/token", repositories=[f"{namespace}/web"])) == (403, "forbidden")
    theirs.post("/v1/apps", name="web")
    borrowed = theirs.post("/v1/apps/web/releases", spec=spec(f"{namespace}/web"))
    assert reason(borrowed) == (422, "missing_image")


def test_a_command_is_made_listed_and_shown_by_its_app_and_device(cloud: Cloud) -> None:
    user = cloud.login()
    user.app()
    device = Joining("pump-1").enroll(user)
    assert user.post("/v1/deployments", app="web").status_code == 201
    made = user.post("/v1/devices/pump-1/commands", verb="app.restart", app="web", service="web", wait_for_s=7200)
    assert made.status_code == 201, made.text
    (command,) = made.json()["commands"]
    shown = {name: command[name] for name in ("device", "name", "verb", "app", "service", "state", "by", "sent_ms")}
    assert shown == {
        "device": device.device, "name": "pump-1", "verb": "app.restart", "app": "web", "service": "web",
        "state": "waiting", "by": "ann", "sent_ms": None,
    }  # fmt: skip
    assert command["until_ms"] - command["created_ms"] == 7_200_000
    assert user.get(f"/v1/commands/{command['command']}").json() == command
    for path in (
        "/v1/commands", "/v1/commands?device=pump-1", "/v1/devices/pump-1/commands",
        f"/v1/commands?request={made.json()['request']}",
    ):  # fmt: skip
        assert user.get(path).json() == {"commands": [command]}
    assert user.get("/v1/commands?request=raaaaaaaaaaa").json() == {"commands": []}


def test_a_fleet_gets_one_command_for_each_of_its_devices(cloud: Cloud) -> None:
    user = cloud.login()
    for name in ("pump-1", "pump-2"):
        Joining(name).enroll(user)
    made = user.post("/v1/fleets/default/commands", verb="device.resync").json()
    assert sorted(command["name"] for command in made["commands"]) == ["pump-1", "pump-2"]
    assert {command["request"] for command in made["commands"]} == {made["request"]}
    user.post("/v1/fleets", name="empty")
    assert user.post("/v1/fleets/empty/commands", verb="device.resync").json() == {"request": None, "commands": []}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"verb": "device.explode"}, (422, "invalid")),
        ({"verb": "app.restart"}, (422, "bad_arguments")),
        ({"verb": "app.restart", "app": "nothing"}, (404, "not_found")),
        ({"verb": "app.restart", "app": "web"}, (409, "not_deployed")),
        ({"verb": "device.prune", "app": "web"}, (409, "not_deployed")),
        ({"verb": "device.prune", "service": "web"}, (422, "bad_arguments")),
        ({"verb": "device.prune", "wait_for_s": 0}, (422, "invalid")),
        ({"verb": "device.prune", "wait_for_s": 10**9}, (422, "invalid")),
        ({"verb": "device.prune", "service": "x" * 200}, (422, "invalid")),
    ],
    ids=str,
)
def test_a_command_that_makes_no_sense_is_refused(
    cloud: Cloud, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    user = cloud.login()
    user.app()
    Joining("pump-1").enroll(user)
    assert reason(user.post("/v1/devices/pump-1/commands", **body)) == expected
    assert user.get("/v1/commands").json() == {"commands": []}


def test_commands_of_an_organisation_are_limited_in_a_minute(cloud: Cloud) -> None:
    user = cloud.login()
    Joining("pump-1").enroll(user)
    answers = [user.post("/v1/devices/pump-1/commands", verb="device.resync") for _ in range(21)]
    assert [answer.status_code for answer in answers[:20]] == [201] * 20
    assert reason(answers[20]) == (429, "too_many_commands")


def test_commands_need_the_scope_to_deploy_and_are_seen_by_their_organisation_only(cloud: Cloud) -> None:
    user, other = cloud.login(), cloud.other()
    Joining("pump-1").enroll(user)
    command = user.post("/v1/devices/pump-1/commands", verb="device.resync").json()["commands"][0]["command"]
    assert reason(other.get(f"/v1/commands/{command}")) == (404, "not_found")
    assert other.get("/v1/commands").json() == {"commands": []}
    assert reason(other.post("/v1/devices/pump-1/commands", verb="device.resync")) == (404, "not_found")
    with cloud.database.write() as tx:
        tx.execute(update(schema.tokens).values(scopes="read"))
    assert reason(user.post("/v1/devices/pump-1/commands", verb="device.resync")) == (403, "forbidden")
    assert user.get(f"/v1/commands/{command}").status_code == 200


def stored(user: User, device: str, numbers: range, format_: str, payload: bytes = b"") -> None:
    """Store one batch as ingest does."""
    payload = payload or (
        pack_samples([Sample(n, {"v": str(n)}) for n in numbers])
        if format_ == SAMPLES
        else pack_lines([Line(n, "web" if n % 2 else "db", "out", f"line {n}") for n in numbers])
    )
    batch = Batch(
        conn=Conn(boot="a" * 32, count=1), n=1, stream="telemetry:web" if format_ == SAMPLES else "logs:web",
        epoch=1, first=numbers[0], last=numbers[-1], at=Instant(boot="a" * 32, mono_ms=1, wall_ms=1), format=format_,
        payload=payload,
    )  # fmt: skip
    with user.cloud.database.write() as tx:
        batches.add(tx, [(device, batch)], now_ms=1)


def test_an_audit_tells_what_became_of_every_number(cloud: Cloud) -> None:
    user = cloud.login()
    device = Joining("pump").enroll(user).device
    stored(user, device, range(1, 11), SAMPLES)
    stored(user, device, range(13, 16), SAMPLES)
    with cloud.database.write() as tx:
        gaps.add(tx, gaps.StoredGap(device, "telemetry:web", 1, 11, 11, "trimmed_by_app"), now_ms=1)
    found = user.get("/v1/devices/pump/telemetry/audit").json()
    assert found["totals"] == {
        "stored": 13,
        "lost": 1,
        "missing": 1,
        "twice": 0,
        "unkept": 0,
        "waiting": 0,
        "expired": 0,
    }
    (stream,) = found["streams"]
    assert (found["complete"], stream["stream"], stream["missing"]["ranges"]) == (False, "telemetry:web", [[12, 12]])
    assert user.get("/v1/devices/pump/telemetry/audit?stream=telemetry:other").json()["streams"] == []
    stored(user, device, range(12, 13), SAMPLES)
    assert user.get("/v1/devices/pump/telemetry/audit").json()["complete"]
    assert reason(cloud.other().get("/v1/devices/pump/telemetry/audit")) == (404, "not_found")


def test_fields_that_are_no_text_are_told_in_base64(cloud: Cloud) -> None:
    user = cloud.login()
    device = Joining("pump").enroll(user).device
    fields = {"a": "é", "b": os.fsdecode(b"\xff\x00"), os.fsdecode(b"\xfe"): "c"}
    stored(user, device, range(1, 2), SAMPLES, pack_samples([Sample(5, fields)]))
    (sample,) = user.get("/v1/telemetry").json()["samples"]
    assert sample["fields"] == {"a": "é"}
    assert [[base64.b64decode(part) for part in field] for field in sample["binary"]] == [
        [b"b", b"\xff\x00"], [b"\xfe", b"c"]
    ]  # fmt: skip


def test_an_organisation_says_for_how_long_it_keeps_things(cloud: Cloud) -> None:
    user, other = cloud.login(), cloud.other()
    assert user.get("/v1/org").json()["keep_days"] is None
    assert user.patch("/v1/org", keep_days=30).json()["keep_days"] == 30
    assert (user.get("/v1/org").json()["keep_days"], other.get("/v1/org").json()["keep_days"]) == (30, None)
    for wrong in (0, -1, 10**9, "x"):
        assert user.patch("/v1/org", keep_days=wrong).status_code == 422


def test_the_newest_samples_are_read_from_the_end_and_older_ones_before_them(cloud: Cloud) -> None:
    user = cloud.login()
    device = Joining("pump").enroll(user).device
    for first in range(1, 1000, 10):
        stored(user, device, range(first, first + 10), SAMPLES)

    def ask(query: str) -> tuple[list[int], Any, Any]:
        answer = user.get(f"/v1/telemetry?device=pump&limit=15{query}").json()
        return [one["seq"] for one in answer["samples"]], answer["previous"], answer["next"]

    newest, previous, following = ask("&newest=true")
    assert newest == list(range(986, 1001))
    older, _, _ = ask(f"&before={previous}")
    assert older == list(range(971, 986))
    assert ask(f"&after={following}")[0] == []
    stored(user, device, range(1001, 1003), SAMPLES)
    assert ask(f"&after={following}")[0] == [1001, 1002]


def test_the_newest_lines_of_a_service_are_read_from_the_end(cloud: Cloud) -> None:
    user = cloud.login()
    device = Joining("pump").enroll(user).device
    stored(user, device, range(1, 101), LINES)
    answer = user.get("/v1/logs?newest=true&limit=3&service=web&app=web").json()
    assert [line["text"] for line in answer["lines"]] == ["line 95", "line 97", "line 99"]
    assert user.get("/v1/logs?newest=true&app=other").json()["lines"] == []


def test_what_a_device_should_run_is_shown_without_what_apps_are_told(cloud: Cloud) -> None:
    user = cloud.login()
    Joining("pump").enroll(user)
    assert reason(user.get("/v1/devices/pump/desired")) == (404, "not_found")
    user.app()
    user.post("/v1/deployments", app="web", variables={"PASSWORD": "hush"}, force=True)
    answer = user.get("/v1/devices/pump/desired")
    assert "hush" not in answer.text
    shown = answer.json()
    (app,) = shown["apps"]
    assert (shown["generation"], shown["sent_ms"]) == (1, None)
    assert (app["name"], app["attempt"], app["settings"], app["services"]) == ("web", 1, {"force": True}, ["web"])
    assert reason(cloud.other().get("/v1/devices/pump/desired")) == (404, "not_found")


def test_grants_travel_with_an_apps_section_until_they_are_replaced_and_need_a_scope_of_their_own(cloud: Cloud) -> None:
    user = cloud.login()
    Joining("pump").enroll(user)
    user.app()

    def grants_after(**keys: object) -> object:
        assert user.post("/v1/deployments", app="web", **keys).status_code == 201
        (app,) = user.get("/v1/devices/pump/desired").json()["apps"]
        return app["grants"]

    granted = {"allow_devices": ["/dev/ttyS0"], "allow_privileged": True}
    assert grants_after(grants=granted) == granted
    assert grants_after() == granted
    assert grants_after(grants={}) == {}
    assert reason(user.post("/v1/deployments", app="web", grants={"allow_flying": True})) == (422, "bad_grants")
    assert reason(user.post("/v1/deployments", app="web", grants={"allow_ports": ["x"]})) == (422, "bad_grants")
    with cloud.database.write() as tx:
        tx.execute(update(schema.tokens).values(scopes="read deploy"))
    assert reason(user.post("/v1/deployments", app="web", grants={})) == (403, "forbidden")
    assert user.post("/v1/deployments", app="web").status_code == 201


def test_a_bundle_has_the_envelopes_as_they_are_sent(cloud: Cloud) -> None:
    user = cloud.login()
    enrolled = Joining("pump").enroll(user)
    user.app()
    assert reason(user.get("/v1/bundle?app=web")) == (409, "not_deployed")
    deployed = user.post("/v1/deployments", app="web").json()
    found = user.get("/v1/bundle?app=web&release=1").json()
    assert found == user.get(f"/v1/bundle?deployment={deployed['deployment']}").json()
    (one,) = found["devices"]
    with cloud.database.read() as tx:
        row = desired.newest(tx, enrolled.device)
    assert row is not None
    assert base64.b64decode(one["desired"]) == row.envelope
    assert one["trust"] == enrolled.trust
    assert [image["digest"] for image in one["images"]] == [PRESENT]
    assert one["holds"] == []
    assert user.get("/v1/bundle?app=web&device=pump").json() == found
    assert reason(user.get("/v1/bundle")) == (422, "bad_request")
    assert reason(cloud.other().get("/v1/bundle?app=web")) == (404, "not_found")


def test_a_plan_says_what_a_deployment_would_do_and_does_nothing(cloud: Cloud) -> None:
    user = cloud.login()
    Joining("pump").enroll(user)
    user.app()
    plan = user.post("/v1/deployments/plan", app="web").json()
    (one,) = plan["devices"]
    assert (one["name"], one["bytes"]) == ("pump", {"present": 0, "layers": 1200, "delta": None})
    assert (one["seconds"], one["disk_after_bytes"], one["starts"]) == (None, None, ["web"])
    assert user.get("/v1/deployments").json() == {"deployments": []}
    assert user.get("/v1/devices/pump").json()["desired"] is None
    assert reason(user.post("/v1/deployments/plan", app="none")) == (404, "not_found")


def test_a_status_that_was_carried_is_believed_by_its_mac_and_once(cloud: Cloud) -> None:
    user = cloud.login()
    enrolled = Joining("pump").enroll(user)
    Joining("other").enroll(user)
    ref = DeviceRef(enrolled.org, enrolled.device)
    key = MacKey(base64.b64decode(enrolled.mac_key))
    conn = Conn(boot="a" * 32, count=5)
    accepted = Generation(era=1, generation=4, digest="sha256:" + "1" * 64)
    body = {
        "status": base64.b64encode(
            seal(STATUS, ref, Status(conn=conn, n=1, revision=9, accepted=accepted), key)
        ).decode()
    }
    assert reason(user.post("/v1/devices/other/status", **body)) == (422, "unknown_key")
    assert user.post("/v1/devices/pump/status", **body).json()["news"] is True
    assert cloud.reported == [ref]
    shown = user.get("/v1/devices/pump").json()
    assert (shown["accepted"]["generation"], shown["status"]["revision"], shown["online"]) == (4, 9, False)
    assert user.post("/v1/devices/pump/status", **body).json()["news"] is False
    assert reason(user.post("/v1/devices/pump/status", status="AAA")) == (422, "malformed")
    assert reason(cloud.other().post("/v1/devices/pump/status", **body)) == (404, "not_found")


def test_a_device_shows_the_policy_that_its_birth_told(cloud: Cloud) -> None:
    user = cloud.login()
    device = Joining("pump").enroll(user).device
    assert user.get("/v1/devices/pump").json()["policy"] is None
    policy = Policy(allow_devices=("/dev/ttyS0",), widen=Rows(allow_display=True))
    conn = Conn(boot="a" * 32, count=1)
    birth = Birth(conn=conn, n=1, instance="w1", worker="1", policy=policy)
    with cloud.database.write() as tx:
        presence.put(tx, presence.Presence(device, conn=conn, n=1, online=True, birth=birth))
    shown = {"allow_devices": ["/dev/ttyS0"], "widen": {"allow_display": True}}
    assert user.get("/v1/devices/pump").json()["policy"] == shown
