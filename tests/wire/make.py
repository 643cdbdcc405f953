"""Write the wire files that are missing, and the index: `python -m tests.wire.make`.

What is there stays as it is: another file for a message that exists is another protocol.
"""

from __future__ import annotations

from broker.codec import open_sealed
from tests.wire.examples import DEVICE, EXAMPLES, INDEX, PAYLOADS, Example, hex_text, payload_file


def main() -> None:
    """Write what is missing and say its names; the index is made anew."""
    for example in EXAMPLES:
        if not example.file.exists():
            example.file.write_text(hex_text(example.sealed()))
            print(example.file.name)
    for name, payload in PAYLOADS.items():
        if not payload_file(name).exists():
            payload_file(name).write_text(hex_text(payload))
            print(payload_file(name).name)
    INDEX.write_text("\n".join(_line(example) for example in EXAMPLES) + "\n")


def _line(example: Example) -> str:
    sealed = example.golden()
    return example.line(sealed, open_sealed(example.channel, DEVICE, sealed, example.verifier).digest)


if __name__ == "__main__":
    main()
