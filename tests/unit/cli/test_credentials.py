"""Where logins are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.cli import credentials
from cloud.cli.errors import RequestRefused
from tests.unit.cli.cloud import LOGIN


def test_the_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    credentials.keep(tmp_path / "home", "default", LOGIN)
    assert (tmp_path / "home" / credentials.FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


def test_logins_are_kept_by_name(tmp_path: Path) -> None:
    credentials.keep(tmp_path, "default", LOGIN)
    credentials.keep(tmp_path, "test", credentials.Login(**{**vars(LOGIN), "user": "bob"}))
    assert credentials.read(tmp_path, "default").user == "ann"
    assert credentials.read(tmp_path, "test").user == "bob"


def test_a_forgotten_login_is_gone_and_the_others_stay(tmp_path: Path) -> None:
    credentials.keep(tmp_path, "default", LOGIN)
    credentials.keep(tmp_path, "test", LOGIN)
    credentials.forget(tmp_path, "default")
    credentials.forget(tmp_path, "default")
    assert credentials.read(tmp_path, "test") == LOGIN
    with pytest.raises(RequestRefused, match="no login 'default'"):
        credentials.read(tmp_path, "default")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"logins": {"default": {"url": 1}}}', '{"logins": 3}'])
def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / credentials.FILE).write_text(text)
    with pytest.raises(RequestRefused, match=r"logins\.json is damaged"):
        credentials.read(tmp_path, "default")


def test_the_environment_says_where_logins_are() -> None:
    assert credentials.home_of({"SKERRY_HOME": "/somewhere"}) == Path("/somewhere")
    assert credentials.home_of({}).name == "skerry"
