"""What messages promise by themselves: orders, digests, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from broker.appspec import Secret
from broker.messages import AppSection, Conn, Generation, SealedSecret, Status, Sync, Trust
from tests.harness.apps import OTHER_DIGEST, section, service

CONN = Conn(boot="0" * 32, count=5)
OTHER_BOOT = Conn(boot="1" * 32, count=1)
SECRET = SealedSecret(version=3, sealed=b"\xff\x00")
MADE = section({"web": service()}, variables={"A": "1"}, secrets={"s": SECRET}, settings={"k": 1}, attempt=2)


def test_a_connection_supersedes_itself_and_older_ones_of_its_boot() -> None:
    assert CONN.supersedes(None)
    assert CONN.supersedes(CONN)
    assert CONN.supersedes(Conn(boot=CONN.boot, count=4))
    assert not CONN.supersedes(Conn(boot=CONN.boot, count=6))


def test_a_connection_of_another_boot_supersedes_whatever_its_count() -> None:
    assert OTHER_BOOT.supersedes(CONN)
    assert CONN.supersedes(OTHER_BOOT)


def test_a_later_era_is_newer_than_any_generation_of_an_earlier_one() -> None:
    old = Generation(era=1, generation=2**62, digest=OTHER_DIGEST)
    new = Generation(era=2, generation=1, digest=OTHER_DIGEST)
    assert new.order > old.order


@pytest.mark.parametrize(
    "change",
    [
        {"variables": {"A": "2"}},
        {"variables": {}},
        {"secrets": {"s": SealedSecret(version=4, sealed=SECRET.sealed)}},
        {"settings": {"k": 2}},
        {"attempt": 3},
        {"name": "other"},
        {"instance": "ibbbbbbbbbbb"},
        {"release": OTHER_DIGEST},
        {"spec": section({"web": service(digest=OTHER_DIGEST)}, secrets={"s": SECRET}).spec},
        {"from_the_future": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_that_can_make_a_section_good_or_bad_is_in_its_digest(change: dict[str, Any]) -> None:
    changed = AppSection.model_validate(dict(MADE) | change)
    assert changed.computed_digest() != MADE.computed_digest()


def test_a_secret_that_is_sealed_anew_leaves_the_digest() -> None:
    anew = SealedSecret(version=3, sealed=b"for another device")
    assert MADE.model_copy(update={"secrets": {"s": anew}}).computed_digest() == MADE.digest


@pytest.mark.parametrize(
    ("declared", "given"),
    [({}, {"s": 1}), ({"s": {}}, {}), ({"s": {}, "t": {}}, {"s": 1}), ({"s": {"version": 2}}, {"s": 1})],
)
def test_nobody_adds_a_secret_that_is_not_declared_nor_puts_another_in_its_place(
    declared: dict[str, Any], given: dict[str, int]
) -> None:
    spec = MADE.spec.model_copy(update={"secrets": {n: Secret.model_validate(s) for n, s in declared.items()}})
    secrets = {name: SealedSecret(version=version) for name, version in given.items()}
    with pytest.raises(ValidationError, match="secrets"):
        AppSection.model_validate(dict(MADE) | {"spec": spec, "secrets": secrets})


def test_a_sections_digest_is_not_part_of_itself_and_stays() -> None:
    assert MADE.model_copy(update={"digest": None}).computed_digest() == MADE.digest
    bare = section({"web": service()})
    assert bare.release == "sha256:a1c09fcd8aba2a3d84b7baead22521301168f2a64920b0d78e31232207764321"
    assert bare.digest == "sha256:22a3d5e544047ce774c8bf9afeebde5183dc2625424b492e0b4f13022fd242ac"


def test_a_section_with_sealed_secrets_is_written_as_json_and_read_back() -> None:
    # Sealed bytes are no text: remembering that such an app works once ended the reconcile thread.
    assert AppSection.model_validate_json(MADE.model_dump_json()) == MADE


def test_messages_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(CONN, "count", 6)  # noqa: B010 - mypy knows it too


@pytest.mark.parametrize("count", [-1, 2**63])
def test_a_count_that_no_database_holds_is_invalid(count: int) -> None:
    with pytest.raises(ValidationError):
        Conn(boot="0" * 32, count=count)


def test_what_one_sync_may_list_is_bounded() -> None:
    ranges = [(n, n) for n in range(33)]
    plain = {"conn": CONN, "n": 1, "store": "s", "time_ms": 1}
    held = {"stream": "telemetry:a", "epoch": 1, "contiguous": 0}
    Sync.model_validate(plain | {"streams": [held | {"ranges": ranges[:32]}]})
    with pytest.raises(ValidationError):
        Sync.model_validate(plain | {"streams": [held | {"ranges": ranges}]})


def test_a_chain_of_trust_is_bounded() -> None:
    plain = {"version": 1, "era": 1, "roots": [b"r" * 32], "keys": []}
    Trust.model_validate(plain | {"chain": [b""] * 16})
    with pytest.raises(ValidationError):
        Trust.model_validate(plain | {"chain": [b""] * 17})


def test_a_message_of_another_version_is_invalid() -> None:
    with pytest.raises(ValidationError):
        Status.model_validate({"v": 2, "conn": CONN, "n": 1, "revision": 1})
