"""Platform services from inside real containers: what the worker gives is there, and reaches no further."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from broker.ids import new_id
from broker.policy import Policy
from device.engine.docker import DockerEngine
from device.platform.display import Places
from device.platform.services import Platform
from device.reconcile.wanted import Place, wanted
from device.telemetry.accounts import lock_key_of
from tests.harness.apps import HOST, PYTHON, section, service
from tests.harness.engine import device_engine, docker_client, push_image, registry, remove_images
from tests.harness.servers import ROOT, wait_until
from tests.harness.telemetry import Bench, platform
from tests.harness.x11 import CLIENT, XServer, cookies

REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/web"
SH = ["/bin/busybox", "sh", "-c"]
ASK_REDIS = r"""
import os, socket, sys
with socket.socket(socket.AF_UNIX) as redis:
    redis.connect(os.environ["SKERRY_APP_REDIS_URL"].removeprefix("unix://"))
    for line in sys.argv[1:]:
        redis.sendall(line.encode() + b"\r\n")
        print(redis.recv(4096).decode().strip(), flush=True)
"""


class Yard:
    """A device with a real engine, a real intake and its platform services; apps are started one by one."""

    def __init__(self, engine: DockerEngine, image: str, bench: Bench, made: Platform) -> None:
        self.engine = engine
        self.image = image
        self.bench = bench
        self.platform = made
        self.apps: dict[str, str] = {}

    def run(self, *command: str, uid: int = 65534, name: str = "hello", **keys: Any) -> str:
        """Start a container of an app; return its id."""
        registry_, _, rest = self.image.partition("/")
        spec = {"command": list(command), "user": f"{uid}:{uid}", "mounts": HOST, "network_mode": "none"} | keys
        made = section(
            {"web": service(digest=rest.partition("@")[2]) | spec},
            name=name,
            instance=self.apps.setdefault(name, new_id("i")),
        )
        assert self.platform.objections(made.spec, made) == []
        access = self.bench.accounts.access_for([made])
        self.bench.accounts.apply(self.bench.intake)
        place = Place(
            device=self.engine._device,
            registry=registry_,
            intake=access,
            policy=Policy(allow_bind_prefixes=tuple(mount.source for mount in made.spec.services["web"].mounts)),
            fittings=self.platform.fittings([made], with_intake=access.keys()),
        )
        container = wanted(made, place).containers["web"]
        for old in self.engine.containers():
            if old.instance == made.instance:
                self.engine.remove(old.id)
        self.engine.create(container)
        found = next(each.id for each in self.engine.containers() if each.instance == made.instance)
        self.engine.start(found)
        return found

    def said(self, container: str) -> list[str]:
        """Return what a container wrote, once it has ended."""
        wait_until(
            lambda: next(c.state for c in self.engine.containers() if c.id == container) == "exited",
            what="it has ended",
        )
        return self.engine.last_lines(container, 20)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    client = docker_client()
    with registry(tmp_path_factory.mktemp("registry")) as address:
        yield push_image(client, address, REPOSITORY, b"platform")
        remove_images(client, address)
    client.close()


@pytest.fixture
def yard(bench: Bench, image: str) -> Iterator[Yard]:
    folder = bench.paths.state
    (folder / "Xauthority").write_bytes(cookies(7))
    places = Places(x11_folder=folder / "x11", run_folder=folder / "run", xauthority=str(folder / "Xauthority"))
    made = platform(bench, places=places)
    with device_engine() as engine:
        engine.pull(image, token="none", progress=lambda done, total: None)
        yield Yard(engine, image, bench, made)
        made.close()


def example(language: str) -> str:
    """Return the first example in a language, as docs/platform.md shows it."""
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / "docs" / "platform.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_shell_example_locks_until_the_file_is_removed(yard: Yard) -> None:
    rest = "while [ ! -e free ]; do sleep 0.05; done; rm update free; sleep 600"
    yard.run(*SH, f"export PATH=/usr/bin; {example('sh')}\n{rest}", lock=True)
    locks, instance = yard.platform._locks, yard.apps["hello"]
    wait_until(lambda: locks.lock_of(instance), what="the lock holds")
    held = locks.lock_of(instance)
    assert held is not None
    assert (held.owner, held.reason) == ("backup", "copying the database")
    assert 500 < held.remaining_s <= 600
    (locks.folder(instance) / "free").touch()
    wait_until(lambda: locks.lock_of(instance) is None, what="the lock is freed")


def test_a_lock_folder_is_the_apps_own(yard: Yard) -> None:
    yard.run(*SH, "echo >$SKERRY_LOCK_DIR/update; /bin/busybox sleep 600", lock=True)
    wait_until(lambda: yard.platform._locks.lock_of(yard.apps["hello"]), what="the lock holds")
    other = yard.run(*SH, "/bin/busybox ls -A $SKERRY_LOCK_DIR; echo end", name="other", lock=True)
    assert yard.said(other) == ["end"]


def test_the_python_example_locks_until_the_key_is_removed(yard: Yard) -> None:
    library = str(Path(redis.__file__).parent.parent)
    yard.run(
        *PYTHON,
        f"{example('python')}\nimport time\nwhile intake.ttl(lock) > 0: time.sleep(0.1)",
        lock=True,
        telemetry={"access": "socket"},
        environment={"PYTHONPATH": library},
        mounts=[*HOST, {"type": "bind", "source": library, "target": library, "read_only": True}],
    )
    locks, instance = yard.platform._locks, yard.apps["hello"]
    wait_until(lambda: locks.lock_of(instance), what="the lock holds")
    held = locks.lock_of(instance)
    assert held is not None
    assert (held.owner, held.reason) == ("backup", "copying the database")
    yard.bench.intake.delete(lock_key_of(instance))
    assert locks.lock_of(instance) is None


def test_an_app_reaches_its_own_redis_and_no_other(yard: Yard) -> None:
    one = yard.run(*PYTHON, ASK_REDIS, "SET a one", "GET a", "CONFIG GET dir", redis=True)
    assert yard.said(one)[:3] == ["+OK", "$3", "one"]
    assert "NOPERM" in yard.said(one)[3]
    two = yard.run(*PYTHON, ASK_REDIS, "GET a", name="other", redis=True)
    assert yard.said(two) == ["$-1"]


@pytest.mark.parametrize(
    ("folder", "wish"), [("/run/skerry-redis", {"redis": True}), ("/run/skerry", {"telemetry": {"access": "socket"}})]
)
def test_an_app_cannot_replace_a_socket_that_it_gets(yard: Yard, folder: str, wish: dict[str, Any]) -> None:
    attacks = ("rm redis.sock", "mv redis.sock old", "touch new", "ln -s new redis.sock", "chmod 0 redis.sock")
    made = yard.run(
        *SH, f"cd {folder}; {'; '.join(f'/bin/busybox {attack}' for attack in attacks)}; echo end", uid=0, **wish
    )
    said = yard.said(made)
    assert "end" in said
    assert sum("Read-only file system" in line or "File exists" in line for line in said) == len(attacks)
    assert yard.bench.client(username="worker", password=yard.bench.accounts.worker_password).ping()


@pytest.mark.parametrize("uid", [0, 65534])
def test_an_app_reaches_the_display_with_its_cookie(yard: Yard, uid: int) -> None:
    server = XServer(yard.bench.paths.state / "x11", 7)
    try:
        made = yard.run(*PYTHON, CLIENT, display="require", uid=uid)
        assert yard.said(made) == [f"uid {uid} accepted"]
        bare = yard.run(*PYTHON, "import os; del os.environ['XAUTHORITY']\n" + CLIENT, display="auto", uid=uid)
        assert yard.said(bare) == [f"uid {uid} refused"]
    finally:
        server.close()


def test_an_app_that_does_not_ask_sees_no_display(yard: Yard) -> None:
    server = XServer(yard.bench.paths.state / "x11", 7)
    try:
        made = yard.run(*SH, 'echo "[$DISPLAY$XAUTHORITY$SKERRY_LOCK_DIR]"; /bin/busybox ls -d /tmp/.X11-unix', uid=0)
        said = sorted(yard.said(made))
        assert said[0] == "[]"
        assert "No such file" in said[1]
    finally:
        server.close()
