"""The mailbox, conditions, the memory of the cloud's store, epochs."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.errors import Refused
from broker.messages import Condition, LinkPolicy
from device import conditions
from device.mailbox import Mailbox
from device.store_memory import StoreMemory
from device.telemetry.epochs import EPOCH_BITS, new_epoch
from tests.unit.device.fakes import desired


def test_the_newest_state_wins_the_slot() -> None:
    mailbox = Mailbox()
    mailbox.put(desired(1))
    mailbox.put(desired(2))
    assert mailbox.newest == desired(2)
    assert mailbox.newest == desired(2)  # reading takes nothing away


def test_an_empty_slot_holds_nothing() -> None:
    assert Mailbox().newest is None


@pytest.mark.parametrize("news", ["put", "poke"])
def test_a_reader_is_woken_once_by_news_that_came_before_it_waited(news: str) -> None:
    mailbox = Mailbox()
    mailbox.put(desired(1)) if news == "put" else mailbox.poke()
    mailbox.wait(30.0)  # returns at once; a lost wake-up would run into the test's time limit
    assert not mailbox._poked.is_set()


def test_conditions_say_what_holds_and_why_not() -> None:
    assert conditions.engine("") == Condition(type="EngineAnswers", status=True)
    assert conditions.engine("away") == Condition(
        type="EngineAnswers", status=False, reason="unavailable", message="away"
    )
    assert conditions.intake({}, {}) == Condition(type="IntakeReachable", status=True)
    assert conditions.intake({"n2": "two", "n1": "one"}, {}).message == "one; two"
    assert conditions.intake({}, {"n1": "many"}).reason == "too_many_connections"
    assert conditions.storage({"ledger": "", "reconcile": "disk full"}).message == "disk full"
    assert conditions.storage({"ledger": "read-only", "reconcile": ""}).status is False  # one says nothing of the other
    assert conditions.storage({"ledger": "", "reconcile": ""}).status is True
    assert conditions.refused("desired", Refused("stale_generation", "older")) == Condition(
        type="Refused.desired", status=True, reason="stale_generation", message="older"
    )


def test_sections_that_are_not_carried_out_are_named() -> None:
    assert conditions.reserved(desired(1)).status
    assert conditions.reserved(desired(1, link=LinkPolicy(metered=True))).status
    reserved = conditions.reserved(desired(1, host={"ntp": "x"}, worker={"version": "2"}))
    assert (reserved.status, reserved.message) == (False, "this worker does not carry out: host, worker")


def test_a_message_too_long_for_a_condition_is_cut() -> None:
    assert len(conditions.engine("x" * 5000).message) == 2000
    assert len(conditions.refused("desired", Refused("r", "x" * 5000)).message) == 2000


def test_an_installation_keeps_its_id(tmp_path: Path) -> None:
    made = StoreMemory(tmp_path / "store").install_id(lambda: "waaaaaaaaaaa")
    assert StoreMemory(tmp_path / "store").install_id(lambda: pytest.fail("made another")) == made == "waaaaaaaaaaa"


def test_only_another_store_is_news_and_the_first_one_is_not(tmp_path: Path) -> None:
    memory = StoreMemory(tmp_path)
    assert [memory.is_news(store) for store in ("s1", "s1", "s2", "s2", "s1")] == [False, False, True, False, True]
    again = StoreMemory(tmp_path)
    assert again.store == "s1"
    assert [again.is_news("s1"), again.is_news("s2")] == [False, True]


@pytest.mark.parametrize("left", [b"", b"\xff\xfe", b"s1\n", b"s 1", b"x" * 65], ids=repr)
def test_a_damaged_memory_counts_as_absent_and_is_written_anew(tmp_path: Path, left: bytes) -> None:
    # An empty file once went into the birth as it was: no valid message, and the presence thread ended the worker.
    for name in ("cloud", "install"):
        (tmp_path / name).write_bytes(left)
    memory = StoreMemory(tmp_path)
    assert memory.store is None
    assert memory.install_id(lambda: "waaaaaaaaaaa") == "waaaaaaaaaaa"
    assert memory.is_news("s1") is False
    again = StoreMemory(tmp_path)
    assert (again.store, again.install_id(lambda: "w2")) == ("s1", "waaaaaaaaaaa")


def test_an_installation_has_an_id_even_where_none_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file where the folder should be")
    assert StoreMemory(tmp_path / "store").install_id(lambda: "w2") == "w2"


def test_an_epoch_is_random_fits_the_wire_and_is_durable_before_it_is_used(tmp_path: Path) -> None:
    made = {new_epoch(tmp_path / "epoch") for _ in range(20)}
    assert len(made) == 20
    assert all(0 < epoch < 2**EPOCH_BITS for epoch in made)
    last = new_epoch(tmp_path / "epoch")
    assert (tmp_path / "epoch").read_text() == str(last)
