"""What all fuzzers share: damage for bytes and for values, a loop, and a verdict that can be repeated."""

from __future__ import annotations

import argparse
import resource
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from broker.errors import Refused

ODD_BYTES = (0x00, 0x01, 0x7F, 0x80, 0x90, 0xC0, 0xC1, 0xC7, 0xCA, 0xD9, 0xDC, 0xDD, 0xDF, 0xFF)
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 0.5, float("nan"), "", "0", "\x00", "\ud7ff", "a" * 300, "/",
    "../..", "sha256:" + "0" * 64, "io.skerry.x", b"", b"\xff", [], [None], {}, {"": None}, {"v": 2},
)  # fmt: skip
CHECK_CLOCK_EVERY = 64


@dataclass(frozen=True)
class Finding:
    """An input that led to something other than an answer or a refusal."""

    number: int
    data: Any
    error: str


@dataclass(frozen=True)
class Outcome:
    executions: int
    refused: int
    slowest_s: float = 0.0
    finding: Finding | None = None


def fuzz(
    make: Callable[[Random], Any],
    attempt: Callable[[Any], object],
    *,
    seed: int,
    seconds: float | None = None,
    executions: int | None = None,
) -> Outcome:
    """Try what `make` makes, so long or so often, until `attempt` raises something other than `Refused`."""
    random = Random(seed)  # noqa: S311 - repeatable on purpose
    deadline = None if seconds is None else time.monotonic() + seconds
    done, refused, slowest_s = 0, 0, 0.0
    while executions is None or done < executions:
        if deadline is not None and done % CHECK_CLOCK_EVERY == 0 and time.monotonic() > deadline:
            break
        data = make(random)
        began = time.perf_counter()
        try:
            attempt(data)
        except Refused:
            refused += 1
        except Exception:  # noqa: BLE001 - finding these is what a fuzzer is for
            return Outcome(done + 1, refused, slowest_s, Finding(done, data, traceback.format_exc()))
        slowest_s = max(slowest_s, time.perf_counter() - began)
        done += 1
    return Outcome(done, refused, slowest_s)


def main(make: Callable[[Random], Any], attempt: Callable[[Any], object]) -> None:
    """Run one fuzzer as a command; the exit status is 1 when it found something."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, help="for so long; 30 unless --executions is given")
    parser.add_argument("--executions", type=int, help="so often")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    given = parser.parse_args()
    seconds = 30.0 if given.seconds is None and given.executions is None else given.seconds
    outcome = fuzz(make, attempt, seed=given.seed, seconds=seconds, executions=given.executions)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{outcome.executions} executions, {outcome.refused} refused, the slowest {outcome.slowest_s * 1000:.1f} ms, "
        f"at most {memory_mb:.0f} MB, seed {given.seed}"
    )
    if outcome.finding is not None:
        print(f"execution {outcome.finding.number}: {outcome.finding.data!r}\n{outcome.finding.error}")
        sys.exit(1)


def damaged(random: Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of `seeds` after a few accidents; now and then only noise."""
    if random.random() < 0.02:
        return random.randbytes(random.randrange(64))
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
        _damage(random, data, seeds)
    return bytes(data)


def _damage(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice((1, 1, 2, 4, 16, 64)))
    match random.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << random.randrange(8)
        case 1 if at < len(data):
            data[at] = random.choice(ODD_BYTES)
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = bytes(random.choices(ODD_BYTES, k=random.randint(1, 4)))
        case 4:
            data[at:at] = data[at:end]
        case 5:
            other = random.choice(seeds)
            begin = random.randrange(len(other) + 1)
            data[at:end] = other[begin : begin + random.randint(0, 32)]
        case _:
            del data[at:]


def changed(random: Random, value: Any) -> Any:
    """Return a plain value with one part of it, somewhere, made into something else, doubled or taken out."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        match random.randrange(12):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return value | {random.choice(("", "v", "x", "io.skerry.x", key + "x")): value[key]}
            case _:
                return value | {key: changed(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        middle = random.choice(([], [value[at]] * 2, [changed(random, value[at])], [changed(random, value[at])]))
        return [*value[:at], *middle, *value[at + 1 :]]
    if isinstance(value, str) and value and random.random() < 0.5:
        at = random.randrange(len(value))
        return value[:at] + random.choice(("", "0", "/", ":", ".", "-", "\n", "²", "é")) + value[at + 1 :]
    if isinstance(value, int) and random.random() < 0.5:
        other = value + random.choice((-1, 1, 2**16, 2**40, -(2**40)))
        return max(-(2**63), min(2**64 - 1, other))  # msgpack holds no others
    return random.choice(ODD_VALUES)
