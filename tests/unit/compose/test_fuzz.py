"""The fuzzer of the loader, for a moment: so that it still runs, and finds what it is there to find."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import Refused
from compose.dotenv import parse
from compose.load import load
from tests.fuzz import compose as fuzzing
from tests.fuzz.compose import Difference, Fuzzer

EXECUTIONS = 200


def test_some_executions_of_the_fuzzer_find_nothing(tmp_path: Path) -> None:
    fuzzer = Fuzzer(tmp_path, seed=7)
    fuzzer.prepare()
    for _ in range(EXECUTIONS):
        fuzzer.run()
    assert fuzzer.counts["loaded"] > 0
    assert fuzzer.counts["refused"] > 0
    assert fuzzer.kept


def test_the_fuzzer_does_the_same_again_with_the_same_seed(tmp_path: Path) -> None:
    fuzzers = [Fuzzer(tmp_path / name, seed=1) for name in ("a", "b")]
    for fuzzer in fuzzers:
        fuzzer.prepare()
        for _ in range(30):
            fuzzer.run()
    assert fuzzers[0].counts == fuzzers[1].counts
    assert [seed.text for seed in fuzzers[0].kept] == [seed.text for seed in fuzzers[1].kept]


def test_a_project_that_prints_as_another_one_is_a_finding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "compose.yaml").write_text("services: {web: {image: a}}")
    monkeypatch.setattr(fuzzing, "yaml_text", lambda form: "services: {web: {image: b}}")
    with pytest.raises(Difference, match="printed and loaded again it differs"):
        list(Fuzzer(folder, 0).answer([folder / "compose.yaml"]))


def test_what_is_neither_answer_nor_refusal_is_a_finding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(project: object) -> None:
        raise ZeroDivisionError

    (folder / "compose.yaml").write_text("services: {web: {image: a}}")
    monkeypatch.setattr(fuzzing, "check", broken)
    with pytest.raises(ZeroDivisionError):
        list(Fuzzer(folder, 0).answer([folder / "compose.yaml"]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_any_environment_file_is_read_or_refused(text: str) -> None:
    message = ""
    try:
        parse(text, lambda name: None, file="e")
    except Refused as error:
        message = str(error)
    assert message.isprintable()


@pytest.mark.parametrize(
    "text", ["services: {web: {image: \x00}}", "services: \ud800", "\ufeffservices: {}", "a: b: c", "? \n", "%"]
)
def test_a_text_that_once_broke_a_reader_is_refused(folder: Path, text: str) -> None:
    (folder / "compose.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(Refused) as caught:
        load([folder / "compose.yaml"], environment={})
    assert str(caught.value).isprintable()
