"""Fuzz what opens envelopes: golden bytes damaged as sent, and damaged inside of a proof that holds."""

from __future__ import annotations

from random import Random

from broker.channels import Channel
from broker.codec import FLAG_ZSTD, open_sealed, pack, seal_payload
from broker.compression import compress, decompress
from broker.signing import KEY_ID_BYTES, PROOF_BYTES
from tests.fuzz.fuzzing import damaged, main
from tests.wire.examples import DEVICE, EXAMPLES, Example

SEALED = tuple(example.golden() for example in EXAMPLES)
Data = tuple[Example, bytes]


def payload_of(sealed: bytes, channel: Channel) -> bytes:
    body = sealed[4 + KEY_ID_BYTES + PROOF_BYTES[sealed[2]] :]
    return decompress(body, channel.body_max) if sealed[1] & FLAG_ZSTD else body


PAYLOADS = tuple(payload_of(sealed, e.channel) for sealed, e in zip(SEALED, EXAMPLES, strict=True))


def make(random: Random) -> Data:
    example = random.choice(EXAMPLES)
    match random.randrange(4):
        case 0:
            return example, damaged(random, SEALED)
        case 1:
            packed = [compress(payload, level=1) for payload in PAYLOADS[:4]]
            return example, proven(example, damaged(random, packed), flags=FLAG_ZSTD)
        case _:
            payload = damaged(random, (PAYLOADS[EXAMPLES.index(example)], *PAYLOADS))
            return example, proven(example, payload, flags=0)


def proven(example: Example, body: bytes, *, flags: int) -> bytes:
    """Return an envelope whose proof holds over any body."""
    prover, channel = example.prover, example.channel
    header = bytes((1, flags, prover.algorithm, 0)) + prover.key_id
    context = f"sk/1\n{channel.direction.value}/{channel.name}\n{DEVICE.cn}\n".encode()
    return header + prover.prove(context + header + body) + body


def attempt(data: Data) -> None:
    """Open; what opens must be packed again to something that opens to the same."""
    example, sealed = data
    opened = open_sealed(example.channel, DEVICE, sealed, example.verifier)
    again = seal_payload(example.channel, DEVICE, pack(example.channel, opened.message), example.prover)
    assert open_sealed(example.channel, DEVICE, again, example.verifier).message == opened.message


if __name__ == "__main__":
    main(make, attempt)
