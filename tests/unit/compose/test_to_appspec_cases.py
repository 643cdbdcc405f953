"""Every case that loads is converted, or refused by the name of a key; a policy case as expected, without a trace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from broker.appspec import AppSpec, Image
from compose.errors import Unsupported
from compose.load import load
from compose.project import Project
from compose.to_appspec import converted
from tests.unit.compose.test_cases import CASES

IMAGE = Image(repository="o/a/web", digest="sha256:" + "1" * 64)
PREFIX = "balena-reject-rejections-"
REFUSED = {
    "network-driver": "networks.custom_net.driver: the driver 'overlay' does not run on one device; use bridge",
}
TAKEN = {
    "enable-ipv4": {"networks": {"default": {}}},
    "negative-pids-limit": {"services": {"service1": {"pids_limit": -1}}},
    "network-aux-addresses": {
        "networks": {"default": {"pools": [{"subnet": "172.16.0.0/24", "aux_addresses": {"host1": "172.16.0.2"}}]}}
    },
    "network-external": {"networks": {"custom_net": {"external": "custom_net"}}},
    "pid-container": {"services": {"service1": {"pid": "container:abc123"}}},
    "volume-external": {"volumes": {"myvolume": {"external": "myvolume"}}},
    "service-deny-list": {"services": {"service1": {"blkio": {"weight": 300}}}},
}


def project(case: Path, tmp_path: Path) -> Project:
    root = tmp_path / "app"
    shutil.copytree(case / "src", root)
    files = [root / Path(file).relative_to("src") for file in json.loads((case / "case.json").read_text())["compose"]]
    return load(files, environment={"HOME": str(tmp_path)})


def spec_of(app: Project) -> AppSpec:
    return converted(app, dict.fromkeys(app.services, IMAGE)).spec


def holds(whole: object, part: object) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and holds(whole[key], value) for key, value in part.items())
    return whole == part


def test_every_policy_case_is_expected_to_run_or_to_be_refused() -> None:
    names = {folder.name.removeprefix(PREFIX).removesuffix(".yml") for folder in (CASES / "policy").iterdir()}
    assert names == REFUSED.keys() | TAKEN.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_a_case_is_refused_by_the_name_of_its_key_and_leaves_no_trace(name: str, tmp_path: Path) -> None:
    app = project(CASES / "policy" / f"{PREFIX}{name}.yml", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Unsupported) as refused:
        spec_of(app)
    assert str(refused.value).endswith(REFUSED[name])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", TAKEN)
def test_a_case_is_taken_with_what_it_asks(name: str, tmp_path: Path) -> None:
    spec = spec_of(project(CASES / "policy" / f"{PREFIX}{name}.yml", tmp_path))
    assert holds(spec.plain(), TAKEN[name])


@pytest.mark.parametrize("case", sorted((CASES / "valid").iterdir()), ids=lambda case: case.name)
def test_a_project_is_converted_or_refused_by_the_name_of_a_key(case: Path, tmp_path: Path) -> None:
    app = project(case, tmp_path)
    why = ""
    try:
        spec = spec_of(app)
        assert AppSpec.model_validate(spec.plain()).digest == spec.digest
    except Unsupported as refused:
        why = str(refused)
    assert why.partition(".")[0] in ("", "services", "networks", "volumes", "configs", "secrets")
