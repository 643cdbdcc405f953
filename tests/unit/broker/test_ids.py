"""Identities: their one spelling, and the shard both sides compute."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import Refused
from broker.ids import DeviceRef, checked_name, new_id, parse_cn

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
tails = st.text(LETTERS, min_size=11, max_size=11)
refs = st.builds(lambda org, device: DeviceRef("o" + org, "d" + device), tails, tails)


@pytest.mark.parametrize(
    "cn",
    [
        "43/oaaaaaaaaaaa/daaaaaaaaaaa",
        "60/oaaaaaaaaaaa/dbbbbbbbbbbb",
        "38/o234567abcde/dzyxwvutsrqp",
        "40/obbbbbbbbbbb/d77777777777",
    ],
)
def test_a_device_keeps_its_shard_for_ever(cn: str) -> None:
    _, org, device = cn.split("/")
    assert DeviceRef(org, device).cn == cn


@settings(deadline=None, max_examples=25)
@given(refs)
def test_a_common_name_is_read_back_to_its_device(ref: DeviceRef) -> None:
    assert parse_cn(ref.cn) == ref
    assert 0 <= ref.shard < 64
    assert len(ref.cn) <= 28


@settings(deadline=None, max_examples=30)
@given(st.one_of(st.text(max_size=40), st.builds(lambda s, r: f"{s}/{r}", st.text(max_size=3), refs)))
def test_a_text_that_is_not_the_one_spelling_of_a_device_is_refused(text: str) -> None:
    with contextlib.suppress(Refused):
        assert parse_cn(text).cn == text


def test_a_wrong_shard_is_refused_and_the_right_one_told() -> None:
    with pytest.raises(Refused, match="belong to shard 43") as refused:
        parse_cn("42/oaaaaaaaaaaa/daaaaaaaaaaa")
    assert refused.value.reason == "wrong_shard"


@pytest.mark.parametrize(
    "cn",
    [
        "",
        "43/oaaaaaaaaaaa",
        "043/oaaaaaaaaaaa/daaaaaaaaaaa",
        "43/oaaaaaaaaaaa/daaaaaaaaaaa\n",
        "43/daaaaaaaaaaa/oaaaaaaaaaaa",
        "43/oaaaaaaaaaaa/daaaaaaaaaa1",
        "43/oaaaaaaaaaaa/Daaaaaaaaaaa",
        "4\u0663/oaaaaaaaaaaa/daaaaaaaaaaa",  # an Arabic 3, which int() would take
        "+/oaaaaaaaaaaa/daaaaaaaaaaa",
    ],
)
def test_a_common_name_of_another_form_is_refused(cn: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_cn(cn)
    assert refused.value.reason == "bad_identity"


def test_a_new_id_is_its_kind_and_eleven_characters_that_never_come_twice() -> None:
    made = {new_id("a") for _ in range(100)}
    assert len(made) == 100
    assert all(len(text) == 12 and text[0] == "a" and set(text[1:]) <= set(LETTERS) for text in made)


@pytest.mark.parametrize("name", ["a", "0", "pump-3", "a" * 63, "a_b"])
def test_a_name_of_lower_case_letters_digits_and_dashes_is_taken(name: str) -> None:
    assert checked_name(name, "device") == name


@pytest.mark.parametrize("name", ["", "A", "-a", "_a", "a b", "a" * 64, "é", "a\n", "a/b", "a.b"])
def test_another_name_is_refused_and_the_rule_told(name: str) -> None:
    with pytest.raises(Refused, match=r"device .* is not a valid name: use lower-case letters") as refused:
        checked_name(name, "device")
    assert refused.value.reason == "bad_name"
