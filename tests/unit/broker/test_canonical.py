"""Canonical bytes: equal values, equal bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.canonical import canonical, digest, digest_of

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
plain = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def test_keys_are_sorted_and_nothing_is_spaced_or_escaped() -> None:
    assert canonical({"b": [1, None, True], "a": {"é": "x y"}}) == '{"a":{"é":"x y"},"b":[1,null,true]}'.encode()


@settings(deadline=None, max_examples=30)
@given(plain)
def test_canonical_bytes_hold_the_whole_value(value: Any) -> None:
    assert json.loads(canonical(value)) == value


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(st.text(max_size=3), scalars, min_size=2, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_matter(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert canonical({key: value[key] for key in keys}) == canonical(value)


@pytest.mark.parametrize("value", [1.0, {"a": 0.5}, [[{"a": [float("nan")]}]], (1.5,)])
def test_a_float_anywhere_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no canonical form"):
        canonical(value)


def test_a_digest_is_the_sha256_of_the_canonical_bytes() -> None:
    assert digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_of({"a": 1}) == digest(b'{"a":1}')
