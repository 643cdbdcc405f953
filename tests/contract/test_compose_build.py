"""Images are built, fetched and pushed by a real engine into a real registry, which this test starts for itself."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker.errors
import pytest

from compose.build import publish_images
from compose.buildx import Buildx, find_buildx
from compose.errors import BuildFailed, ImageMissing, PushUnauthorized, RegistryUnreachable
from compose.load import load
from compose.local_engine import ADDRESS, Engine, Progress, connect
from compose.project import Project
from compose.to_appspec import converted
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
    for name in ("skerrytest-web", "skerrytest-twin", "skerrytest-late", "skerrytest-by-hand"):
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
    assert converted(app, images).spec.services["web"].image == images["web"]


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


STAGES = """\
FROM scratch AS first
ARG GREETING=none
LABEL greeting=$GREETING
COPY motd /first
FROM scratch AS second
COPY motd /second
"""


def test_every_service_is_built_with_its_own_arguments_and_stage(engine: Engine, registry: str, folder: Path) -> None:
    (folder / "Dockerfile").write_text(STAGES)
    text = (
        "services: {web: {build: {context: ., target: first, args: {GREETING: ahoy}}}, "
        "twin: {build: {context: ., target: second}}}"
    )
    images = publish_images(project(folder, text), engine=engine, registry=registry, namespace=NAMESPACE)
    assert images["web"].digest != images["twin"].digest
    labels = {name: engine.inspect_image(f"skerrytest-{name}")["Config"]["Labels"] for name in images}
    assert labels == {"web": {"greeting": "ahoy"}, "twin": None}


def made_by_hand(engine: Engine, folder: Path, name: str) -> None:
    """Build an image as its owner would, outside of any project."""
    for _ in engine.build(path=str(folder), tag=name, rm=True):
        pass


def test_an_image_that_only_the_local_engine_has_is_pushed_too(engine: Engine, registry: str, folder: Path) -> None:
    made_by_hand(engine, folder, "skerrytest-by-hand")
    app = project(folder, "services: {web: {image: skerrytest-by-hand}}")
    image = publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)["web"]
    assert manifest(registry, f"{NAMESPACE}/web", image.digest)["schemaVersion"] == 2
    assert image.platform == f"linux/{engine.version()['Arch']}"


def test_a_tag_becomes_the_digest_that_it_names_now(engine: Engine, registry: str, folder: Path) -> None:
    name = f"{registry}/upstream:1"
    app = project(folder, f"services: {{late: {{image: '{name}', pull_policy: always}}}}")
    digests = set()
    for words in ("fair winds", "storm"):
        (folder / "motd").write_text(words)
        made_by_hand(engine, folder, name)
        for _ in engine.push(f"{registry}/upstream", tag="1", stream=True, decode=True):
            pass
        engine.remove_image(name, force=True)
        digests.add(publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)["late"].digest)
        engine.remove_image(name, force=True)
    assert len(digests) == 2


FOREIGN = "linux/arm64" if os.uname().machine != "aarch64" else "linux/amd64"


def test_an_image_for_another_platform_is_built_where_nothing_of_it_has_to_run(
    engine: Engine, registry: str, folder: Path
) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY motd /motd\n")
    here = publish_images(  # leaves the same steps in the builder's cache
        project(folder, "services: {web: {build: .}}"), engine=engine, registry=registry, namespace=NAMESPACE
    )
    app = project(folder, f"services: {{web: {{build: {{context: ., platforms: [{FOREIGN}]}}}}}}")
    there = publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)
    assert (here["web"].platform, there["web"].platform) == (f"linux/{engine.version()['Arch']}", FOREIGN)


def test_programs_that_this_machine_cannot_run_are_named_with_the_cure(
    engine: Engine, registry: str, folder: Path
) -> None:
    program_of_another = bytearray((folder / "busybox").read_bytes())
    program_of_another[18:20] = b"\x08\x00"  # e_machine of ELF: MIPS
    (folder / "busybox").write_bytes(program_of_another)
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY busybox /x\nRUN ["/x", "true"]\n')
    app = project(folder, f"services: {{web: {{build: ., platform: {FOREIGN}}}}}")
    with pytest.raises(BuildFailed, match=rf"services\.web: .*Step 3/3.*no programs for {FOREIGN}: install"):
        publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)


def test_a_base_image_for_another_platform_is_noticed(engine: Engine, registry: str, folder: Path) -> None:
    made_by_hand(engine, folder, "skerrytest-by-hand")
    (folder / "Dockerfile").write_text("FROM skerrytest-by-hand\nCOPY motd /again\n")
    app = project(folder, f"services: {{web: {{build: ., platform: {FOREIGN}}}}}")
    with pytest.raises(BuildFailed, match=r"services\.web: .*platform"):
        publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)


def test_what_only_buildx_can_do_is_refused_by_name_without_it(engine: Engine, registry: str, folder: Path) -> None:
    app = project(folder, "services: {web: {build: {context: ., additional_contexts: {x: ./y}}}}")
    with pytest.raises(BuildFailed, match=r"services\.web\.build\.additional_contexts: .*`docker buildx` can"):
        publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE)


# A stand-in for the program: it says what it was told, and loads an image under the name that it was told.
BUILDX = """\
#!{python}
import json, os, sys, docker
if sys.argv[1:] == ["buildx", "version"]:
    sys.exit(0)
with open({log!r}, "w") as log:
    json.dump([sys.argv[1:], os.environ["DOCKER_HOST"]], log)
print("#1 [web 1/1] COPY motd", flush=True)
if "--no-cache-filter" in sys.argv:
    sys.exit("#1 ERROR: no wind")
for _ in docker.APIClient(version="auto").build(path=sys.argv[-1], tag=sys.argv[sys.argv.index("--tag") + 1], rm=True):
    pass
"""


@pytest.fixture
def buildx(tmp_path: Path) -> Buildx:
    stand_in = tmp_path / "bin" / "docker"
    stand_in.parent.mkdir()
    stand_in.write_text(BUILDX.format(python=sys.executable, log=str(tmp_path / "told")))
    stand_in.chmod(0o755)
    found = find_buildx({**os.environ, "PATH": str(stand_in.parent)}, os.environ.get("DOCKER_HOST") or ADDRESS)
    assert found is not None
    return found


def test_buildx_builds_what_only_it_can_and_what_is_for_another_platform(
    engine: Engine, registry: str, folder: Path, buildx: Buildx, tmp_path: Path
) -> None:
    text = f"services: {{web: {{build: {{context: ., additional_contexts: {{x: ./y}}}}, platform: {FOREIGN}}}}}"
    steps: list[Progress] = []
    app = project(folder, text)
    images = publish_images(
        app, engine=engine, registry=registry, namespace=NAMESPACE, progress=steps.append, buildx=buildx
    )
    arguments, address = json.loads((tmp_path / "told").read_text())
    assert arguments[:5] == ["buildx", "build", "--load", "--progress", "plain"]
    assert ("--platform", FOREIGN) in itertools.pairwise(arguments)
    assert ("--build-context", f"x={folder}/y") in itertools.pairwise(arguments)
    assert address == (os.environ.get("DOCKER_HOST") or ADDRESS)
    assert Progress("web", "build", text="#1 [web 1/1] COPY motd") in steps
    assert images["web"].digest.startswith("sha256:")


def test_the_engines_own_builder_is_used_where_it_can(
    engine: Engine, registry: str, folder: Path, buildx: Buildx, tmp_path: Path
) -> None:
    app = project(folder, "services: {web: {build: .}}")
    publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE, buildx=buildx)
    assert not (tmp_path / "told").exists()


def test_a_build_that_buildx_fails_is_told_with_its_last_lines(
    engine: Engine, registry: str, folder: Path, buildx: Buildx
) -> None:
    app = project(folder, "services: {web: {build: {context: ., no_cache_filter: [x]}}}")
    with pytest.raises(BuildFailed, match=r"services\.web: the build failed: .*COPY motd.*ERROR: no wind"):
        publish_images(app, engine=engine, registry=registry, namespace=NAMESPACE, buildx=buildx)


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
