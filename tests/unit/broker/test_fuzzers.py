"""Each fuzzer, for a moment and with one seed: so that it still runs, and finds at once what it once found."""

from __future__ import annotations

from types import ModuleType

import pytest

from broker.errors import Refused
from tests.fuzz import (
    appspec,
    bundle,
    csr,
    envelope,
    layers,
    manifest,
    owner_toml,
    patches,
    payloads,
    seals,
    token,
    topics,
)
from tests.fuzz.fuzzing import damaged, fuzz

EXECUTIONS = 120


@pytest.mark.parametrize(
    "fuzzer",
    [appspec, bundle, csr, envelope, layers, manifest, owner_toml, patches, payloads, seals, token, topics],
    ids=lambda module: module.__name__.split(".")[-1],
)
def test_bytes_from_outside_are_read_or_refused(fuzzer: ModuleType) -> None:
    outcome = fuzz(fuzzer.make, fuzzer.attempt, seed=1, executions=EXECUTIONS)
    if outcome.finding is not None:
        pytest.fail(f"{outcome.finding.error}\n{outcome.finding.data!r}", pytrace=False)
    assert outcome.executions == EXECUTIONS
    assert 0 < outcome.refused < EXECUTIONS  # one that is all refused, or never, tests nothing


def test_a_fuzzer_reports_anything_else_with_the_input_that_did_it() -> None:
    def attempt(data: bytes) -> None:
        if len(data) > 5:
            raise KeyError("planted")

    outcome = fuzz(lambda random: damaged(random, [b"0123456789"]), attempt, seed=1, executions=1000)
    assert outcome.finding is not None
    assert len(outcome.finding.data) > 5
    assert "planted" in outcome.finding.error


def test_a_fuzzer_does_the_same_again_with_the_same_seed() -> None:
    made: list[list[bytes]] = []
    for _ in range(2):
        seen: list[bytes] = []
        fuzz(lambda random: damaged(random, [b"0123456789", b"abc"]), seen.append, seed=7, executions=50)
        made.append(seen)
    assert made[0] == made[1]


def test_a_certificate_request_of_a_version_that_there_is_not_is_refused() -> None:
    # Found by the fuzzer: the library has an error of its own for it.
    with pytest.raises(Refused, match="1 is not a valid CSR version"):
        csr.attempt(csr.pem(csr.DERS[0].replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)).decode())
