"""Whole projects: files, names, variables, includes, extensions, profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from compose.canonical import canonical
from compose.errors import ComposeError, MissingVariable, UnknownKey, Unreadable
from compose.load import load
from tests.unit.compose.conftest import Load, LoadService

WEB = "services: {web: {image: busybox}}"


def test_the_name_is_the_folders_when_nothing_else_gives_one(load_text: Load) -> None:
    assert load_text(WEB).name == "app"


def test_the_name_of_the_last_file_counts(load_text: Load) -> None:
    assert load_text(f"name: one\n{WEB}", "name: ${N:-two}").name == "two"


def test_the_environment_names_the_project_before_the_file_does(load_text: Load) -> None:
    assert load_text(f"name: one\n{WEB}", environment={"COMPOSE_PROJECT_NAME": "env"}).name == "env"


def test_the_given_name_counts_before_all_and_is_a_variable(load_text: Load) -> None:
    project = load_text(
        "services: {web: {image: '$COMPOSE_PROJECT_NAME'}}", name="given", environment={"COMPOSE_PROJECT_NAME": "e"}
    )
    assert (project.name, project.services["web"].image) == ("given", "given")


@pytest.mark.parametrize("name", ["Given", "a b", "-a", "_a", "a" * 64])
def test_a_name_given_on_purpose_is_not_changed_but_refused(load_text: Load, name: str) -> None:
    with pytest.raises(ComposeError, match="cannot name a project"):
        load_text(WEB, name=name)
    with pytest.raises(ComposeError, match="cannot name a project"):
        load_text(WEB, environment={"COMPOSE_PROJECT_NAME": name})


def test_a_name_in_the_file_is_made_valid(load_text: Load) -> None:
    assert load_text(f"name: My App!\n{WEB}").name == "myapp"


def test_compose_env_files_names_files_in_place_of_dotenv(load_text: Load) -> None:
    project = load_text(
        "services: {web: {image: 'x$A$B'}}",
        files={".env": "A=0\nB=0\n", "a.env": "A=1\nB=1\n", "b.env": "B=2\n"},
        environment={"COMPOSE_ENV_FILES": "a.env, b.env"},
    )
    assert project.services["web"].image == "x12"


def test_compose_disable_env_file_leaves_dotenv_unread(load_text: Load) -> None:
    files = {".env": "A=1\n"}
    project = load_text("services: {web: {image: x$A}}", files=files, environment={"COMPOSE_DISABLE_ENV_FILE": "1"})
    assert project.services["web"].image == "x"


def test_the_process_environment_wins_over_dotenv(load_text: Load) -> None:
    project = load_text(
        "services: {web: {image: '$A-$B'}}", files={".env": "A=file\nB=file\n"}, environment={"A": "process"}
    )
    assert project.services["web"].image == "process-file"


def test_named_environment_files_take_the_place_of_dotenv(load_text: Load) -> None:
    project = load_text(
        "services: {web: {image: 'x${A}${B}'}}",
        files={".env": "A=0\n", "a.env": "A=1\nB=1\n", "b.env": "B=2\n"},
        env_files=("a.env", "b.env"),
    )
    assert project.services["web"].image == "x12"


def test_an_unset_variable_is_a_warning_with_its_place(load_text: Load) -> None:
    warnings = load_text("services:\n  web:\n    image: busybox$TAG\n").warnings
    assert warnings == ("compose.yaml:3: variable TAG is not set and counts as empty",)


def test_a_required_variable_is_refused_with_its_place(load_text: Load) -> None:
    with pytest.raises(
        MissingVariable, match=r"^compose\.yaml:3: services\.web\.image: variable TAG must be set: pick"
    ):
        load_text("services:\n  web:\n    image: busybox:${TAG:?pick}\n")


def test_variables_in_keys_stay(load_service: LoadService) -> None:
    assert load_service("labels: {$A: $A}", environment={"A": "1"}).labels == {"$A": "1"}


def test_an_included_project_has_its_own_folder_and_environment(load_text: Load) -> None:
    project = load_text(
        "include: [sub/compose.yaml]\nservices: {web: {image: 'x$A', depends_on: [db]}}",
        files={
            "sub/compose.yaml": "services: {db: {image: '$A', volumes: ['./data:/data']}}",
            "sub/.env": "A=inner\n",
            ".env": "B=outer\n",
        },
    )
    assert project.services["db"].image == "inner"
    assert project.services["db"].volumes[0].source == str(project.folder / "sub" / "data")
    assert project.services["web"].image == "x"


def test_an_included_project_may_have_several_files_and_another_folder(load_text: Load) -> None:
    project = load_text(
        "include: [{path: [sub/a.yaml, sub/b.yaml], project_directory: other, env_file: sub/e}]\n" + WEB,
        files={
            "sub/a.yaml": "services: {db: {image: a, env_file: v}}",
            "sub/b.yaml": "services: {db: {image: $A}}",
            "sub/e": "A=b",
            "other/v": "X=1",
        },
    )
    assert project.services["db"].image == "b"
    assert project.services["db"].environment == {"X": "1"}


def test_what_is_included_twice_must_be_the_same(load_text: Load) -> None:
    with pytest.raises(ComposeError, match=r"services\.web is defined here and by the included file"):
        load_text("include: [b.yaml]\n" + WEB, files={"b.yaml": "services: {web: {image: other}}"})


def test_an_override_may_change_what_was_included(load_text: Load) -> None:
    files = {"b.yaml": "services: {db: {image: a}}"}
    assert load_text("include: [b.yaml]", "services: {db: {image: b}}", files=files).services["db"].image == "b"


def test_including_in_a_circle_is_refused(load_text: Load) -> None:
    with pytest.raises(ComposeError, match=r"include\[0\]: include goes in a circle"):
        load_text("include: [b.yaml]\n" + WEB, files={"b.yaml": "include: [compose.yaml]"})


def test_a_remote_include_is_refused(load_text: Load) -> None:
    with pytest.raises(Unreadable, match="fetch it first"):
        load_text("include: ['https://example.org/compose.yaml']\n" + WEB)


def test_a_missing_included_file_is_told_where_it_is_asked_for(load_text: Load) -> None:
    with pytest.raises(Unreadable, match=r"^compose\.yaml:2: include\[0\]: nowhere\.yaml: there is no such file"):
        load_text("include:\n  - nowhere.yaml\n" + WEB)


def test_a_service_extends_another_of_its_file(load_text: Load) -> None:
    text = """
services:
  base: {image: a, environment: {A: 1, B: 1}, command: x}
  web: {extends: base, environment: {B: 2}, command: [y]}
"""
    web = load_text(text).services["web"]
    assert (web.image, web.environment, web.command) == ("a", {"A": "1", "B": "2"}, ("y",))


def test_a_service_extends_one_of_another_file_with_that_files_paths(load_text: Load) -> None:
    project = load_text(
        "services: {web: {extends: {file: sub/base.yaml, service: base}}}",
        files={
            "sub/base.yaml": "services: {base: {extends: deep, env_file: e}, deep: {build: ./x}}",
            "sub/e": "A=1",
        },
    )
    web = project.services["web"]
    assert web.build is not None
    assert web.build.context == str(project.folder / "sub" / "x")
    assert web.environment == {"A": "1"}
    assert set(project.services) == {"web"}


def test_a_service_may_reset_what_it_inherits(load_text: Load) -> None:
    text = "services: {base: {image: a, ports: ['80']}, web: {extends: base, ports: !reset []}}"
    assert load_text(text).services["web"].ports == ()


@pytest.mark.parametrize(
    "services",
    [
        "{web: {extends: web}}",
        "{web: {extends: b}, b: {extends: web}}",
        "{web: {extends: {file: compose.yaml, service: b}}, b: {extends: {file: compose.yaml, service: web}}}",
    ],
)
def test_extending_in_a_circle_is_refused(load_text: Load, services: str) -> None:
    with pytest.raises(ComposeError, match="extends goes in a circle"):
        load_text(f"services: {services}")


def test_extending_nothing_is_refused(load_text: Load) -> None:
    with pytest.raises(ComposeError, match=r"services\.web\.extends: there is no service 'x' to extend"):
        load_text("services: {web: {image: a, extends: x}}")


def test_profiles_choose_services(load_text: Load) -> None:
    text = "services: {web: {image: a}, debug: {image: a, profiles: [dev]}, other: {image: a, profiles: [x]}}"
    assert set(load_text(text).services) == {"web"}
    assert set(load_text(text, profiles=["dev"]).services) == {"web", "debug"}
    assert set(load_text(text, environment={"COMPOSE_PROFILES": "dev, x"}).services) == {"web", "debug", "other"}
    assert set(load_text(text, profiles=["*"]).services) == {"web", "debug", "other"}


def test_a_needed_service_without_its_profile_is_refused(load_text: Load) -> None:
    with pytest.raises(ComposeError, match="runs only with profile dev"):
        load_text("services: {web: {image: a, depends_on: [db]}, db: {image: a, profiles: [dev]}}")


def test_an_optional_service_without_its_profile_is_left_out(load_text: Load) -> None:
    depends = "{db: {condition: service_healthy, required: false}}"
    text = f"services: {{web: {{image: a, depends_on: {depends}}}, db: {{image: a, profiles: [dev]}}}}"
    assert load_text(text).services["web"].depends_on == {}


def test_environment_files_come_before_the_environment(load_service: LoadService) -> None:
    service = load_service(
        "env_file: [a.env, {path: b.env}, {path: none.env, required: false}]\nenvironment: {C: web, D: ''}",
        files={"a.env": "A=a\nB=a\n", "b.env": "B=b\nC=b\nE=$OUTER\nF\nG\n"},
        environment={"OUTER": "o", "G": "g"},
    )
    assert service.environment == {"A": "a", "B": "b", "C": "web", "D": "", "E": "o", "G": "g"}


def test_variables_in_environment_files_see_the_service_and_earlier_files(load_service: LoadService) -> None:
    service = load_service(
        "env_file: [a.env, b.env]\nenvironment: {OWN: own, BOTH: own, A: last}",
        files={"a.env": "A=first\nF=file\n", "b.env": "B=$OUTER-$OWN-$BOTH-$F-$A\n"},
        environment={"OUTER": "outer", "F": "outside", "BOTH": "outside"},
    )
    assert service.environment == {
        "OWN": "own",
        "BOTH": "own",
        "A": "last",
        "F": "file",
        "B": "outer-own-outside-outside-last",
    }


def test_a_raw_environment_file_is_not_touched(load_service: LoadService) -> None:
    service = load_service("env_file: [{path: e, format: raw}]", files={"e": "A='$X' # y\n"})
    assert service.environment == {"A": "'$X' # y"}


def test_a_missing_environment_file_is_told_with_its_key(load_service: LoadService) -> None:
    with pytest.raises(Unreadable, match=r"compose\.yaml:4: services\.web\.env_file\[0\]: e: there is no such file"):
        load_service("env_file: e")


def test_a_bare_name_takes_its_value_from_outside(load_service: LoadService) -> None:
    assert load_service("environment: [A, B]", environment={"A": "1"}).environment == {"A": "1", "B": None}


def test_label_files_come_before_labels(load_service: LoadService) -> None:
    service = load_service("label_file: l\nlabels: {b: '2'}", files={"l": "a=1\nb=1\n"})
    assert service.labels == {"a": "1", "b": "2"}


def test_a_service_without_networks_joins_the_default_one(load_text: Load) -> None:
    project = load_text(WEB)
    assert list(project.services["web"].networks) == ["default"]
    assert project.networks["default"].name == "app_default"


def test_a_service_with_its_own_network_mode_joins_none(load_service: LoadService) -> None:
    assert load_service("network_mode: host").networks == {}


def test_links_namespaces_and_shared_volumes_are_dependencies(load_text: Load) -> None:
    text = (
        "services: {a: {image: x, links: ['b:alias']}, b: {image: x, network_mode: 'service:c'},"
        " c: {image: x, volumes_from: [d]}, d: {image: x}}"
    )
    services = load_text(text).services
    assert {name: list(service.depends_on) for name, service in services.items()} == {
        "a": ["b"],
        "b": ["c"],
        "c": ["d"],
        "d": [],
    }


def test_an_unknown_key_is_named_with_the_one_that_was_meant(load_service: LoadService) -> None:
    with pytest.raises(UnknownKey, match=r"^compose\.yaml:4: services\.web: 'port' .* did you mean 'ports'\?$"):
        load_service("port: ['80']")


def test_extension_keys_may_stand_anywhere(load_text: Load) -> None:
    text = "x-a: {b: 1}\nservices: {web: {image: a, x-b: [1], build: {context: ., x-c: 1}}}\nnetworks: {n: {x-d: 1}}"
    assert load_text(text).services["web"].rest["x-b"] == [1]


def test_the_extension_of_skerry_is_read(load_service: LoadService) -> None:
    skerry = load_service("x-skerry: {telemetry: socket}").skerry
    assert skerry is not None
    assert skerry.telemetry == "socket"


@pytest.mark.parametrize("value", ["{telemetri: socket}", "{telemetry: udp}", "socket", "~"])
def test_an_unknown_word_in_the_extension_of_skerry_is_refused(load_service: LoadService, value: str) -> None:
    with pytest.raises(ComposeError, match="x-skerry"):
        load_service(f"x-skerry: {value}")


@pytest.mark.parametrize("text", ["", "---\n", "[]", "text", "{}", "services: {}", "services:", "services: []"])
def test_a_file_without_services_is_refused(load_text: Load, text: str) -> None:
    with pytest.raises(ComposeError):
        load_text(text)


@pytest.mark.parametrize(
    "text", ["volumes: {v: }", "services: {}\nname: x", "services: {web: {image: a, profiles: [x]}}"]
)
def test_a_project_that_runs_nothing_can_be_printed_but_not_loaded(folder: Path, text: str) -> None:
    (folder / "compose.yaml").write_text(text)
    found = canonical([folder / "compose.yaml"], environment={})
    assert not found.document.get("services")
    with pytest.raises(ComposeError, match="no services to run"):
        load([folder / "compose.yaml"], environment={})


@pytest.mark.parametrize("networks", ["{}", "[]"])
def test_a_service_with_no_networks_at_all_joins_the_default_one(load_service: LoadService, networks: str) -> None:
    assert load_service(f"networks: {networks}").networks == {"default": None}


def test_a_missing_file_is_refused(folder: Path) -> None:
    with pytest.raises(Unreadable, match=r"compose\.yaml: there is no such file"):
        load([folder / "compose.yaml"], environment={})


def test_a_file_that_is_not_text_is_refused(folder: Path) -> None:
    (folder / "compose.yaml").write_bytes(b"services: \xff\xfe")
    with pytest.raises(Unreadable, match="not UTF-8"):
        load([folder / "compose.yaml"], environment={})


def test_later_documents_of_a_file_change_earlier_ones(load_text: Load) -> None:
    assert load_text(f"{WEB}\n---\nservices: {{web: {{image: b}}}}\n").services["web"].image == "b"


def test_no_file_at_all_is_refused() -> None:
    with pytest.raises(ComposeError, match="no Compose file"):
        load([], environment={})


def test_loading_twice_gives_the_same(load_text: Load) -> None:
    assert load_text(WEB).plain() == load_text(WEB).plain()
