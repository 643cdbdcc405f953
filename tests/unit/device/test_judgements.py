"""What was learnt about releases, over restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.reconcile.judgements import BAD_MAX, Judgement, Judgements, choose
from tests.harness.apps import OTHER_DIGEST, section, service
from tests.unit.device.worlds import I2

ONE = section({"web": service()})
TWO = section({"web": service(digest=OTHER_DIGEST)})
OTHER = section({"web": service()}, instance=I2, name="other")
assert ONE.digest is not None
assert TWO.digest is not None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "judgements.json"


def loaded(path: Path) -> Judgements:
    judgements = Judgements(path)
    judgements.load()
    return judgements


@pytest.mark.parametrize(
    ("judgement", "chosen"),
    [
        (Judgement(), TWO),
        (Judgement(good=ONE), TWO),
        (Judgement(good=ONE, bad={TWO.digest: "ill"}), ONE),
        (Judgement(bad={TWO.digest: "ill"}), TWO),
        (Judgement(good=TWO, bad={TWO.digest: "ill"}), TWO),
        (Judgement(good=ONE, bad={ONE.digest: "ill"}), TWO),
    ],
    ids=["nothing known", "not tried", "known as bad", "nothing to go back to", "good as well", "another is bad"],
)
def test_the_asked_release_is_run_unless_it_is_bad_and_a_good_one_is_known(
    judgement: Judgement, chosen: object
) -> None:
    assert choose(TWO, judgement) == chosen


def test_what_was_learnt_is_known_after_a_restart(path: Path) -> None:
    judgements = loaded(path)
    judgements.note_good(ONE)
    judgements.note_bad(TWO, "ill")
    again = loaded(path)
    assert again.of(ONE.instance) == Judgement(good=ONE, bad={TWO.digest or "": "ill"})
    assert choose(TWO, again.of(TWO.instance)) == ONE


def test_a_new_attempt_and_a_changed_variable_are_not_known_as_bad(path: Path) -> None:
    judgements = loaded(path)
    judgements.note_good(ONE)
    judgements.note_bad(TWO, "ill")
    for change in ({"attempt": 1}, {"variables": {"A": "1"}}):
        again = section({"web": service(digest=OTHER_DIGEST)}, **change)
        assert choose(again, judgements.of(again.instance)) == again


def test_what_is_learnt_of_one_app_says_nothing_of_another(path: Path) -> None:
    judgements = loaded(path)
    judgements.note_bad(ONE, "ill")
    assert judgements.of(OTHER.instance) == Judgement()


def test_a_release_that_works_after_all_is_no_longer_bad(path: Path) -> None:
    judgements = loaded(path)
    judgements.note_bad(ONE, "ill")
    judgements.note_good(ONE)
    assert loaded(path).of(ONE.instance) == Judgement(good=ONE)


def test_the_first_reason_for_which_a_release_was_bad_is_kept(path: Path) -> None:
    judgements = loaded(path)
    judgements.note_bad(ONE, "first")
    judgements.note_bad(ONE, "second")
    assert loaded(path).of(ONE.instance).bad == {ONE.digest: "first"}


def test_nothing_is_written_when_nothing_was_learnt(path: Path) -> None:
    judgements = loaded(path)
    judgements.note_good(ONE)
    before = path.stat().st_ino  # a durable write makes a new file
    judgements.note_good(ONE)
    judgements.forget(frozenset({I2}))
    assert path.stat().st_ino == before


def test_only_the_newest_bad_releases_are_remembered(path: Path) -> None:
    judgements = loaded(path)
    bad = [section({"web": service()}, attempt=n) for n in range(BAD_MAX + 2)]
    for each in bad:
        judgements.note_bad(each, "ill")
    assert list(loaded(path).of(ONE.instance).bad) == [each.digest for each in bad[2:]]


def test_what_is_forgotten_stays_forgotten(path: Path) -> None:
    judgements = loaded(path)
    judgements.note_good(ONE)
    judgements.note_good(OTHER)
    judgements.forget(frozenset({ONE.instance}))
    assert loaded(path).instances == {OTHER.instance}


def test_an_app_with_sealed_secrets_is_remembered_as_it_is(path: Path) -> None:
    sealed = section({"web": service()}, secrets={"PASSWORD": b"\x00\xff\xfe"})
    loaded(path).note_good(sealed)
    assert loaded(path).of(sealed.instance).good == sealed


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"instances": 3}', b'{"instances": {"i": {"good": {}}}}'])
def test_a_broken_record_is_set_aside_and_everything_learnt_again(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    judgements = loaded(path)
    assert judgements.instances == frozenset()
    assert path.with_suffix(".broken").read_bytes() == content
    judgements.note_good(ONE)
    assert loaded(path).of(ONE.instance).good == ONE
