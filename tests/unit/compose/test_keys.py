"""The table of keys is complete, and the documentation shows it."""

from __future__ import annotations

from pathlib import Path

from compose.keys import ROWS, TOP_LEVEL, Fate, as_markdown, judged
from compose.project import Service
from compose.refusals import Refusal, verdict
from compose.service_keys import SERVICE_KEYS
from compose.specification import CONFIG_KEYS, NETWORK_KEYS, SECRET_KEYS, VOLUME_KEYS
from tests.unit.compose.conftest import Load

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "compose.md"


def test_every_key_of_the_specification_has_a_row() -> None:
    sections = {
        "services": SERVICE_KEYS,
        "networks": NETWORK_KEYS,
        "volumes": VOLUME_KEYS,
        "configs": CONFIG_KEYS,
        "secrets": SECRET_KEYS,
    }
    for section, keys in sections.items():
        assert set(keys) - set(ROWS[section]) == set()


def test_every_supported_key_of_a_service_has_a_type() -> None:
    read_while_loading = {"env_file", "extends", "label_file"}
    supported = {
        key for key, row in ROWS["services"].items() if row.fate is Fate.SUPPORTED and "." not in key and "[" not in key
    }
    fields = {field.alias or name for name, field in Service.model_fields.items()}
    assert supported - fields - read_while_loading == set()


def test_whatever_is_not_supported_has_a_reason() -> None:
    rows = [*TOP_LEVEL.values(), *(row for section in ROWS.values() for row in section.values())]
    assert all(row.why for row in rows if row.fate is not Fate.SUPPORTED)


def test_the_documentation_shows_the_table() -> None:
    assert as_markdown() in DOCUMENT.read_text()


def test_a_key_that_the_table_forgets_is_refused_below_those_it_knows() -> None:
    found = list(judged("services", "web", {"deploy": {"new_key": 1}}))
    assert [(key.path, key.row.fate) for key in found] == [("services.web.deploy.new_key", Fate.REFUSED)]


def test_what_is_switched_off_asks_for_nothing() -> None:
    assert list(judged("services", "web", {"use_api_socket": False, "post_start": [], "models": None})) == []


def test_zero_is_not_switched_off() -> None:
    assert [key.path for key in judged("services", "web", {"cpu_percent": 0})] == ["services.web.cpu_percent"]


def test_a_name_that_is_not_to_be_found_is_refused_and_the_default_is_not() -> None:
    def paths(value: bool) -> list[str]:
        part = {"networks": {"front": {"use_service_name_alias": value}}}
        return [key.path for key in judged("services", "web", part)]  # type: ignore[arg-type]

    assert paths(False) == ["services.web.networks.front.use_service_name_alias"]
    assert paths(True) == []


def test_jobs_are_refused_by_name(load_text: Load) -> None:
    project = load_text("services: {web: {image: a}}\njobs: {j: {image: a, triggers: {manual: true}}}")
    assert verdict(project).refused == (
        Refusal("jobs", "is refused: a device runs services; make it one that ends, with restart: no"),
    )
