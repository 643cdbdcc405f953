"""The journal: what was begun, learnt and asked outlives a restart, a torn file and a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.files import StorageUnavailable
from broker.messages import SealedSecret
from device import checked_file
from device.checked_file import CheckedFile
from device.reconcile.journal import BAD_MAX, Entry, Journal
from tests.harness.apps import OTHER_DIGEST, section, service
from tests.unit.device.worlds import I2

ONE = section({"web": service()})
TWO = section({"web": service(digest=OTHER_DIGEST)})
OTHER = section({"web": service()}, instance=I2, name="other")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def loaded(path: Path) -> Journal:
    """Return the journal as a restarted worker reads it."""
    journal = Journal(CheckedFile(path))
    journal.load()
    return journal


def test_nothing_is_known_at_first(path: Path) -> None:
    assert loaded(path).of(ONE.instance) == Entry()


def test_what_was_begun_is_known_after_a_restart(path: Path) -> None:
    loaded(path).begin(ONE)
    assert loaded(path).of(ONE.instance).begun == ONE
    assert loaded(path).of(ONE.instance).current == ONE


def test_a_release_that_works_is_the_one_to_go_back_to_and_the_one_before_is_kept_in_mind(path: Path) -> None:
    journal = loaded(path)
    for release in (ONE, TWO):
        journal.begin(release)
        journal.note_good(release)
    assert loaded(path).of(ONE.instance) == Entry(good=TWO, previous=ONE)


def test_going_back_to_the_release_that_worked_leaves_nothing_begun(path: Path) -> None:
    journal = loaded(path)
    journal.note_good(ONE)
    journal.begin(TWO)
    journal.begin(ONE)
    assert loaded(path).of(ONE.instance) == Entry(good=ONE)


def test_a_bad_release_is_over_and_the_good_one_stays(path: Path) -> None:
    journal = loaded(path)
    journal.note_good(ONE)
    journal.begin(TWO)
    journal.note_bad(TWO, "ill")
    assert loaded(path).of(ONE.instance) == Entry(good=ONE, bad={str(TWO.digest): "ill"})


def test_what_is_learnt_of_one_app_says_nothing_of_another(path: Path) -> None:
    journal = loaded(path)
    journal.note_bad(ONE, "ill")
    assert journal.of(OTHER.instance) == Entry()


def test_a_release_that_works_after_all_is_no_longer_bad(path: Path) -> None:
    journal = loaded(path)
    journal.note_bad(ONE, "ill")
    journal.note_good(ONE)
    assert loaded(path).of(ONE.instance) == Entry(good=ONE)


def test_the_first_reason_for_which_a_release_was_bad_is_kept(path: Path) -> None:
    journal = loaded(path)
    journal.note_bad(ONE, "first")
    journal.note_bad(ONE, "second")
    assert loaded(path).of(ONE.instance).bad == {ONE.digest: "first"}


def test_only_the_newest_bad_releases_are_remembered(path: Path) -> None:
    journal = loaded(path)
    bad = [section({"web": service()}, attempt=n) for n in range(BAD_MAX + 2)]
    for each in bad:
        journal.note_bad(each, "ill")
    assert list(loaded(path).of(ONE.instance).bad) == [each.digest for each in bad[2:]]


def test_nothing_is_written_when_nothing_was_learnt(path: Path) -> None:
    journal = loaded(path)
    journal.note_good(ONE)
    before = path.stat().st_ino  # a durable write makes a new file
    journal.note_good(ONE)
    journal.begin(ONE)
    journal.forget(frozenset({I2}))
    assert path.stat().st_ino == before


def test_what_is_forgotten_stays_forgotten(path: Path) -> None:
    journal = loaded(path)
    journal.note_good(ONE)
    journal.note_good(OTHER)
    journal.forget(frozenset({ONE.instance}))
    assert loaded(path).instances == {OTHER.instance}


def test_services_stopped_by_request_stay_so_under_the_same_section_only(path: Path) -> None:
    loaded(path).change(ONE.instance, stopped=("web",), stopped_under=ONE.digest)
    entry = loaded(path).of(ONE.instance)
    assert entry.stopped_for(ONE) == {"web"}
    assert entry.stopped_for(TWO) == frozenset()


def test_an_app_with_sealed_secrets_is_remembered_as_it_is(path: Path) -> None:
    sealed = section({"web": service()}, secrets={"password": SealedSecret(version=1, sealed=b"\x00\xff\xfe")})
    loaded(path).note_good(sealed)
    assert loaded(path).of(sealed.instance).good == sealed


def test_what_cannot_be_written_is_not_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise StorageUnavailable("no space left")

    journal = loaded(path)
    journal.begin(ONE)
    monkeypatch.setattr(checked_file, "write_durably", full)
    with pytest.raises(StorageUnavailable):
        journal.note_good(ONE)
    assert journal.of(ONE.instance) == Entry(begun=ONE)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-3], lambda data: b"\0" * len(data)])
def test_a_torn_journal_is_replaced_by_the_one_before_it(path: Path, damage: object) -> None:
    journal = loaded(path)
    journal.begin(ONE)
    journal.note_good(ONE)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert loaded(path).of(ONE.instance) == Entry(begun=ONE)


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"instances": 3}', b'{"instances": {"i": {"good": {}}}}'])
def test_a_journal_that_makes_no_sense_is_begun_anew(path: Path, content: bytes) -> None:
    CheckedFile(path).write(content)
    journal = loaded(path)
    assert journal.instances == frozenset()
    journal.note_good(ONE)
    assert loaded(path).of(ONE.instance).good == ONE
