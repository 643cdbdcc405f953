"""Which status replaces which."""

from __future__ import annotations

from broker.messages import Conn, Status
from cloud.ingest.status import is_newer
from cloud.store.presence import Presence
from cloud.store.status import Held

BOOT = "a" * 32
KNOWN = Presence("d" + "a" * 11, conn=Conn(boot=BOOT, count=4), boots={"b" * 32 + " x": (1, 1), BOOT + " x": (4, 1)})


def status(count: int, revision: int, boot: str = BOOT) -> Status:
    return Status(conn=Conn(boot=boot, count=count), n=1, revision=revision)


def test_within_a_connection_the_revision_decides() -> None:
    held = Held(Conn(boot=BOOT, count=4), 7, 1)
    assert is_newer(held, KNOWN, status(4, 8))
    assert not is_newer(held, KNOWN, status(4, 7))


def test_a_newer_connection_wins_whatever_its_revision() -> None:
    held = Held(Conn(boot=BOOT, count=4), 7, 1)
    assert is_newer(held, KNOWN, status(5, 1))
    assert not is_newer(held, KNOWN, status(3, 99))


def test_a_status_of_an_earlier_boot_is_past() -> None:
    assert not is_newer(None, KNOWN, status(9, 99, boot="b" * 32))
