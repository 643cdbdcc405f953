"""The protocol as an AsyncAPI 3.0 document, made from the channel table. `python -m broker.asyncapi` prints it.

Operations are a device's: it sends on `up` channels and receives on `dn` channels.
"""

from __future__ import annotations

import json
from typing import Any

from broker.channels import CHANNELS, PREFIX, Channel, Direction

SCHEMA_REF = "#/components/schemas/{model}"
JsonObject = dict[str, Any]


def document() -> JsonObject:
    """Return the document as plain values."""
    inputs = [(key(channel), "validation", channel.model) for channel in CHANNELS]
    schemas, shared = _schemas(inputs)
    messages = {
        key(channel): {
            "name": key(channel),
            "title": channel.purpose,
            "contentType": "application/vnd.skerry.envelope",
            "payload": schemas[key(channel)],
        }
        for channel in CHANNELS
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Skerry device protocol",
            "version": PREFIX.partition("/")[2],
            "description": "What one device sends (up) and receives (dn). Payloads travel as msgpack in an envelope "
            "with a signature or a MAC: see protocol.md. Generated from broker/channels.py.",
        },
        "defaultContentType": "application/vnd.skerry.envelope",
        "servers": {
            "broker": {
                "host": "{broker}",
                "protocol": "secure-mqtt",
                "description": "Told at enrollment. TLS with a client certificate; MQTT 5, else 3.1.1.",
                "variables": {"broker": {"description": "host:port"}},
            }
        },
        "channels": {key(channel): _channel(channel) for channel in CHANNELS},
        "operations": {_operation_key(channel): _operation(channel) for channel in CHANNELS},
        "components": {"messages": messages, "schemas": shared},
    }


def text() -> str:
    """Return the document as it is committed."""
    return json.dumps(document(), indent=1, sort_keys=False, ensure_ascii=False) + "\n"


def key(channel: Channel) -> str:
    """Return the name of a channel in the document: `up.presence`."""
    return f"{channel.direction.value}.{channel.name}"


def _channel(channel: Channel) -> JsonObject:
    return {
        "address": f"{PREFIX}/{{shard}}/{{org}}/{{device}}/{channel.direction.value}/{channel.name}",
        "description": channel.purpose,
        "parameters": {
            "shard": {"description": "0 to 63, a function of the two ids"},
            "org": {"description": "the organisation's id: o and 11 base32 characters"},
            "device": {"description": "the device's id: d and 11 base32 characters"},
        },
        "messages": {key(channel): {"$ref": f"#/components/messages/{key(channel)}"}},
        "x-skerry-priority": channel.priority,
        "x-skerry-proof": channel.proof.value,
        "x-skerry-size-max": channel.size_max,
        "x-skerry-body-max": channel.body_max,
    }


def _operation_key(channel: Channel) -> str:
    verb = "send" if channel.direction is Direction.UP else "receive"
    return f"{verb}.{channel.name}"


def _operation(channel: Channel) -> JsonObject:
    name = key(channel)
    return {
        "action": "send" if channel.direction is Direction.UP else "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": channel.purpose,
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retain, "bindingVersion": "0.2.0"}},
    }


def _schemas(inputs: list[tuple[str, Any, Any]]) -> tuple[JsonObject, JsonObject]:
    """Return the schema of each channel's message, and the definitions they share."""
    by_key, shared = inputs[0][2].json_schemas(inputs, ref_template=SCHEMA_REF)
    return {name: schema for (name, _), schema in by_key.items()}, shared.get("$defs", {})


if __name__ == "__main__":
    print(text(), end="")
