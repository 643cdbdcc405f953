"""Which desired states are accepted, and what is kept of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.channels import DESIRED
from broker.codec import Opened, open_sealed, seal
from broker.errors import Refused
from broker.messages import DesiredState, Reference, Retire
from broker.signing import Signatures, Signer
from device.checked_file import CheckedFile
from device.ledger import Accepted, Ledger, StaleGeneration
from tests.harness.apps import OTHER_DIGEST, section, service
from tests.unit.device.fakes import (
    ONLINE,
    OTHER,
    PUMP,
    SPARE,
    STRANGER,
    desired,
    opened_desired,
    sealed_desired,
)

TRUSTED = Signatures((ONLINE.public,))
WEB = section({"web": service()})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "accepted"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(CheckedFile(path), device=PUMP)


def offer(ledger: Ledger, state: DesiredState, *, era: int = 9) -> Accepted | None:
    sealed = sealed_desired(state)
    return ledger.offer(opened_desired(sealed), sealed, era=era)


def refusal(ledger: Ledger, state: DesiredState, *, era: int = 9) -> str:
    """Return why a state is refused; what was accepted before must still be."""
    held = ledger.accepted
    with pytest.raises(Refused) as refused:
        offer(ledger, state, era=era)
    assert ledger.accepted == held
    return f"{refused.value.reason}: {refused.value}"


def test_the_first_state_is_accepted_whatever_its_number(ledger: Ledger) -> None:
    accepted = offer(ledger, desired(41, era=3))
    assert accepted is not None
    assert accepted.generation.order == (3, 41)
    assert ledger.accepted == accepted


def test_a_newer_generation_is_accepted(ledger: Ledger) -> None:
    offer(ledger, desired(1))
    accepted = offer(ledger, desired(7))
    assert accepted is not None
    assert accepted.desired == desired(7)


def test_an_older_generation_is_refused_as_stale(ledger: Ledger) -> None:
    offer(ledger, desired(7))
    assert refusal(ledger, desired(6)) == "stale_generation: generation 1.6 is older than the accepted 1.7"


def test_a_later_era_makes_a_lower_generation_newer_and_never_the_other_way_round(ledger: Ledger) -> None:
    offer(ledger, desired(100))
    assert offer(ledger, desired(1, era=2)) is not None
    assert refusal(ledger, desired(101)).startswith("stale_generation")


def test_the_same_state_again_is_no_news(ledger: Ledger) -> None:
    offer(ledger, desired(7, apps=(WEB,)))
    assert offer(ledger, desired(7, apps=(WEB,))) is None


def test_the_same_generation_with_another_content_is_refused_louder(ledger: Ledger) -> None:
    offer(ledger, desired(7))
    altered = refusal(ledger, desired(7, apps=(WEB,)))
    assert altered == "altered_generation: generation 1.7 was accepted before with another content"


def test_the_same_payload_under_another_signature_is_the_same_state(ledger: Ledger) -> None:
    offer(ledger, desired(7))
    again = sealed_desired(desired(7), signer=SPARE)
    assert ledger.offer(opened_desired(again), again, era=9) is None


def test_a_state_for_another_device_is_refused_even_in_an_envelope_for_this_one(ledger: Ledger) -> None:
    assert refusal(ledger, desired(1, device=OTHER)).startswith(
        "foreign: a desired state for oaaaaaaaaaaa/dbbbbbbbbbbb"
    )


def test_an_era_that_no_trust_document_began_is_refused(ledger: Ledger) -> None:
    assert refusal(ledger, desired(1, era=3), era=2).startswith("unknown_era: era 3 has not been announced")
    assert offer(ledger, desired(1, era=2), era=2) is not None


def test_a_section_that_is_not_what_its_digest_says_is_refused(ledger: Ledger) -> None:
    wrong = WEB.model_copy(update={"digest": OTHER_DIGEST})
    assert refusal(ledger, desired(1, apps=(wrong,))) == (
        "invalid: app hello: the section's digest does not fit its content"
    )


def test_a_section_without_a_digest_is_refused(ledger: Ledger) -> None:
    # Such a section once ended the reconcile thread as soon as its release failed: it could not be remembered as bad.
    bare = WEB.model_copy(update={"digest": None})
    assert refusal(ledger, desired(1, apps=(bare,))).startswith("invalid: app hello")


def test_a_section_that_has_no_digest_because_of_a_float_is_refused(ledger: Ledger) -> None:
    # It once rose as a TypeError, which ended the inbox thread at each delivery of the retained message.
    odd = WEB.model_copy(update={"settings": {"ratio": 0.5}})
    assert refusal(ledger, desired(1, apps=(odd,))).startswith("invalid: app hello: a float (0.5)")


@pytest.mark.parametrize("twin", [{"name": "other"}, {"instance": "ibbbbbbbbbbb"}])
def test_two_sections_of_one_name_or_one_instance_are_refused(ledger: Ledger, twin: dict[str, str]) -> None:
    other = WEB.model_copy(update=twin)
    other = other.model_copy(update={"digest": other.computed_digest()})
    assert refusal(ledger, desired(1, apps=(WEB, other))) == "invalid: two app instances have one name or id"


def test_a_device_that_is_to_go_keeps_nothing_of_its_apps(ledger: Ledger, path: Path) -> None:
    offer(ledger, desired(1, apps=(WEB,)))
    offer(ledger, desired(2, apps=(WEB,)))
    assert refusal(ledger, desired(3, apps=(WEB,), retire=Retire(wipe="all"))).startswith("invalid")
    offer(ledger, desired(3, retire=Retire(wipe="secrets")))
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_this_worker_cannot_do_is_refused_and_not_left_out(ledger: Ledger) -> None:
    assert refusal(ledger, desired(1, reference=Reference(digest=OTHER_DIGEST, bytes=1))).startswith("not_supported")


def test_a_refused_state_leaves_nothing_on_disk(ledger: Ledger, path: Path) -> None:
    offer(ledger, desired(7))
    before = path.read_bytes()
    refusal(ledger, desired(6))
    refusal(ledger, desired(8, reference=Reference(digest=OTHER_DIGEST, bytes=1)))
    assert path.read_bytes() == before


def test_an_accepted_state_is_known_after_a_restart(ledger: Ledger, path: Path) -> None:
    accepted = offer(ledger, desired(7, apps=(WEB,)))
    again = Ledger(CheckedFile(path), device=PUMP)
    assert again.load(TRUSTED) == accepted
    assert refusal(again, desired(6)).startswith("stale_generation")


def test_a_broken_file_brings_the_state_before_it(ledger: Ledger, path: Path) -> None:
    offer(ledger, desired(7))
    offer(ledger, desired(8))
    path.write_bytes(path.read_bytes()[:-1])
    loaded = Ledger(CheckedFile(path), device=PUMP).load(TRUSTED)
    assert loaded is not None
    assert loaded.desired == desired(7)


@pytest.mark.parametrize(
    "sealed",
    [
        sealed_desired(desired(7), signer=STRANGER),
        sealed_desired(desired(7, device=OTHER), device=OTHER),
        b"whole, but no envelope",
    ],
)
def test_what_is_loaded_is_verified_and_without_it_nothing_is_known(path: Path, sealed: bytes) -> None:
    CheckedFile(path).write(sealed)
    assert Ledger(CheckedFile(path), device=PUMP).load(TRUSTED) is None


def test_a_state_whose_key_was_revoked_is_not_carried_out_but_keeps_older_ones_out(tmp_path: Path) -> None:
    old_key, new_key = Signer.generate(), Signer.generate()
    file = CheckedFile(tmp_path / "accepted")

    def sealed(generation: int, signer: Signer) -> bytes:
        state = DesiredState(org=PUMP.org, device=PUMP.device, era=1, generation=generation, issued_ms=0)
        return seal(DESIRED, PUMP, state, signer)

    def opened(envelope: bytes, signer: Signer) -> Opened:
        return open_sealed(DESIRED, PUMP, envelope, Signatures((signer.public,)))

    first = Ledger(file, device=PUMP)
    five = sealed(5, old_key)
    first.offer(opened(five, old_key), five, era=1)
    again = Ledger(file, device=PUMP)
    assert again.load(Signatures((new_key.public,))) is None
    four, six = sealed(4, new_key), sealed(6, new_key)
    with pytest.raises(StaleGeneration):
        again.offer(opened(four, new_key), four, era=1)
    assert again.offer(opened(six, new_key), six, era=1) is not None
