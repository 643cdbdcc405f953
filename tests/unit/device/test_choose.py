"""Which release an app is held to now."""

from __future__ import annotations

from typing import Any

import pytest

from broker.appspec import AppSpec
from broker.messages import AppSection
from device.reconcile.choose import Aim, Choice, aim, choose
from device.reconcile.journal import Entry
from device.reconcile.lock import HeldLock
from tests.unit.device.stages import release

A, B, C = (release(digest="sha256:" + digit * 64) for digit in "123")
LOCK = HeldLock("web", "busy", 60.0)


def nothing(spec: AppSpec) -> list[str]:
    return []


def against(*sections: AppSection) -> Any:
    return lambda spec: ["it is not allowed"] if spec in [section.spec for section in sections] else []


def chosen(of: Aim, *here: AppSection, is_whole: bool = True, lock: HeldLock | None = None) -> Choice:
    return choose(of, is_here=lambda section: section in here, is_whole=is_whole, lock=lock)


def test_a_first_release_is_begun_once_it_is_here() -> None:
    first = aim(A, Entry(), nothing)
    assert chosen(first) == Choice(None, "fetching")
    assert chosen(first, A) == Choice(A, "switching", begins=True)


def test_what_was_begun_goes_on_and_what_works_is_held() -> None:
    assert chosen(aim(A, Entry(begun=A), nothing), A, is_whole=False) == Choice(A, "hold")
    assert chosen(aim(A, Entry(good=A), nothing), A) == Choice(A, "hold")


def test_a_newer_release_waits_for_its_images_while_the_present_one_is_held() -> None:
    of = aim(B, Entry(good=A), nothing)
    assert chosen(of, A) == Choice(A, "fetching")
    assert chosen(of, A, B) == Choice(B, "switching", begins=True)


def test_a_lock_holds_the_switch_and_not_the_transfer() -> None:
    of = aim(B, Entry(good=A), nothing)
    assert chosen(of, A, lock=LOCK) == Choice(A, "fetching")
    assert chosen(of, A, B, lock=LOCK) == Choice(A, "waiting")


def test_a_lock_does_not_stop_a_switch_half_way_nor_one_away_from_it() -> None:
    assert chosen(aim(B, Entry(good=A, begun=B), nothing), A, B, is_whole=False, lock=LOCK).run == B
    assert chosen(aim(C, Entry(good=A, begun=B), nothing), C, is_whole=False, lock=LOCK).run == C


def test_a_lock_does_not_hold_up_the_way_back() -> None:
    of = aim(B, Entry(good=A, bad={str(B.digest): "ill"}), nothing)
    assert chosen(of, A, lock=LOCK, is_whole=False) == Choice(A, "hold")


def test_a_release_that_did_not_work_gives_way_to_the_one_that_did() -> None:
    of = aim(B, Entry(good=A, bad={str(B.digest): "ill"}), nothing)
    assert (of.target, of.reason, of.why, of.is_going_back) == (A, "bad", "ill", True)


def test_without_a_release_to_go_back_to_the_bad_one_stays_and_is_not_begun_anew() -> None:
    of = aim(B, Entry(bad={str(B.digest): "ill"}), nothing)
    assert (of.target, of.is_going_back) == (B, False)
    assert chosen(of, B) == Choice(B, "hold")


def test_another_try_of_a_bad_release_is_another_section() -> None:
    again = release(digest="sha256:" + "2" * 64, attempt=1)
    of = aim(again, Entry(good=A, bad={str(B.digest): "ill"}), nothing)
    assert (of.target, of.reason) == (again, "")


def test_what_the_owner_refuses_leaves_what_runs_and_is_kept_up() -> None:
    of = aim(B, Entry(good=A), against(B))
    assert (of.target, of.reason) == (A, "refused")
    assert of.why == "refused by the device's policy: it is not allowed"
    assert chosen(of, A) == Choice(A, "hold")


def test_what_the_owner_no_longer_allows_is_left_alone_and_not_made_again() -> None:
    assert chosen(aim(A, Entry(good=A), against(A)), A) == Choice(None, "kept")
    of = aim(B, Entry(good=A, bad={str(B.digest): "ill"}), against(A))
    assert of.target == B
    assert "no release to go back to" in of.why


def test_an_update_that_was_paused_is_left_as_it_stands() -> None:
    of = aim(B, Entry(good=A, begun=B, paused={str(B.digest): "ill"}), nothing)
    assert chosen(of, A, B, is_whole=False) == Choice(None, "kept")
    assert chosen(aim(C, Entry(good=A, begun=B, paused={str(B.digest): "ill"}), nothing), C).run == C


def test_half_way_to_images_that_went_away_the_way_leads_back_until_they_are_here_again() -> None:
    of = aim(B, Entry(good=A, begun=B), nothing)
    assert chosen(of, A, is_whole=False) == Choice(A, "fetching", begins=True)
    assert chosen(of, A, is_whole=True) == Choice(B, "hold")
    assert chosen(of, is_whole=False) == Choice(B, "hold")
    assert chosen(aim(B, Entry(begun=B), nothing), is_whole=False) == Choice(B, "hold")


@pytest.mark.parametrize("entry", [Entry(), Entry(good=A), Entry(good=A, begun=B), Entry(begun=B)])
def test_the_sections_of_an_aim_are_all_that_may_be_run(entry: Entry) -> None:
    of = aim(C, entry, nothing)
    for here in ((), (A,), (A, B), (A, B, C)):
        for is_whole in (True, False):
            run = chosen(of, *here, is_whole=is_whole).run
            assert run is None or run in of.sections
