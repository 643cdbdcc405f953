"""Whom a device believes."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.channels import COMMAND, DESIRED
from broker.errors import Refused
from broker.signing import ED25519, Signer
from device.checked_file import CheckedFile
from device.trust import Trust
from tests.unit.device.fakes import ONLINE, OTHER, PUMP, ROOT, SPARE, STRANGER, sealed_trust, trust_document


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trust"


@pytest.fixture
def trust(path: Path) -> Trust:
    return Trust(CheckedFile(path), device=PUMP, root=ROOT.public)


def believes(trust: Trust, signer: Signer) -> bool:
    try:
        trust.verifier_for_desired().verify(ED25519, signer.key_id, b"x", signer.prove(b"x"))
    except Refused:
        return False
    return True


def refusal(trust: Trust, sealed: bytes) -> str:
    with pytest.raises(Refused) as refused:
        trust.offer(sealed)
    return refused.value.reason


def test_a_device_without_a_document_believes_nobody(trust: Trust) -> None:
    trust.load()
    assert not believes(trust, ONLINE)
    assert not believes(trust, ROOT)
    assert trust.era == 0


def test_a_document_names_the_keys_and_the_era(trust: Trust) -> None:
    assert trust.offer(sealed_trust(trust_document(1, ONLINE, era=4)))
    assert believes(trust, ONLINE)
    assert not believes(trust, STRANGER)
    assert trust.era == 4


def test_a_newer_document_takes_the_place_of_the_older_one(trust: Trust) -> None:
    trust.offer(sealed_trust(trust_document(1, ONLINE)))
    assert trust.offer(sealed_trust(trust_document(2, SPARE, era=2)))
    assert (believes(trust, ONLINE), believes(trust, SPARE), trust.era) == (False, True, 2)


def test_an_older_document_is_refused(trust: Trust) -> None:
    trust.offer(sealed_trust(trust_document(2, SPARE)))
    assert refusal(trust, sealed_trust(trust_document(1, ONLINE))) == "stale_trust"
    assert (believes(trust, ONLINE), believes(trust, SPARE)) == (False, True)


def test_another_document_of_the_same_version_is_refused(trust: Trust) -> None:
    trust.offer(sealed_trust(trust_document(1, ONLINE)))
    assert refusal(trust, sealed_trust(trust_document(1, SPARE))) == "altered_trust"
    assert believes(trust, ONLINE)


def test_the_same_document_again_is_no_news(trust: Trust) -> None:
    sealed = sealed_trust(trust_document(1, ONLINE))
    assert trust.offer(sealed)
    assert not trust.offer(sealed)


@pytest.mark.parametrize(
    ("sealed", "reason"),
    [
        (sealed_trust(trust_document(2, STRANGER), signer=STRANGER), "unknown_key"),
        (sealed_trust(trust_document(2, STRANGER), signer=ONLINE), "unknown_key"),
        (sealed_trust(trust_document(2, STRANGER), device=OTHER), "bad_signature"),
        (b"", "malformed"),
    ],
    ids=["a stranger", "an online key", "for another device", "nothing"],
)
def test_only_the_pinned_root_makes_documents(trust: Trust, sealed: bytes, reason: str) -> None:
    trust.offer(sealed_trust(trust_document(1, ONLINE)))
    assert refusal(trust, sealed) == reason
    assert not believes(trust, STRANGER)


def test_a_revoked_key_is_not_believed_even_where_it_is_listed(trust: Trust) -> None:
    trust.offer(sealed_trust(trust_document(1, ONLINE, SPARE, revoked=(ONLINE,))))
    assert (believes(trust, ONLINE), believes(trust, SPARE)) == (False, True)


@pytest.mark.parametrize("role", ["desired", "command", "release"])
def test_a_key_is_believed_in_its_role_only(trust: Trust, role: str) -> None:
    trust.offer(sealed_trust(trust_document(1, ONLINE, roles=(role,))))
    for channel, wanted in ((DESIRED, "desired"), (COMMAND, "command")):
        verifier = trust.verifier(channel)
        if role == wanted:
            verifier.verify(ED25519, ONLINE.key_id, b"x", ONLINE.prove(b"x"))
            continue
        with pytest.raises(Refused, match="not among the trusted ones"):
            verifier.verify(ED25519, ONLINE.key_id, b"x", ONLINE.prove(b"x"))


def test_the_held_document_is_known_after_a_restart(trust: Trust, path: Path) -> None:
    trust.offer(sealed_trust(trust_document(2, ONLINE, era=3)))
    again = Trust(CheckedFile(path), device=PUMP, root=ROOT.public)
    again.load()
    assert believes(again, ONLINE)
    assert again.era == 3
    assert refusal(again, sealed_trust(trust_document(1, SPARE))) == "stale_trust"


@pytest.mark.parametrize("sealed", [b"whole, but no envelope", sealed_trust(trust_document(1, ONLINE), signer=SPARE)])
def test_a_document_on_disk_that_is_not_usable_counts_as_none(trust: Trust, path: Path, sealed: bytes) -> None:
    # It once ended the worker at every start, so that no newer document could repair it.
    CheckedFile(path).write(sealed)
    trust.load()
    assert not believes(trust, ONLINE)
    assert trust.offer(sealed_trust(trust_document(1, ONLINE)))
    assert believes(trust, ONLINE)
