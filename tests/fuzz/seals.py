"""Fuzz sealed secrets: boxes damaged as they travel, keys that are none, labels that are another's."""

from __future__ import annotations

from random import Random

from broker.sealing import Opener, about_secret, seal
from tests.fuzz.fuzzing import damaged, main

MINE, OTHER = Opener(b"m" * 32), Opener(b"o" * 32)
ABOUT = tuple(about_secret("aaaaaaaaaaaa", name) for name in ("password", "key"))
BOXES = tuple(seal(key, about, b"sesame") for key in (MINE.public, OTHER.public) for about in ABOUT)
KEYS = (MINE.public, OTHER.public, bytes(32), b"\xff" * 32)
Data = tuple[bool, bytes, str]


def make(random: Random) -> Data:
    is_key = random.random() < 0.2
    return is_key, damaged(random, KEYS if is_key else BOXES), random.choice(ABOUT)


def attempt(data: Data) -> None:
    """Seal to what may be a key; or open what may be a box, which then holds what was in it."""
    is_key, given, about = data
    if is_key:
        seal(given, about, b"sesame")
    else:
        assert MINE.open(about, given) == b"sesame"


if __name__ == "__main__":
    main(make, attempt)
