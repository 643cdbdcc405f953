"""The loopback registry by the reading cases of the OCI distribution specification 1.1, and what it keeps to itself."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from broker.canonical import digest
from broker.errors import Passing
from broker.oci import INDEX_TYPES, MANIFEST_TYPE
from device.images.loopback import CONNECTIONS_MAX, Content, Loopback, PortTaken, Served
from tests.harness.images import noise
from tests.harness.servers import free_port, wait_until

NAME = "oaaaaaaaaaaa/aaaaaaaaaaaa/web"
MANIFEST = b'{"schemaVersion":2}'
BLOB = noise(2048, seed=5)
ABSENT = "sha256:" + "0" * 64


def content(data: bytes) -> Content:
    return Content(len(data), lambda: iter([data[at : at + 100] for at in range(0, len(data), 100)]))


SERVED = Served(NAME, {digest(MANIFEST): content(MANIFEST)}, {digest(BLOB): content(BLOB)})


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def code(self) -> str:
        """The code of the first error, in the form that the specification asks for."""
        assert self.headers["Content-Type"] == "application/json"
        error = json.loads(self.body)["errors"][0]
        assert set(error) <= {"code", "message", "detail"}
        return str(error["code"])


class Client:
    """Asks on one connection, as engines do."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def __call__(self, path: str, method: str = "GET", **headers: str) -> Answer:
        self._connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        return Answer(self._connection.getresponse())


@pytest.fixture(scope="module")
def loopback() -> Iterator[Loopback]:
    made = Loopback(free_port())
    made.listen()
    yield made
    made.close()


@pytest.fixture
def ask(loopback: Loopback) -> Iterator[Client]:
    with loopback.serving(SERVED):
        yield Client(loopback.port)


def blob(which: str = digest(BLOB)) -> str:
    return f"/v2/{NAME}/blobs/{which}"


def manifest(which: str = digest(MANIFEST)) -> str:
    return f"/v2/{NAME}/manifests/{which}"


# --- what the specification asks of a registry that is read


def test_ping(ask: Client) -> None:
    for path in ("/v2/", "/v2"):
        answer = ask(path)
        assert answer.status == 200
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_a_blob_by_get(ask: Client) -> None:
    answer = ask(blob())
    assert (answer.status, answer.body) == (200, BLOB)
    assert answer.headers["Content-Length"] == "2048"
    assert answer.headers["Docker-Content-Digest"] == digest(BLOB)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_a_blob_by_head_is_the_same_without_the_body(ask: Client) -> None:
    answer = ask(blob(), "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == "2048"
    assert answer.headers["Docker-Content-Digest"] == digest(BLOB)


@pytest.mark.parametrize("asked", [manifest, blob])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_not_there(ask: Client, asked: object, method: str) -> None:
    assert callable(asked)
    answer = ask(asked(ABSENT), method)
    assert answer.status == 404
    if method == "GET":
        assert answer.code == ("MANIFEST_UNKNOWN" if asked is manifest else "BLOB_UNKNOWN")
    assert ask("/v2/").status == 200  # the connection goes on


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=500-1499", 500, 1500),
        ("bytes=500-", 500, 2048),
        ("bytes=-500", 1548, 2048),
        ("bytes=2000-5000", 2000, 2048),
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 2048),
        ("bytes=-5000", 0, 2048),
        ("bytes=99-100", 99, 101),  # over the border of two pieces
    ],
)
def test_a_range_of_a_blob(ask: Client, asked: str, start: int, end: int) -> None:
    answer = ask(blob(), Range=asked)
    assert (answer.status, answer.body) == (206, BLOB[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/2048"
    assert answer.headers["Content-Length"] == str(end - start)
    head = ask(blob(), "HEAD", Range=asked)
    assert (head.status, head.headers["Content-Range"]) == (206, answer.headers["Content-Range"])


@pytest.mark.parametrize("asked", ["bytes=500-0", "bytes=5000-10000", "bytes=2048-", "bytes=-0"])
def test_a_range_that_cannot_be(ask: Client, asked: str) -> None:
    answer = ask(blob(), Range=asked)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */2048"
    assert len(answer.body) == int(answer.headers["Content-Length"])
    assert ask("/v2/").status == 200


@pytest.mark.parametrize("asked", ["bytes", "lines=1-2", "bytes=1-2,4-5", "bytes=x-", "bytes=-"])
def test_a_range_of_another_kind_is_ignored(ask: Client, asked: str) -> None:
    assert ask(blob(), Range=asked).status == 200


def test_a_manifest_by_get_and_head(ask: Client) -> None:
    answer, head = ask(manifest()), ask(manifest(), "HEAD")
    assert (answer.status, answer.body) == (200, MANIFEST)
    assert (head.status, head.body) == (200, b"")
    for each in (answer, head):
        assert each.headers["Content-Type"] == MANIFEST_TYPE
        assert each.headers["Docker-Content-Digest"] == digest(MANIFEST)
        assert each.headers["Content-Length"] == str(len(MANIFEST))


@pytest.mark.parametrize("bad", ["sha256:short", "sha256:" + "G" * 64, "md5:" + "0" * 32, "sha256:" + "0" * 65])
@pytest.mark.parametrize("asked", [manifest, blob])
def test_a_digest_that_is_none_is_the_askers_fault(ask: Client, asked: object, bad: str) -> None:
    assert callable(asked)
    answer = ask(asked(bad))
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


def test_another_name_is_unknown(ask: Client) -> None:
    answer = ask(f"/v2/oaaaaaaaaaaa/other/blobs/{digest(BLOB)}")
    assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")


def test_nobody_refers_to_anything(ask: Client) -> None:
    answer = ask(f"/v2/{NAME}/referrers/{ABSENT}?artifactType=x")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == INDEX_TYPES[0]
    assert json.loads(answer.body) == {"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": []}
    assert ask(f"/v2/{NAME}/referrers/sha256:short").status == 400


# --- what it keeps to itself


def test_images_are_told_by_digest_alone(ask: Client) -> None:
    for path in (manifest("latest"), f"/v2/{NAME}/tags/list", "/v2/_catalog", "/", "/v2/../etc/passwd"):
        answer = ask(path)
        assert answer.status == 404
        assert answer.code in ("MANIFEST_UNKNOWN", "NAME_UNKNOWN")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_ever_changed(ask: Client, method: str) -> None:
    for path in (blob(), manifest(), f"/v2/{NAME}/blobs/uploads/"):
        answer = ask(path, method)
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")


def test_it_answers_for_an_image_only_while_that_is_pulled(loopback: Loopback) -> None:
    ask = Client(loopback.port)
    with loopback.serving(SERVED):
        assert ask(blob()).status == 200
    assert ask(blob()).status == 404
    assert ask(manifest()).status == 404
    assert ask("/v2/").status == 200


def test_a_blob_that_breaks_off_breaks_the_answer_off(loopback: Loopback) -> None:
    def broken() -> Iterator[bytes]:
        yield BLOB[:1000]
        raise Passing("the disk is gone")

    with loopback.serving(Served(NAME, {}, {digest(BLOB): Content(len(BLOB), broken)})):
        with pytest.raises(http.client.IncompleteRead):
            Client(loopback.port)(blob())
        assert Client(loopback.port)("/v2/").status == 200


def test_more_connections_than_an_engine_needs_are_closed_and_the_others_answered(loopback: Loopback) -> None:
    idle = [socket.create_connection(("127.0.0.1", loopback.port)) for _ in range(CONNECTIONS_MAX)]
    extra = socket.create_connection(("127.0.0.1", loopback.port))
    extra.settimeout(10)
    assert extra.recv(1) == b""
    for each in (*idle, extra):
        each.close()
    wait_until(lambda: _answers(loopback.port), what="it answers again")


def _answers(port: int) -> bool:
    try:
        return Client(port)("/v2/").status == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.mark.parametrize(
    "sent", [b"\0" * 100, b"GET /" + b"a" * 100_000 + b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\n"]
)
def test_what_is_no_request_harms_nobody(loopback: Loopback, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", loopback.port)) as link, contextlib.suppress(OSError):
        link.sendall(sent)  # the answer and the end may come before all of it is sent
        link.shutdown(socket.SHUT_WR)
    assert _answers(loopback.port)


def test_a_port_that_another_program_has_is_named_and_no_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        made = Loopback(int(other.getsockname()[1]))
        with pytest.raises(PortTaken, match=str(made.port)):
            made.listen()
        other.close()
        made.listen()
        made.listen()
        made.close()


def test_it_listens_on_the_loopback_address_alone(loopback: Loopback) -> None:
    with (
        pytest.raises(OSError, match=r"refused|unreachable"),
        socket.create_connection(("127.0.0.2", loopback.port), 1),
    ):
        pass
