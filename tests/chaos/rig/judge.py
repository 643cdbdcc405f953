"""What an engine really runs, read from its API by hand: this judge shares no code with the worker it judges.

`python -m tests.chaos.rig.judge DEVICE SERVICE... -- NAME=IMAGE_ID...` prints one JSON object and ends with 0 when all
containers of the device are those of one release.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LABEL = "io.skerry.device"
SERVICE_LABEL = "io.skerry.service"


@dataclass(frozen=True)
class Verdict:
    """`release` is a name that was asked about, or `mixed`, `partial` or `unknown`; `why` says what is wrong."""

    release: str
    why: str = ""

    @property
    def whole(self) -> bool:
        return not self.why


class _Engine(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


def judge(device: str, services: Sequence[str], releases: Mapping[str, str], *, path: str) -> Verdict:
    """Return which of `releases` (name -> image id) the device's containers are of: all of them, one each, running."""
    listed = _get(path, "/containers/json?all=1&filters=" + _label(device))
    found: dict[str, list[dict[str, Any]]] = {}
    for item in listed:
        found.setdefault(item["Labels"].get(SERVICE_LABEL, ""), []).append(item)
    names = {image: name for name, image in releases.items()}
    of = {service: [names.get(item["ImageID"], "unknown") for item in items] for service, items in found.items()}
    kinds = {name for each in of.values() for name in each}
    one = kinds.pop() if len(kinds) == 1 else ("mixed" if kinds else "partial")
    if one == "mixed":
        return Verdict("mixed", json.dumps(of))
    if sorted(found) != sorted(services):
        return Verdict("partial", f"there are containers of {sorted(found)}, not of {sorted(services)}")
    for service, items in sorted(found.items()):
        if len(items) != 1:
            return Verdict("partial", f"{service} has {len(items)} containers")
        if items[0]["State"] != "running":
            return Verdict("partial", f"{service} is {items[0]['State']}: {items[0]['Status']}")
    return Verdict(one) if one in releases else Verdict("unknown", json.dumps(of))


def volumes(device: str, *, path: str) -> list[str]:
    """Return the names of the device's volumes: an update may not lose one."""
    return sorted(item["Name"] for item in _get(path, "/volumes?filters=" + _label(device))["Volumes"] or [])


def image_id(name: str, *, path: str) -> str:
    """Return the id of an image that the engine holds."""
    return str(_get(path, f"/images/{name}/json")["Id"])


def _label(device: str) -> str:
    return urllib.parse.quote(json.dumps({"label": [f"{LABEL}={device}"]}))


def _get(path: str, url: str) -> Any:
    engine = _Engine(path)
    try:
        engine.request("GET", "/v1.41" + url)
        answer = engine.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError(f"{url}: {answer.status} {body[:200]!r}")
        return json.loads(body)
    finally:
        engine.close()


def engine_socket() -> str:
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


if __name__ == "__main__":
    split = sys.argv.index("--")
    verdict = judge(
        sys.argv[1],
        sys.argv[2:split],
        dict(each.split("=", 1) for each in sys.argv[split + 1 :]),
        path=engine_socket(),
    )
    print(json.dumps(asdict(verdict)))
    sys.exit(0 if verdict.whole else 1)
