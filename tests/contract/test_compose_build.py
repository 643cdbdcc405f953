"""Images are built, fetched and pushed by a real engine into a real registry, which this test starts for itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker.errors
import pytest

from compose.build import Engine, Progress, connect, publish_images
from compose.errors import BuildFailed, ImageMissing, PushUnauthorized, RegistryUnreachable
from compose.load import load
from compose.project import Project
from compose.to_appspec import app_spec
from tests.harness.servers import Server, accepts, free_port, program

NAMESPACE = "oaaaaaaaaaaa/abbbbbbbbbbb"
DOCKERFILE = """\
FROM scratch
ARG GREETING
LABEL greeting=$GREETING
COPY busybox /bin/busybox
COPY motd /etc/motd
CMD ["/bin/busybox", "cat", "/etc/motd"]
"""

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def engine() -> Engine:
    if not Path("/var/run/docker.sock").exists() and "DOCKER_HOST" not in os.environ:
        if os.environ.get("CI"):
            pytest.fail("there is no container engine")
        pytest.skip("there is no container engine")
    return connect()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (tmp_path / "registry.yml").write_text(json.dumps(config))  # JSON is YAML
    argv = [program("docker-registry"), "serve", str(tmp_path / "registry.yml")]
    server = Server(argv, log=tmp_path / "registry.log", ready=lambda: accepts(port))
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a build context: a static busybox, a Dockerfile, and a file that .dockerignore keeps out."""
    folder = tmp_path / "skerrytest"
    folder.mkdir()
    shutil.copy(program("busybox"), folder / "busybox")
    (folder / "motd").write_text("fair winds\n")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / ".dockerignore").write_text("secret\n")
    (folder / "secret").write_text("not for images\n")
    return folder


@pytest.fixture(autouse=True)
def no_images_left(engine: Engine) -> Iterator[None]:
    """Remove the local names that the projects of this module give to what they build."""
    yield
    for name in ("skerrytest-web", "skerrytest-twin", "skerrytest-late"):
        with contextlib.suppress(docker.errors.ImageNotFound):  # most tests build only some of them
            engine.remove_image(name, force=True)


def project(folder: Path, text: str) -> Project:
    (folder / "compose.yaml").write_text(text)
    return load([folder / "compose.yaml"], environment={})


def manifest(registry: str, repository: str, digest: str) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://{registry}/v2/{repository}/manifests/{digest}",
        headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        found: dict[str, object] = json.load(response)
        return found


def test_a_built_image_is_in_the_registry_under_the_digest_that_is_returned(
    engine: Engine, registry: str, folder: Path
) -> None:
    app = project(folder, "services: {web: {build: {context: ., args: {GREETING: hello}}}}")
    steps: list[Progress] = []
    images = publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE, progress=steps.append)
    assert images["web"].repository == f"{NAMESPACE}/web"
    layers = manifest(registry, f"{NAMESPACE}/web", images["web"].digest)["layers"]
    assert isinstance(layers, list)
    assert len(layers) == 2
    assert {"build", "push", "done"} == {step.phase for step in steps}
    assert app_spec(app, images).services["web"].image == images["web"]


def test_two_services_with_one_image_are_pushed_once(engine: Engine, registry: str, folder: Path) -> None:
    app = project(folder, "services: {web: {build: .}, twin: {image: skerrytest-web}}")
    images = publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)
    assert images["twin"] == images["web"]


def test_pushing_again_gives_the_same_digest_and_leaves_no_name_behind(
    engine: Engine, registry: str, folder: Path
) -> None:
    app = project(folder, "services: {web: {build: .}}")
    first = publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)
    second = publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)
    assert first == second
    found = engine.inspect_image("skerrytest-web")
    assert (found["RepoTags"], found["RepoDigests"]) == (["skerrytest-web:latest"], [])


def test_what_dockerignore_names_stays_out_of_the_context(engine: Engine, registry: str, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY secret /secret\n")
    app = project(folder, "services: {web: {build: .}}")
    with pytest.raises(BuildFailed, match="secret"):
        publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)


def test_a_failing_step_is_named_with_its_last_lines(engine: Engine, registry: str, folder: Path) -> None:
    (folder / "Dockerfile").write_text(
        'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sh", "-c", "echo no wind; exit 7"]\n'
    )
    app = project(folder, "services: {web: {build: .}}")
    with pytest.raises(BuildFailed, match=r"services\.web: .*Step 3/3.*code: 7.*no wind"):
        publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)


def test_an_inline_dockerfile_is_built(engine: Engine, registry: str, folder: Path) -> None:
    text = "services: {web: {build: {context: ., dockerfile_inline: 'FROM scratch\n\n    COPY motd /motd\n'}}}"
    images = publish_images(project(folder, text), engine=engine, registry=registry, namespace=NAMESPACE)
    assert images["web"].digest.startswith("sha256:")


def test_an_image_that_is_nowhere_is_missing(engine: Engine, registry: str, folder: Path) -> None:
    app = project(folder, f"services: {{late: {{image: '{registry}/nothing/here:1'}}}}")
    with pytest.raises(ImageMissing, match=r"services\.late"):
        publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)


class TokenRegistry(BaseHTTPRequestHandler):
    """Asks for a bearer token, and notes the one it gets; it stores nothing."""

    tokens: list[str] = []

    def answer(self) -> None:
        token = self.headers.get("Authorization", "")
        if token:
            self.tokens.append(token)
        body = b'{"errors": [{"code": "DENIED", "message": "not here"}]}'
        self.send_response(403 if token else 401)
        self.send_header("WWW-Authenticate", 'Bearer realm="http://127.0.0.1:1/token",service="test"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    do_GET = do_HEAD = do_POST = answer  # noqa: N815 - the names that the server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it so
        pass


def test_the_token_reaches_the_registry_as_it_is(engine: Engine, folder: Path) -> None:
    app = project(folder, "services: {web: {build: .}}")
    with ThreadingHTTPServer(("127.0.0.1", 0), TokenRegistry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked: list[str] = []

        def token_for(repository: str) -> str:
            asked.append(repository)
            return "aaa.bbb.ccc"

        registry = f"127.0.0.1:{server.server_port}"
        with pytest.raises(PushUnauthorized, match=r"services\.web"):
            publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE, token_for=token_for)
        server.shutdown()
    assert asked == [f"{NAMESPACE}/web"]
    assert set(TokenRegistry.tokens) == {"Bearer aaa.bbb.ccc"}


def test_a_registry_that_does_not_answer_is_unreachable(engine: Engine, folder: Path) -> None:
    app = project(folder, "services: {web: {build: .}}")
    with pytest.raises(RegistryUnreachable, match=r"services\.web"):
        publish_images(app, engine=engine, registry=f"127.0.0.1:{free_port()}", namespace=NAMESPACE)
