"""The plain spelling of `skerry app config` is understood as the whole command line understands it, or left to that."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.cli import config_command
from cloud.cli.config_command import Asked, understood
from tests.unit.cli.cloud import Shell


@pytest.mark.parametrize(
    "line",
    [
        "",
        "compose.yaml",
        "a.yaml b.yaml --profile dev c.yaml --profile test",
        "--env-file a.env a.yaml --env-file b.env",
        "--all-profiles --profile dev",
        "--name one --name two",
        "--format json",
        "--format json --format yaml --all-profiles",
        "folder --format yaml --json",
    ],
)
def test_a_plain_line_is_understood_as_the_whole_command_line_does(
    line: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Asked] = []

    def show(asked: Asked, variables: object) -> int:
        seen.append(asked)
        return 0

    monkeypatch.setattr(config_command, "show", show)
    arguments = ["app", "config", *line.split()]
    assert shell.run(*arguments) == 0
    plain = understood(arguments)
    assert plain is not None
    assert [plain._replace(errors_as_json=False)] == seen


@pytest.mark.parametrize(
    "line",
    [
        "app",
        "app check",
        "--login x app config",
        "app config --help",
        "app config --format toml",
        "app config --format",
        "app config --profile=dev",
        "app config --name -x",
        "app config --no-such-option",
        "app config -- compose.yaml",
        "app config -",
    ],
)
def test_every_other_line_is_left_to_the_whole_command_line(line: str) -> None:
    assert understood(line.split()) is None


def test_errors_are_json_only_where_the_flag_says_so() -> None:
    assert understood(["app", "config", "--format", "json"]) == Asked(as_json=True)
    assert understood(["app", "config", "--json"]) == Asked(as_json=True, errors_as_json=True)


def test_a_project_is_printed_with_its_warnings_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("name: x\nservices: {web: {image: a$TAG}}\n")
    assert config_command.show(Asked(files=(file,)), {}) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[:2] == ["name: x", "services:"]
    assert shown.err == "warning: compose.yaml:2: variable TAG is not set and counts as empty\n"
