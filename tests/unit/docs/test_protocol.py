"""docs/protocol.md and docs/asyncapi.json are what the channel table and the models say."""

from __future__ import annotations

import json
import re
from typing import Any

from broker import asyncapi, protocol_doc
from broker.channels import CHANNELS, Direction
from broker.codec import seal
from broker.ids import DeviceRef
from broker.messages import Beat, Conn
from broker.signing import MacKey
from tests.unit.docs.pages import DOCS

DEVICE = DeviceRef("o" + "a" * 11, "d" + "b" * 11)


def test_the_committed_page_is_the_generated_one() -> None:
    page = (DOCS / "protocol.md").read_text()
    assert protocol_doc.page(page) == page, "python -m broker.protocol_doc docs/protocol.md prints the right one"


def test_the_page_holds_every_generated_part_once() -> None:
    marks = re.findall(r"<!-- generated: (\w+) -->", (DOCS / "protocol.md").read_text())
    assert sorted(marks) == sorted(protocol_doc.PARTS)


def test_the_envelope_has_the_layout_of_the_page() -> None:
    key = MacKey(b"k" * 32)
    channel = next(one for one in CHANNELS if one.name == "presence")
    sealed = seal(channel, DEVICE, Beat(conn=Conn(boot="0" * 32, count=1), n=1), key)
    context = f"sk/1\nup/presence\n{DEVICE.cn}\n".encode()
    assert sealed[:4] == bytes((1, 0, 2, 0))
    assert sealed[4:12] == key.key_id
    assert sealed[12:28] == key.prove(context + sealed[:12] + sealed[28:])


def test_the_committed_asyncapi_document_is_the_generated_one() -> None:
    assert (DOCS / "asyncapi.json").read_text() == asyncapi.text(), "python -m broker.asyncapi prints the right one"


def test_every_channel_has_an_address_a_message_and_an_operation() -> None:
    document = asyncapi.document()
    assert document["asyncapi"] == "3.0.0"
    assert document["info"].keys() >= {"title", "version"}
    assert set(document["channels"]) == {asyncapi.key(channel) for channel in CHANNELS}
    operated = {operation["channel"]["$ref"]: operation for operation in document["operations"].values()}
    for channel in CHANNELS:
        name = asyncapi.key(channel)
        described = document["channels"][name]
        address = described["address"].format(shard=DEVICE.shard, org=DEVICE.org, device=DEVICE.device)
        assert address == channel.topic(DEVICE)
        assert set(re.findall(r"\{(\w+)\}", described["address"])) == set(described["parameters"])
        assert document["components"]["messages"][name]["payload"]
        operation = operated[f"#/channels/{name}"]
        assert operation["action"] == ("send" if channel.direction is Direction.UP else "receive")
        assert operation["messages"] == [{"$ref": f"#/channels/{name}/messages/{name}"}]


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    document = json.loads(asyncapi.text())
    references = list(_references(document))
    assert len(references) > len(CHANNELS)
    for reference in references:
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    return [found for item in value for found in _references(item)] if isinstance(value, list) else []
