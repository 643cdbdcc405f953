"""The generated parts of docs/protocol.md: the channel table, the envelope, the compact forms, every message's fields.

`python -m broker.protocol_doc docs/protocol.md` prints the page with these parts made anew; a test compares the two.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from broker import codec, compact, messages, signing, verbs
from broker.channels import CHANNELS, KIB

_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_PARTS_OF_NONE = (messages.Part, messages.Message)
_COUNT_END = 2**63


def page(text: str) -> str:
    """Return a page with everything between `generated` marks made anew."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", text)


def channel_table() -> str:
    """Return the channel table as Markdown."""
    rows = [
        [
            f"`{channel.direction.value}/{channel.name}`",
            str(channel.qos),
            "yes" if channel.retain else "no",
            f"{channel.size_max // KIB} KiB",
            f"{channel.body_max // KIB} KiB",
            str(channel.priority),
            channel.proof.value,
            channel.purpose,
        ]
        for channel in CHANNELS
    ]
    return _table(["channel", "QoS", "retained", "as sent", "unpacked", "priority", "proof", "carries"], rows)


def envelope_table() -> str:
    """Return the envelope's layout as Markdown."""
    proofs = {signing.ED25519: "Ed25519 signature", signing.HMAC_SHA256_128: "HMAC-SHA256, its first 128 bits"}
    known = ", ".join(f"{number}: {name}" for number, name in proofs.items())
    sizes = " or ".join(str(signing.PROOF_BYTES[number]) for number in reversed(proofs))
    rows = [
        ["0", "1", "version", f"{codec.VERSION}; another one is refused"],
        ["1", "1", "flags", "bit 0: the body is a zstd frame; bit 1: with a dictionary (reserved); others: refused"],
        ["2", "1", "algorithm", known],
        ["3", "1", "dictionary", "number of the dictionary; 0, as none is defined yet"],
        ["4", str(signing.KEY_ID_BYTES), "key id", "the first bytes of a SHA-256 over the key: see *Proofs*"],
        [str(4 + signing.KEY_ID_BYTES), sizes, "proof", "over context, header and body as sent"],
        ["then", "the rest", "body", f"msgpack; compressed from {codec.COMPRESS_FROM} bytes on where that saves some"],
    ]
    return _table(["at", "bytes", "part", "holds"], rows)


def compact_table() -> str:
    """Return the compact forms and their parts as Markdown."""
    forms = [
        [str(number), f"`{model.__name__}`", ", ".join(f"`{name}`" for name in names)]
        for number, (model, names) in compact.POSITIONS.items()
    ]
    parts = [
        ["", f"`{model.__name__}`", ", ".join(f"`{name}`" for name in names)] for model, names in compact.PARTS.values()
    ]
    return _table(["begins with", "message or part", "then, in this order"], forms + parts)


def verb_table() -> str:
    """Return the verbs of commands with their arguments as Markdown."""
    rows = []
    for verb, model in verbs.VERBS.items():
        fields = model.model_json_schema().get("properties", {})
        required = model.model_json_schema().get("required", ())
        given = ", ".join(f"`{name}`" if name in required else f"`{name}` (optional)" for name in fields)
        rows.append([f"`{verb}`", given or "none"])
    return _table(["verb", "arguments"], rows)


def field_lists() -> str:
    """Return every message and every part of one with its fields, as Markdown."""
    return "\n\n".join(_fields(model) for model in _models())


def _models() -> list[type[BaseModel]]:
    return [
        item
        for item in vars(messages).values()
        if isinstance(item, type)
        and issubclass(item, BaseModel)
        and item.__module__ == messages.__name__
        and item not in _PARTS_OF_NONE
    ]


def _fields(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(ref_template="{model}")
    required = schema.get("required", ())
    rows = [
        [f"`{name}`", _shape(field), "required" if name in required else _absent(field)]
        for name, field in schema["properties"].items()
    ]
    about = [" ".join(model.__doc__.split())] if model.__doc__ else []
    return "\n\n".join([f"### {model.__name__}", *about, _table(["field", "is", "when absent"], rows)])


def _absent(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default is None:
        return "nothing"
    return "empty" if default in ("", [], {}) else f"`{default}`".replace("True", "true").replace("False", "false")


def _shape(schema: Mapping[str, Any]) -> str:
    """Return a JSON schema as a few words."""
    if "$ref" in schema:
        return f"`{schema['$ref']}`"
    if "anyOf" in schema:
        return " or ".join(_shape(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type")
    match kind:
        case "integer":
            return _integer(schema)
        case "string":
            return _text(schema)
        case "array":
            return _list(schema)
        case "object":
            values = schema.get("additionalProperties")
            return f"mapping to {_shape(values)}" if isinstance(values, dict) else "mapping"
        case "boolean":
            return "true or false"
    return "anything" if kind is None else str(kind)


def _integer(schema: Mapping[str, Any]) -> str:
    low, end = schema.get("minimum"), schema.get("exclusiveMaximum")
    if low is None:
        return "integer"
    return "count" if (low, end) == (0, _COUNT_END) else f"integer from {low}"


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("format") == "binary":
        size = schema.get("minLength")
        return f"{size} bytes" if size is not None else "bytes"
    if "pattern" in schema:
        return f"text `{schema['pattern']}`".replace("|", "\\|")
    return f"text, at most {schema['maxLength']} characters" if "maxLength" in schema else "text"


def _list(schema: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        return f"({', '.join(_shape(one) for one in schema['prefixItems'])})"
    most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
    return f"list of {_shape(schema.get('items', {}))}{most}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PARTS: Mapping[str, Callable[[], str]] = {
    "channels": channel_table,
    "envelope": envelope_table,
    "compact": compact_table,
    "verbs": verb_table,
    "fields": field_lists,
}

if __name__ == "__main__":
    print(page(Path(sys.argv[1]).read_text()), end="")
