"""Samples as columns: names once for all samples that have the same, numbers as steps from one to the next. Pure.

The plain form is `[times, shapes, places]`. `times` are the first and the steps from it. A shape is `[names, columns]`:
samples with these fields in this order. `places` has the number of each sample's shape; it is empty where there is one.
A column is `[0, value]`, the same for all; `[1, values]`; `[2, decimals, first, steps]`; or `[3, decimals, least, what
is above it]`. The last two are decimal numbers without their point; `decimals` are how many digits stand behind it, one
for all or one each. Only texts that come out as they went in, byte for byte, become numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from operator import sub
from typing import Any, cast

from broker.errors import Refused

SAME, TEXTS, STEPS, ABOVE = range(4)
DECIMALS_MAX = 5  # with 13 digits before the point, a number and every step fit into 64 bits
CELL_BYTES = 8  # what a field counts at least where the size of what comes out is bounded
NUMBER_BYTES = 20
_NUMBERS = re.compile(rb"(?:(?:-(?!0(?:\.0+)?\n))?(?:0|[1-9][0-9]{0,12})(?:\.[0-9]{1,5})?\n)+")


def columned(times: Sequence[int], rows: Sequence[Sequence[bytes]]) -> list[Any]:
    """Return the plain form of samples, given their times, and of each its names and values in turn."""
    turned = list(zip(*rows, strict=False)) if len(set(map(len, rows))) == 1 else []
    if turned and all(names.count(names[0]) == len(rows) for names in turned[::2]):  # the usual case, in few steps
        shapes = [[[names[0] for names in turned[::2]], list(map(_column, turned[1::2]))]]
        return [_steps(times), shapes, []]
    numbers: dict[tuple[bytes, ...], int] = {}
    places = [numbers.setdefault(tuple(row[::2]), len(numbers)) for row in rows]
    of_shape: list[list[Sequence[bytes]]] = [[] for _ in numbers]
    for place, row in zip(places, rows, strict=True):
        of_shape[place].append(row[1::2])
    shapes = [
        [list(names), list(map(_column, zip(*values, strict=True)))]
        for names, values in zip(numbers, of_shape, strict=True)
    ]
    return [_steps(times), shapes, places if len(shapes) > 1 else []]


def rows_of(plain: Any, *, count_max: int, bytes_max: int) -> tuple[list[int], list[dict[bytes, bytes]]]:
    """Return times and fields of a plain form; raise `Refused` (`invalid`, `too_large`)."""
    times, shapes, places = _parts(plain)
    if len(times) > count_max:
        raise Refused("too_large", f"batch payload of {len(times)} elements, at most {count_max} are read")
    if len(shapes) == 1 and not places:
        places = [0] * len(times)
    held = Counter(places)
    if len(places) != len(times) or held.keys() != set(range(len(shapes))):
        raise _invalid("samples and shapes do not fit together")
    left = bytes_max
    readers: list[Iterator[dict[bytes, bytes]]] = []
    for number, shape in enumerate(shapes):
        names, columns = _shape(shape)
        left -= sum(held[number] * (len(name) + CELL_BYTES) for name in names)
        left -= sum(_size(column, held[number]) for column in columns)
        if left < 0:
            raise Refused("too_large", f"batch payload stands for more than {bytes_max} bytes")
        readers.append(_rows(names, columns))
    return times, [next(readers[place]) for place in places]


def _column(values: Sequence[bytes]) -> list[Any]:
    count = len(values)
    if values.count(values[0]) == count:
        return [SAME, values[0]]
    joined = b"\n".join(values) + b"\n"
    if joined.count(b"\n") != count or not _NUMBERS.fullmatch(joined):
        return [TEXTS, list(values)]
    decimals, numbers = _numbers(values, joined)
    least, steps = min(numbers), list(map(sub, numbers[1:], numbers))
    if sum(map(abs, steps)) <= sum(numbers) - least * count:
        return [STEPS, decimals, numbers[0], steps]
    return [ABOVE, decimals, least, [number - least for number in numbers]]


def _numbers(values: Sequence[bytes], joined: bytes) -> tuple[int | list[int], list[int]]:
    """Return how many digits stand behind the points, and the numbers as if the most did behind each."""
    if b"." not in joined:
        return 0, list(map(int, values))
    places = [len(value) - at - 1 if (at := value.find(b".")) >= 0 else 0 for value in values]
    most = max(places)
    if min(places) == most:
        return most, list(map(int, joined.replace(b".", b"").split()))
    scaled = zip(values, places, strict=True)
    return places, [int(value.replace(b".", b"")) * 10 ** (most - place) for value, place in scaled]


def _steps(times: Sequence[int]) -> list[int]:
    return [*times[:1], *map(sub, times[1:], times)]


def _parts(plain: Any) -> tuple[list[int], list[Any], list[int]]:
    match plain:
        case [list() as steps, list() as shapes, list() as places] if _are_integers(steps) and _are_integers(places):
            times = list(accumulate(steps))
            if times and (min(times) < 0 or max(times) >= 2**63):
                raise _invalid("a time is out of range")
            return times, shapes, places
    raise _invalid("no list of times, shapes and places")


def _shape(shape: Any) -> tuple[list[bytes], list[list[Any]]]:
    match shape:
        case [list() as names, list() as columns] if len(names) == len(columns) and _are_texts(names):
            return names, columns
    raise _invalid("a shape is not names and as many columns")


def _rows(names: list[bytes], columns: list[list[Any]]) -> Iterator[dict[bytes, bytes]]:
    """Yield the samples of a shape; where all of them are the same it has no end, and whoever counts them stops."""
    cells = [_values(column) for column in columns]
    for row in zip(*cells, strict=False) if cells else repeat(()):
        yield dict(zip(names, row, strict=True))


def _size(column: Any, rows: int) -> int:
    """Return about how many bytes a column of so many rows stands for; raise `Refused` where it is none."""
    match column:
        case [0, bytes() as value]:
            return rows * len(value)
        case [1, list() as values] if len(values) == rows and _are_texts(values):
            return sum(map(len, values))
        case [2, decimals, int() as first, list() as steps] if len(steps) == rows - 1 and _are_integers(
            [first, *steps]
        ):
            return _sized(decimals, rows)
        case [3, decimals, int() as least, list() as above] if len(above) == rows and _are_integers([least, *above]):
            return _sized(decimals, rows)
    raise _invalid("a column is none")


def _sized(decimals: Any, rows: int) -> int:
    each = decimals if isinstance(decimals, list) and len(decimals) == rows else [decimals]
    if not _are_integers(each) or min(each) < 0 or max(each) > DECIMALS_MAX:
        raise _invalid("a column has digits behind the point that cannot be")
    return rows * NUMBER_BYTES


def _values(column: list[Any]) -> Iterable[bytes]:
    match column:
        case [0, value]:
            return repeat(value)
        case [1, values]:
            return cast(list[bytes], values)
        case [2, decimals, first, steps]:
            return _written(accumulate([first, *steps]), decimals)
        case [_, decimals, least, above]:
            return _written((least + each for each in above), decimals)
    raise AssertionError(column)


def _written(numbers: Iterable[int], decimals: int | list[int]) -> Iterable[bytes]:
    if isinstance(decimals, int):
        return map(b"%d".__mod__, numbers) if not decimals else (_decimal(number, decimals) for number in numbers)
    most = max(decimals)
    return (
        _decimal(number // 10 ** (most - place), place)
        if number >= 0
        else b"-" + _decimal(-number // 10 ** (most - place), place)
        for number, place in zip(numbers, decimals, strict=True)
    )


def _decimal(number: int, decimals: int) -> bytes:
    if not decimals:
        return b"%d" % number
    digits = b"%0*d" % (decimals + 1, abs(number))
    return b"%b%b.%b" % (b"-" if number < 0 else b"", digits[:-decimals], digits[-decimals:])


def _are_integers(values: Sequence[Any]) -> bool:
    return all(type(value) is int for value in values)  # true is an int as well


def _are_texts(values: Sequence[Any]) -> bool:
    return all(type(value) is bytes for value in values)


def _invalid(what: str) -> Refused:
    return Refused("invalid", f"batch payload: {what}")
