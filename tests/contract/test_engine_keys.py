"""Every key of the AppSpec reaches the engine: made on real ones and looked at there, container by container.

The memory engine takes the same, and each refuses by name what it would leave out.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path as FilePath
from typing import Any

import pytest

from broker.appspec import AppSpec, Attachment, Hook, Network, Service, Volume
from broker.engine_limits import older
from device.engine.connection import libpod_url
from device.engine.limits import left_out, network_left_out
from device.engine.listing import UNFINISHED
from device.engine.port import EngineRefused
from device.engine.secret_files import filesystem_of
from device.reconcile.wanted import Wanted, wanted
from tests.harness.apps import sealed
from tests.harness.engine_bench import KINDS, REAL, SH, Bench, bench_of
from tests.harness.engine_keys import (
    APP,
    CONFIG,
    CONTENTS,
    ELSEWHERE,
    FILES,
    INSTANCE,
    JOINING,
    NETWORK,
    OCI,
    PODMAN_ASKS,
    PODMAN_REFUSES,
    PODMAN_REFUSES_OF_NETWORKS,
    PODMAN_SHOWS,
    PODMAN_SHOWS_OF_NETWORKS,
    POOLS,
    READY,
    SECRET,
    SERVICE,
    TOO_NEW,
    Among,
    Keys,
    OneOf,
    Path,
)


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """An engine of each kind. The tables have the names in them that come of one instance."""
    with bench_of(request.param, request) as made:
        made.instance = INSTANCE
        yield made


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(request.param, request) as made:
        made.instance = INSTANCE
        yield made


@pytest.fixture
def in_memory(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of("memory", request) as made:
        made.instance = INSTANCE
        yield made


def web(bench: Bench, keys: Keys, **more: Keys) -> Wanted:
    """Return an app whose service `web` has these keys; its networks' default one has both kinds of addresses."""
    networks = {name: POOLS if name == "default" else {} for name in keys.get("networks", {})}
    return bench.app({"web": keys, **more}, networks=networks, volumes={"data": {}})


def at(seen: Any, path: Path) -> Any:
    for key in path:
        seen = seen[int(key)] if isinstance(seen, list) else seen.get(key)
    return seen


def test_every_key_of_the_appspec_has_a_case() -> None:
    services = {name.partition(".")[0] for name in (*SERVICE, *JOINING, *TOO_NEW, *ELSEWHERE)}
    assert set(Service.model_fields) - services == set()
    attachments = {name.partition(".")[2] for name in (*SERVICE, *TOO_NEW) if name.startswith("attachment.")}
    assert set(Attachment.model_fields) == attachments
    assert set(Network.model_fields) - {"driver", "gateway", "enable_ipv6", "ipam_options", "external"} == set(NETWORK)
    assert set(Volume.model_fields) == {"driver", "options", "labels", "external"}
    assert set(AppSpec.model_fields) == {"v", "name", "services", "networks", "volumes", "configs", "secrets"}


def refused(bench: Bench, app: Wanted) -> bool:
    """Return whether the engine is known to leave out what the app asks; then it must say so, and make nothing."""
    kind: str = "podman" if bench.kind == "podman" else "docker"
    keys = left_out(app.containers["web"], kind, bench.api)
    if not keys:
        return False
    with pytest.raises(EngineRefused) as error:
        bench.up(app)
    assert error.value.reason == "engine_cannot"
    assert all(key in str(error.value) for key in keys)
    assert bench.engine.containers() == ()
    return True


def shown(bench: Bench, where: set[str]) -> Any:
    """Return the inspection of the service `web`; of Podman also what its runtime is told, if that is asked for."""
    made = bench.seen()
    if not where & {READY, OCI}:
        return made
    assert bench.client is not None
    url = f"{libpod_url(bench.client, '/containers')}/{made['Id']}"
    bench.client._post(f"{url}/init")  # some of these containers cannot start; what they are told shows nevertheless
    path = bench.client._get(f"{url}/json").json().get("OCIConfigPath")
    told = json.loads(FilePath(path).read_text()) if path else {"mounts": []}
    told["mounts"] = {mount["destination"]: mount for mount in told["mounts"]}
    return made | {READY: bench.seen(), OCI: told}


@pytest.mark.parametrize("key", SERVICE)
def test_a_key_shows_in_the_container(real: Bench, key: str) -> None:
    keys, expected = SERVICE[key]
    if real.kind == "podman":
        keys, expected = PODMAN_ASKS.get(key, keys), PODMAN_SHOWS.get(key, expected)
    app = web(real, keys)
    is_refused = refused(real, app)
    assert is_refused == (real.kind == "podman" and key in PODMAN_REFUSES)
    if is_refused:
        return
    real.up(app)
    seen = shown(real, {path[0] for path in expected})
    for path, value in expected.items():
        found = at(seen, path)
        if isinstance(value, OneOf):
            assert found in value
        elif isinstance(value, Among):
            assert set(value) <= set(found)
        else:
            assert found == value


@pytest.mark.parametrize("key", SERVICE)
def test_the_memory_engine_takes_the_key_as_well(in_memory: Bench, key: str) -> None:
    app = web(in_memory, SERVICE[key][0])
    in_memory.up(app)
    assert [seen.hash for seen in in_memory.engine.containers()] == [app.containers["web"].hash]


@pytest.mark.parametrize("key", JOINING)
def test_a_service_joins_another_of_its_app(real: Bench, key: str) -> None:
    keys, path = JOINING[key]
    real.up(web(real, keys | {"depends_on": {"db": {}}}, db={"ipc": "shareable"}))
    other = real.seen("db")
    names = {other["Id"], other["Name"].lstrip("/")}
    assert at(real.seen(), path) in {f"container:{n}" for n in names} | {f"{n}:ro" for n in names}


@pytest.mark.parametrize("key", JOINING)
def test_a_container_is_removed_although_another_has_joined_it(real: Bench, key: str) -> None:
    real.up(web(real, JOINING[key][0] | {"depends_on": {"db": {}}}, db={"ipc": "shareable"}))
    (other,) = [seen for seen in real.engine.containers() if seen.service == "db"]
    real.engine.remove(other.id)
    assert "db" not in [seen.service for seen in real.engine.containers()]


@pytest.mark.parametrize("key", JOINING)
def test_a_service_cannot_join_one_that_is_not_there(bench: Bench, key: str) -> None:
    app = web(bench, JOINING[key][0] | {"depends_on": {"db": {}}}, db={"ipc": "shareable"})
    with pytest.raises(EngineRefused):  # noqa: PT012 - some engines notice when it starts
        bench.engine.create(app.containers["web"])
        bench.engine.start(bench.engine.containers()[0].id)


@pytest.mark.parametrize("key", TOO_NEW)
def test_an_engine_too_old_for_a_key_refuses_it_by_name_and_makes_nothing(bench: Bench, key: str) -> None:
    app = web(bench, TOO_NEW[key])
    if not refused(bench, app):
        assert not older(bench.api, "1.43")
        bench.up(app)


@pytest.mark.parametrize("key", NETWORK)
def test_a_key_shows_in_the_network(real: Bench, key: str) -> None:
    keys, expected = NETWORK[key]
    assert real.client is not None
    (network,) = real.app({"web": {}}, networks={"n": keys}).networks
    if real.kind == "podman" and network_left_out(network, "podman"):
        assert key in PODMAN_REFUSES_OF_NETWORKS
        with pytest.raises(EngineRefused) as error:
            real.engine.create_network(network)
        assert error.value.reason == "engine_cannot"
        assert real.engine.resources() == ((), frozenset())
        return
    if real.kind == "podman":
        expected = PODMAN_SHOWS_OF_NETWORKS.get(key, expected)
    real.engine.create_network(network)
    seen = real.client.inspect_network(network.name)
    for path, value in expected.items():
        first, _, rest = path.partition(".")
        found = seen[first][rest] if rest else seen[first]
        assert found == value


def test_the_options_and_labels_of_a_volume_show(real: Bench) -> None:
    assert real.client is not None
    options = {"type": "tmpfs", "device": "tmpfs", "o": "mode=700"}
    app = real.app({"web": {}}, volumes={"data": {"options": options, "labels": {"x": "y"}}})
    real.up(app)
    seen = real.client.inspect_volume(f"{APP}.data")
    assert (seen["Driver"], seen["Options"], seen["Labels"]["x"]) == ("local", options, "y")


def with_files(bench: Bench, keys: Keys | None = None) -> Wanted:
    bare = bench.app({"web": keys or {}}, volumes={"data": {}})
    web = bare.section.spec.services["web"].model_dump() | FILES
    spec = AppSpec.model_validate(bare.section.spec.model_dump() | CONTENTS | {"services": {"web": web}})
    made = bare.section.model_copy(update={"spec": spec, "secrets": {"s": sealed("s", SECRET)}})
    return wanted(made, bench.place)


PLACES: dict[str, Keys] = {
    "a root that can be written": {},
    "a root that cannot be written": {"read_only": True},
    "a volume": {"mounts": [{"type": "volume", "target": "/etc/deep", "source": "data"}]},
    "memory": {"mounts": [{"type": "tmpfs", "target": "/run"}], "read_only": True},
}


@pytest.mark.parametrize("place", PLACES)
def test_configs_and_secrets_are_in_the_container_whatever_is_around_them(real: Bench, place: str) -> None:
    script = "cd /; for f in etc/deep/er/c run/secrets/s; do busybox stat -c '%u %g %a' $f; busybox sha256sum $f; done"
    real.up(with_files(real, PLACES[place]))
    made = real.only()
    real.engine.start(made.id)
    told = real.engine.run_hook(made.id, Hook(command=(*SH, script), environment={"PATH": "/bin"}), timeout_s=30)
    assert told.output.splitlines() == [
        "5 6 640",
        f"{sha256(CONFIG).hexdigest()}  etc/deep/er/c",
        "0 0 400",
        f"{sha256(SECRET).hexdigest()}  run/secrets/s",
    ]
    assert real.only().name == f"{APP}.web"


def test_an_app_cannot_change_its_configs_and_secrets(real: Bench) -> None:
    real.up(with_files(real))
    made = real.only()
    real.engine.start(made.id)
    hook = Hook(command=(*SH, "echo other > /run/secrets/s"), environment={"PATH": "/bin"})
    assert real.engine.run_hook(made.id, hook, timeout_s=30).exit_code != 0


def test_the_files_of_a_container_go_with_it(real: Bench) -> None:
    real.up(with_files(real))
    made = real.only()
    for place in (real.files, real.secrets):
        (folder,) = place.iterdir()
        assert sorted(file.name for file in folder.iterdir()) == ["0"]
    real.engine.remove(made.id)
    assert list(real.files.iterdir()) == list(real.secrets.iterdir()) == []


def test_a_secret_lies_in_memory_and_the_engine_knows_nothing_of_its_value(real: Bench) -> None:
    assert real.client is not None
    real.up(with_files(real))
    seen = json.dumps(real.client.inspect_container(real.only().id))
    assert filesystem_of(real.secrets) == "tmpfs"
    assert [path for path in real.files.rglob("*") if path.is_file() and path.read_bytes() == SECRET] == []
    assert not any(form in seen for form in (base64.b64encode(SECRET).decode(), sha256(SECRET).hexdigest()))


def test_a_container_with_secrets_starts_again_after_a_boot_that_emptied_the_memory(real: Bench) -> None:
    app = with_files(real)
    real.up(app)
    made = real.only()
    shutil.rmtree(real.secrets)
    real.engine.lay_ready(app.containers["web"])
    real.engine.start(made.id)
    hook = Hook(command=(*SH, "busybox sha256sum /run/secrets/s"), environment={"PATH": "/bin"})
    assert sha256(SECRET).hexdigest() in real.engine.run_hook(made.id, hook, timeout_s=30).output


def test_a_secret_that_was_sealed_to_another_device_is_refused_by_its_name(real: Bench) -> None:
    app = with_files(real)
    web = app.containers["web"]
    files = tuple(replace(file, data=file.data[::-1]) if file.sealed else file for file in web.files)
    with pytest.raises(EngineRefused, match="/run/secrets/s: aaaaaaaaaaaa/s is not sealed to this key"):
        real.engine.create(replace(web, files=files))
    assert real.engine.containers() == ()


def test_a_container_with_files_is_seen_as_what_was_wanted(bench: Bench) -> None:
    app = with_files(bench)
    bench.up(app)
    assert [seen.hash for seen in bench.engine.containers()] == [app.containers["web"].hash]
    with pytest.raises(EngineRefused):
        bench.engine.create(app.containers["web"])
    assert len(bench.engine.containers()) == 1


def test_a_container_that_was_not_made_whole_is_gone(real: Bench) -> None:
    app = web(real, {"networks": {"default": {}, "other": {}}})
    real.up(app)
    whole = real.only()
    with pytest.raises(EngineRefused):  # only the last of several calls notices that the name is in use
        real.engine.create(app.containers["web"])
    assert [seen.id for seen in real.engine.containers()] == [whole.id]


def test_a_container_that_was_left_half_made_is_not_taken_for_what_is_wanted(real: Bench) -> None:
    # As after a kill between two calls: it was started without its second network or its files.
    assert real.client is not None
    app = web(real, {})
    real.up(app)
    real.client.rename(f"{APP}.web", f"{APP}.web" + UNFINISHED)
    (seen,) = real.engine.containers()
    assert seen.hash == ""
