"""The command `skerry` as a process against the API over TLS: what it prints, how it ends, what it survives."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.enrollment import parse_token
from broker.tls import ca_hash
from broker.transport import Endpoint
from cloud.api.app import create_app
from cloud.config import Folder, free_port
from cloud.server import ApiServer
from tests.contract.test_cloud_api import PASSWORD, Cloud, Joining

LOOPBACK = "127.0.0.1"
PATIENCE_S = 20.0


class Served:
    """An API over TLS that can be stopped and started again at its address."""

    def __init__(self, folder: Path, port: int) -> None:
        self.cloud = Cloud(Folder(folder))
        self.cloud.pki.renew_files(LOOPBACK, now=dt.datetime.now(dt.UTC))
        self.url = f"https://{LOOPBACK}:{port}"
        self._endpoint = Endpoint(LOOPBACK, port)
        self._server: ApiServer | None = None
        self.start()

    def start(self) -> None:
        self._server = ApiServer(create_app(self.cloud.context), self._endpoint, self.cloud.pki)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self.cloud.context.feed.close()  # as the real one does: event streams would be waited for
            self._server.stop()
            self._server = None

    @property
    def ca_hash(self) -> str:
        return ca_hash(self.cloud.client.get("/v1/ca").text)


class Command:
    """Runs `skerry` processes with one home."""

    def __init__(self, home: Path) -> None:
        self._environment = {**os.environ, "SKERRY_HOME": str(home), "SKERRY_PASSWORD": PASSWORD}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=PATIENCE_S)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(  # a shell's background jobs, of which we may be one, ignore the signal
            ["env", "--default-signal=INT", sys.executable, "-m", "cloud.cli.main", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def good(self, *arguments: str) -> str:
        """Return what a command prints that must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "cloud", free_port(LOOPBACK))
    yield served
    served.stop()
    served.cloud.database.close()


@pytest.fixture
def skerry(served: Served, tmp_path: Path) -> Command:
    command = Command(tmp_path / "home")
    command.good("login", served.url, "--user", "ann", "--ca-hash", served.ca_hash)
    return command


def test_an_operator_logs_in_makes_a_fleet_and_a_token(served: Served, skerry: Command) -> None:
    assert skerry.good("whoami").startswith("ann of main ")
    skerry.good("fleet", "create", "boats")
    assert [fleet["name"] for fleet in json.loads(skerry.good("fleet", "list", "--json"))["fleets"]] == [
        "boats",
        "default",
    ]
    token = parse_token(skerry.good("device", "enroll-token", "--fleet", "boats"))
    assert (token.url, token.ca) == (served.cloud.context.settings.api_url, served.ca_hash)
    assert json.loads(skerry.good("status", "--json")) == {"devices": []}
    assert json.loads(skerry.good("telemetry", "--json"))["samples"] == []
    assert json.loads(skerry.good("logs", "--json"))["lines"] == []
    skerry.good("logout")
    assert skerry.run("whoami").returncode == 1


def test_a_release_is_deployed_and_an_app_deleted(served: Served, skerry: Command) -> None:
    served.cloud.login().app("hello")
    assert "no device is in fleet default yet" in skerry.good("deploy", "hello", "--release", "1", "--wait")
    assert "1        " in skerry.good("app", "show", "hello")
    assert json.loads(skerry.good("app", "list", "--json"))["apps"][0]["releases"] == 1
    refused = skerry.run("app", "delete", "hello")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "--force" in refused.stderr
    assert skerry.good("app", "delete", "hello", "--force") == "deleted hello\n"


def test_a_device_that_is_away_is_shown_and_waited_for(served: Served, skerry: Command) -> None:
    user = served.cloud.login()
    user.app("hello")
    Joining("pump").enroll(user)
    assert skerry.good("device", "list").splitlines()[1].startswith("pump    default  no")
    waited = skerry.run("deploy", "hello", "--wait", "--timeout", "0")
    assert (waited.returncode, waited.stderr) == (
        5,
        "skerry: timed out; 1 device not reachable (pump): it will follow when it comes\n",
    )
    assert json.loads(skerry.good("device", "show", "pump", "--json"))["online"] is False
    assert skerry.good("status").splitlines()[1].split() == ["pump", "default", "never", "none", "of", "1.1", "-"]


def test_a_cloud_that_is_away_ends_with_3(served: Served, skerry: Command) -> None:
    served.stop()
    done = skerry.run("status")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)


def test_another_authority_at_the_same_address_is_refused(served: Served, skerry: Command, tmp_path: Path) -> None:
    served.stop()
    impostor = Served(tmp_path / "impostor", int(served.url.rpartition(":")[2]))
    done = skerry.run("status", "--json")
    impostor.stop()
    impostor.cloud.database.close()
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["reason"] == "wrong_ca"


def test_a_wrong_password_is_refused_and_keeps_the_old_login(served: Served, skerry: Command, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("no\n")
    login = ("login", served.url, "--user", "ann", "--ca-hash", served.ca_hash, "--password-file", str(wrong))
    assert skerry.run(*login).returncode == 1
    skerry.good("whoami")


def test_watch_goes_on_over_a_restart_of_the_cloud_and_ends_clean_by_ctrl_c(served: Served, skerry: Command) -> None:
    feed, org = served.cloud.context.feed, served.cloud.login().org
    watching = skerry.start("watch")
    assert watching.stdout is not None

    def told(fleet: str) -> str:
        """Return the next line, after an event that is published once somebody listens."""
        assert watching.stdout is not None
        for _ in range(int(PATIENCE_S / 0.05)):
            if feed.watched(org):
                break
            threading.Event().wait(0.05)
        feed.publish(org, "deployment", {"app": "hello", "fleet": fleet, "release": "sha256:" + "a" * 64})
        return watching.stdout.readline()

    try:
        assert told("boats").rstrip().endswith("fleet boats       deployment of hello sha256:aaaaaaaaaaaa")
        served.stop()
        served.start()
        assert "fleet cranes" in told("cranes")
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=PATIENCE_S)
    finally:
        watching.kill()
    assert watching.returncode == 130
    assert [line[:30] for line in err.splitlines() if line] == ["connection lost, trying again:"]


def test_help_loads_nothing_that_is_slow() -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from cloud.cli.command_line import run\nfrom cloud.cli.surroundings import Surroundings\n"
        "assert run(['--help'], Surroundings(variables={}, home=Path('none'))) == 0\n"
        "print(sorted({'httpx', 'rich', 'pydantic', 'docker', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_printed_project_loads_no_library_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: a}}\n")
    code = (
        "import atexit, sys\nfrom cloud.cli.main import main\n"
        "slow = {'typer', 'click', 'pydantic', 'httpx', 'rich', 'docker', 'importlib.metadata'}\n"
        "atexit.register(lambda: print(sorted(slow & set(sys.modules))))\n"
        "sys.argv = ['skerry', 'app', 'config', 'compose.yaml']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[0].startswith("name: ")
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_printed_project_that_nobody_reads_on_is_no_error(tmp_path: Path) -> None:
    services = "".join(f"  s{number}: {{image: a}}\n" for number in range(5000))
    (tmp_path / "compose.yaml").write_text(f"services:\n{services}")
    command = f"{sys.executable} -m cloud.cli.main app config compose.yaml | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
