"""Ports in all their forms."""

from __future__ import annotations

import pytest

from compose.errors import NOWHERE, ComposeError
from compose.forms.ports import ports
from compose.tree import Items, Plain, Table, grown, text_of


def lines(written: Plain) -> list[str]:
    """Return one line for each record: address:published:target/protocol."""
    node = ports(grown([written], NOWHERE), ())
    assert isinstance(node, Items)
    found = []
    for item in node.nodes:
        assert isinstance(item, Table)
        host_ip, published, target, protocol = (
            text_of(item.nodes.get(key)) for key in ("host_ip", "published", "target", "protocol")
        )
        found.append(f"{host_ip}:{published}:{target}/{protocol}")
    return found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (80, ["::80/tcp"]),
        ("80", ["::80/tcp"]),
        ("8080:80", [":8080:80/tcp"]),
        ("8080:80/udp", [":8080:80/udp"]),
        ("127.0.0.1:8080:80", ["127.0.0.1:8080:80/tcp"]),
        ("127.0.0.1::80", ["127.0.0.1::80/tcp"]),
        ("[::1]:8080:80", ["::1:8080:80/tcp"]),
        ("3000-3002", ["::3000/tcp", "::3001/tcp", "::3002/tcp"]),
        ("9000-9001:80-81", [":9000:80/tcp", ":9001:81/tcp"]),
        ("9000-9010:80", [":9000-9010:80/tcp"]),
        ({"target": 80}, ["::80/tcp"]),
        ({"target": "80", "published": 8080, "protocol": "UDP"}, [":8080:80/udp"]),
        ({"target": 80, "published": "8080-8090", "host_ip": "10.0.0.1"}, ["10.0.0.1:8080-8090:80/tcp"]),
    ],
)
def test_every_form_becomes_records(written: Plain, expected: list[str]) -> None:
    assert lines(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        *["", "x", "80:", "80:x", "99999:80", "80:0", "81-80", "1-2:3-5", "8080:80/icmp", "300.1.1.1:80:80", "a:80:80"],
        *["1-65535", 1.5, True, None, [80], {"published": 80}, {"target": 0}, {"target": 80, "mode": "x"}],
        *[{"target": 80, "published": "x"}, {"target": 80, "host_ip": "x"}, {"target": 80, "extra": 1}],
    ],
)
def test_what_is_no_port_is_refused(written: Plain) -> None:
    with pytest.raises(ComposeError):
        lines(written)
