"""What births, beats and wills say about a device."""

from __future__ import annotations

from broker.messages import Beat, Birth, Conn, Generation, Will
from cloud.ingest.presence import after_beat, after_birth, after_will, is_past
from cloud.store.presence import Presence

BOOT, LATER = "a" * 32, "b" * 32
UNKNOWN = Presence("d" + "a" * 11)


def birth(boot: str, count: int, n: int = 1, generation: int = 0, instance: str = "x") -> Birth:
    accepted = Generation(era=1, generation=generation, digest="sha256:" + "0" * 64) if generation else None
    return Birth(conn=Conn(boot=boot, count=count), n=n, instance=instance, worker="w", accepted=accepted)


def after(*births: Birth) -> Presence:
    known = UNKNOWN
    for one in births:
        known = after_birth(known, one, now_ms=7) or known
    return known


def test_a_birth_makes_its_connection_the_latest() -> None:
    known = after(birth(BOOT, 4, generation=3))
    assert (known.online, known.conn, known.reported, known.last_seen_ms) == (True, Conn(boot=BOOT, count=4), (1, 3), 7)


def test_a_birth_that_was_heard_before_changes_nothing() -> None:
    known = after(birth(BOOT, 4, n=2))
    assert after_birth(known, birth(BOOT, 4, n=2), now_ms=9) is None
    assert after_birth(known, birth(BOOT, 3, n=9), now_ms=9) is None


def test_a_boot_that_returns_after_another_one_contests_the_identity_for_good() -> None:
    assert not after(birth(BOOT, 1), birth(LATER, 2)).contested
    contested = after(birth(BOOT, 1), birth(LATER, 2), birth(BOOT, 3))
    assert contested.contested
    assert after_birth(contested, birth(BOOT, 4), now_ms=9).contested  # type: ignore[union-attr]  # it is newer


def test_two_installations_that_take_turns_on_one_machine_contest_the_identity() -> None:
    assert not after(birth(BOOT, 1), birth(BOOT, 2, instance="y"), birth(BOOT, 3, instance="y")).contested
    assert after(birth(BOOT, 1), birth(BOOT, 2, instance="y"), birth(BOOT, 3)).contested


def test_a_late_birth_of_an_installation_that_was_replaced_contests_nothing() -> None:
    known = after(birth(BOOT, 1), birth(BOOT, 2, instance="y"))
    assert after_birth(known, birth(BOOT, 1, n=2), now_ms=9) is None


def test_an_old_birth_that_is_delivered_late_contests_nothing() -> None:
    known = after(birth(BOOT, 1), birth(LATER, 2))
    assert after_birth(known, birth(BOOT, 1), now_ms=9) is None


def test_the_highest_claimed_generation_is_remembered() -> None:
    assert after(birth(BOOT, 1, generation=57), birth(BOOT, 2, generation=3)).reported == (1, 57)


def test_a_beat_counts_only_for_the_connection_whose_birth_is_held() -> None:
    known = after(birth(BOOT, 1))
    assert after_beat(known, Beat(conn=Conn(boot=BOOT, count=2), n=5), now_ms=9) is None
    beaten = after_beat(known, Beat(conn=Conn(boot=BOOT, count=1), n=5), now_ms=9)
    assert beaten is not None
    assert beaten.last_seen_ms == 9
    assert after_beat(beaten, Beat(conn=Conn(boot=BOOT, count=1), n=5), now_ms=10) is None


def test_a_late_will_of_an_older_connection_is_ignored() -> None:
    known = after(birth(BOOT, 1), birth(BOOT, 2))
    assert after_will(known, Will(conn=Conn(boot=BOOT, count=1))) is None
    gone = after_will(known, Will(conn=Conn(boot=BOOT, count=2)))
    assert gone is not None
    assert not gone.online


def test_a_connection_is_past_when_its_boot_or_its_count_is() -> None:
    known = after(birth(BOOT, 5), birth(LATER, 6))
    assert is_past(known, Conn(boot=BOOT, count=9))
    assert is_past(known, Conn(boot=LATER, count=5))
    assert not is_past(known, Conn(boot=LATER, count=7))
    assert not is_past(known, Conn(boot="c" * 32, count=1))
    assert not is_past(UNKNOWN, Conn(boot=BOOT, count=0))
