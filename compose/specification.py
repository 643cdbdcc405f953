"""The Compose Specification as a table of shapes: every key of a file, where it may stand, and what it may hold. Pure.

A key that is missing here (or, for services, in `compose/service_keys.py`) is refused as unknown. What Skerry does with
a key is another table, `compose/keys.py`.
"""

from __future__ import annotations

from compose.errors import Path
from compose.forms.services import external
from compose.forms.values import flag, natural, options, pairs, text
from compose.service_keys import JOB_KEYS, SERVICE_KEYS, wrapped
from compose.shapes import Shape, list_of, nullable, record, short_or_record, single_or_list, table, wrong
from compose.skerry_keys import SKERRY
from compose.tree import Node, Scalar, Table

_texts = list_of(text)
_text_or_texts = single_or_list(text)
_labels = pairs()

NETWORK_KEYS: dict[str, Shape] = {
    "name": text,
    "driver": text,
    "driver_opts": options(),
    "ipam": record(
        {
            "driver": text,
            "config": list_of(
                record({"subnet": text, "ip_range": text, "gateway": text, "aux_addresses": table(text)})
            ),
            "options": table(text),
        }
    ),
    "external": external,
    "internal": flag,
    "enable_ipv4": flag,
    "enable_ipv6": flag,
    "attachable": flag,
    "labels": _labels,
}
VOLUME_KEYS: dict[str, Shape] = {
    "name": text,
    "driver": text,
    "driver_opts": options(),
    "external": external,
    "labels": _labels,
}
SECRET_KEYS: dict[str, Shape] = {
    "name": text,
    "environment": text,
    "file": text,
    "external": external,
    "labels": _labels,
    "driver": text,
    "driver_opts": options(),
    "template_driver": text,
}
CONFIG_KEYS: dict[str, Shape] = {
    "name": text,
    "content": text,
    "environment": text,
    "file": text,
    "external": external,
    "labels": _labels,
    "template_driver": text,
}
MODEL_KEYS: dict[str, Shape] = {"name": text, "model": text, "context_size": natural, "runtime_flags": _texts}


def _resource(keys: dict[str, Shape]) -> Shape:
    """Return the shape of a network, volume, secret or config, with the old form `external: {name: x}` made new."""

    def finish(node: Node, path: Path) -> Node:
        assert isinstance(node, Table)
        outside = node.nodes.get("external")
        if not isinstance(outside, Table):
            return node
        if "name" in node.nodes and "name" in outside.nodes:
            raise wrong(outside, path, "has a name and external.name; keep only name")
        true = Scalar(True, "true", outside.place, outside.mark)
        return node.having(**{**outside.nodes, "external": true})

    return record(keys, finish=finish)


INCLUDE = list_of(
    short_or_record(
        wrapped("path", _text_or_texts),
        record({"path": _text_or_texts, "env_file": _text_or_texts, "project_directory": text}),
    )
)

FILE = record(
    {
        "version": text,
        "name": text,
        "include": INCLUDE,
        "services": table(record({**SERVICE_KEYS, "x-skerry": SKERRY}), names=True),
        "jobs": table(record(JOB_KEYS), names=True),
        "networks": table(nullable(_resource(NETWORK_KEYS)), names=True),
        "volumes": table(nullable(_resource(VOLUME_KEYS)), names=True),
        "secrets": table(_resource(SECRET_KEYS), names=True),
        "configs": table(_resource(CONFIG_KEYS), names=True),
        "models": table(record(MODEL_KEYS), names=True),
    }
)
