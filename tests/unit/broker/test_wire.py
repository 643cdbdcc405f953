"""The golden bytes of protocol 1: opened to equal messages, and made again from them."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from broker.channels import CHANNELS
from broker.codec import FLAG_ZSTD, Opened, open_sealed, pack
from broker.compression import decompress
from broker.payloads import BYTES_MAX, LINES, SAMPLES, unpack_lines, unpack_samples
from broker.signing import KEY_ID_BYTES, PROOF_BYTES
from tests.wire.examples import (
    DEVICE,
    EXAMPLES,
    FOLDER,
    INDEX,
    LINES_SENT,
    PAYLOADS,
    SAMPLES_SENT,
    Example,
    payload_file,
)

PROTOCOL = (
    "the bytes of {} changed: devices in the field speak protocol 1 as tests/wire/v1 has it. Changing one of these "
    "files is a protocol change and needs an ADR; a new message gets a new file: python -m tests.wire.make"
)
EACH = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)


def opened(example: Example) -> Opened:
    return open_sealed(example.channel, DEVICE, example.golden(), example.verifier)


def head_and_payload(example: Example, sealed: bytes) -> tuple[bytes, bytes]:
    """Return the header and what the body unpacks to: compressors may differ in bytes, not in content."""
    body = sealed[4 + KEY_ID_BYTES + PROOF_BYTES[sealed[2]] :]
    if sealed[1] & FLAG_ZSTD:
        body = decompress(body, example.channel.body_max)
    return sealed[: 4 + KEY_ID_BYTES], body


@EACH
def test_golden_bytes_open_to_the_message_they_were_made_from(example: Example) -> None:
    assert opened(example).message == example.message, PROTOCOL.format(example.file.name)


@EACH
def test_a_message_is_sealed_to_its_golden_bytes(example: Example) -> None:
    sealed, golden = example.sealed(), example.golden()
    assert head_and_payload(example, sealed) == head_and_payload(example, golden), PROTOCOL.format(example.file.name)
    if not golden[1] & FLAG_ZSTD:
        assert sealed.hex() == golden.hex(), PROTOCOL.format(example.file.name)


@EACH
def test_what_was_opened_is_packed_to_the_same_payload_again(example: Example) -> None:
    payload = head_and_payload(example, example.golden())[1]
    assert pack(example.channel, opened(example).message) == payload, PROTOCOL.format(example.file.name)


def test_the_index_tells_of_every_file_and_of_nothing_else() -> None:
    lines = [example.line(example.golden(), opened(example).digest) for example in EXAMPLES]
    assert INDEX.read_text().splitlines() == lines, PROTOCOL.format("a file")
    known = {INDEX, *(example.file for example in EXAMPLES), *(payload_file(name) for name in PAYLOADS)}
    assert set(FOLDER.iterdir()) == known


def test_every_channel_has_an_example() -> None:
    assert {example.channel.topic(DEVICE) for example in EXAMPLES} == {channel.topic(DEVICE) for channel in CHANNELS}


def test_every_field_of_every_message_is_filled_in_by_an_example() -> None:
    filled: dict[type[BaseModel], set[str]] = {}
    for example in EXAMPLES:
        for part in parts(example.message):
            changed = {
                name
                for name, field in type(part).model_fields.items()
                if field.is_required() or getattr(part, name) != field.get_default(call_default_factory=True)
            }
            filled.setdefault(type(part), set()).update(changed)
    constants = {"v", "kind", "driver"}  # literals of one value
    missing = {model.__name__: set(model.model_fields) - seen - constants for model, seen in filled.items()}
    assert {name: fields for name, fields in missing.items() if fields} == {}
    reachable = set().union(*(models(type(example.message)) for example in EXAMPLES))
    assert {model.__name__ for model in reachable - filled.keys()} == set()


def test_golden_payloads_of_batches_unpack_to_what_was_packed() -> None:
    assert unpack_samples(golden_payload(SAMPLES)) == SAMPLES_SENT, PROTOCOL.format(SAMPLES)
    assert unpack_lines(golden_payload(LINES)) == LINES_SENT, PROTOCOL.format(LINES)


@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_a_payload_is_packed_to_its_golden_content(name: str) -> None:
    assert decompress(PAYLOADS[name], BYTES_MAX) == decompress(golden_payload(name), BYTES_MAX), PROTOCOL.format(name)


def golden_payload(name: str) -> bytes:
    return bytes.fromhex(payload_file(name).read_text())


def parts(value: object) -> Iterator[BaseModel]:
    """Yield every model inside a message, itself first."""
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from parts(getattr(value, name))
    elif isinstance(value, dict | types.MappingProxyType):
        for item in value.values():
            yield from parts(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from parts(item)


def models(annotation: Any) -> set[type[BaseModel]]:
    """Return every model an annotation can lead to."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inner = [field.annotation for field in annotation.model_fields.values()]
        return {annotation}.union(*(models(each) for each in inner))
    return set().union(*(models(argument) for argument in get_args(annotation)))
