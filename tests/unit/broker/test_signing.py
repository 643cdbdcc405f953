"""Proofs: who made them, over what."""

from __future__ import annotations

import pytest

from broker.errors import Refused
from broker.signing import ED25519, HMAC_SHA256_128, MacKey, Signatures, Signer, key_id

SIGNER, STRANGER = Signer(bytes([1]) * 32), Signer(bytes([2]) * 32)
MAC, OTHER_MAC = MacKey(bytes([3]) * 32), MacKey(bytes([4]) * 32)
TRUSTED = Signatures((SIGNER.public,))


def refusal(check: object, *arguments: object) -> str:
    assert callable(check)
    with pytest.raises(Refused) as refused:
        check(*arguments)
    return refused.value.reason


def test_signatures_and_codes_are_the_standard_ones() -> None:
    # RFC 8032, 7.1, test 2; RFC 4231, 4.2, cut to 128 bits.
    known = Signer(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert known.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert known.prove(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert MacKey(b"\x0b" * 20).prove(b"Hi There").hex() == "b0344c61d8db38535ca8afceaf0bf12b"


def test_a_signature_holds_over_its_bytes_and_no_others() -> None:
    proof = SIGNER.prove(b"bytes")
    TRUSTED.verify(ED25519, SIGNER.key_id, b"bytes", proof)
    assert refusal(TRUSTED.verify, ED25519, SIGNER.key_id, b"other", proof) == "bad_signature"


def test_a_key_outside_the_set_is_unknown_even_where_its_signature_holds() -> None:
    proof = STRANGER.prove(b"bytes")
    assert refusal(TRUSTED.verify, ED25519, STRANGER.key_id, b"bytes", proof) == "unknown_key"
    assert refusal(Signatures(()).verify, ED25519, SIGNER.key_id, b"bytes", SIGNER.prove(b"bytes")) == "unknown_key"


def test_a_stranger_who_borrows_the_name_of_a_key_is_refused() -> None:
    assert refusal(TRUSTED.verify, ED25519, SIGNER.key_id, b"bytes", STRANGER.prove(b"bytes")) == "bad_signature"


def test_a_code_is_no_signature_and_a_signature_is_no_code() -> None:
    assert refusal(TRUSTED.verify, HMAC_SHA256_128, SIGNER.key_id, b"x", SIGNER.prove(b"x")) == "bad_signature"
    assert refusal(TRUSTED.verify, HMAC_SHA256_128, SIGNER.key_id, b"x", MAC.prove(b"x")) == "bad_signature"
    assert refusal(MAC.verify, ED25519, MAC.key_id, b"x", SIGNER.prove(b"x")) == "unknown_key"


def test_a_code_holds_over_its_bytes_and_under_its_key_only() -> None:
    MAC.verify(HMAC_SHA256_128, MAC.key_id, b"bytes", MAC.prove(b"bytes"))
    assert refusal(MAC.verify, HMAC_SHA256_128, MAC.key_id, b"other", MAC.prove(b"bytes")) == "bad_signature"
    assert refusal(MAC.verify, HMAC_SHA256_128, MAC.key_id, b"bytes", OTHER_MAC.prove(b"bytes")) == "bad_signature"
    assert refusal(MAC.verify, HMAC_SHA256_128, OTHER_MAC.key_id, b"bytes", MAC.prove(b"bytes")) == "unknown_key"


@pytest.mark.parametrize("length", [0, 1, 15, 17, 32])
def test_a_code_of_another_length_is_refused(length: int) -> None:
    import hashlib
    import hmac

    longer = hmac.digest(MAC.key, b"x", hashlib.sha256)
    assert refusal(MAC.verify, HMAC_SHA256_128, MAC.key_id, b"x", longer[:length]) == "bad_signature"


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    proof = (SIGNER.prove(b"x") * 2)[:length]
    assert refusal(TRUSTED.verify, ED25519, SIGNER.key_id, b"x", proof) == "bad_signature"


def test_a_key_is_named_by_eight_bytes_that_do_not_give_a_mac_key_away() -> None:
    assert key_id(SIGNER.public).hex() == "06b249fe6c6a8a6e"
    assert MAC.key_id.hex() == "ba1fc7f59a5a6c58"
    assert MAC.key_id != key_id(MAC.key)


def test_a_signer_is_made_again_from_its_seed() -> None:
    made = Signer.generate()
    assert Signer(made.seed).public == made.public
    assert Signer.generate().public != made.public
