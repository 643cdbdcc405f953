"""A device that nothing reaches: identity, trust and signed desired states made by the story itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.channels import DESIRED, TRUST
from broker.codec import seal
from broker.files import write_durably
from broker.ids import DeviceRef, new_id
from broker.messages import AppSection, DesiredState, Trust, TrustKey
from broker.signing import Signer
from device.checked_file import CheckedFile
from device.config import Identity, Paths
from tests.harness.apps import section, service
from tests.harness.mqtt import Authority, Mosquitto

SERVICES = ("api", "store", "web")
STAY = "trap 'exit 0' TERM; while :; do /bin/busybox sleep 0.05; done"
REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/chaos"


class LonelyDevice:
    """A state folder with everything a worker needs but a link. `registry` is where images lie."""

    def __init__(self, state: Path, *, registry: str) -> None:
        self.paths = Paths(state)
        self.ref = DeviceRef(new_id("o"), new_id("d"))
        self.topic = DESIRED.topic(self.ref)
        self._root, self._online = Signer.generate(), Signer.generate()
        self._registry = registry
        self.instance = new_id("i")
        self.generation = 0

    def settle_in(self, *, broker: Mosquitto | None = None) -> None:
        """Write what enrollment would have written; without `broker` there is nothing to connect to."""
        self.paths.prepare()
        write_durably(self.paths.seed, Signer.generate().seed)
        issuer = broker.device_ca if broker else Authority(self.paths.identity, "ca")
        trusted = broker.server_ca if broker else issuer
        write_durably(self.paths.ca, trusted.file.read_bytes())
        for made, place in zip(issuer.issue(self.ref.cn), (self.paths.certificate, self.paths.key), strict=True):
            write_durably(place, made.read_bytes())
        document = Trust(
            version=1,
            era=1,
            roots=(self._root.public,),
            keys=(TrustKey(public=self._online.public, roles=("desired", "command")),),
        )
        CheckedFile(self.paths.ledger / "trust").write(seal(TRUST, self.ref, document, self._root))
        identity = Identity(
            org=self.ref.org,
            device=self.ref.device,
            name="islet",
            cloud="https://127.0.0.1:1",
            brokers=(f"127.0.0.1:{broker.devices.port if broker else 1}",),
            registry=self._registry,
            mac_key=base64.b64encode(b"m" * 32).decode(),
            root_key=base64.b64encode(self._root.public).decode(),
            keepalive_s=300,
        )
        write_durably(self.paths.identity_file, identity.model_dump_json().encode())

    def next_state(self, *apps: AppSection) -> bytes:
        """Return the sealed next generation: these apps and no others."""
        self.generation += 1
        state = DesiredState(
            org=self.ref.org, device=self.ref.device, era=1, generation=self.generation, issued_ms=0, apps=apps
        )
        return seal(DESIRED, self.ref, state, self._online)


def three_services(instance: str, digest: str, *, broken: bool = False) -> AppSection:
    """Return an app of three services of one image, each depending on the one before; if broken, the last ends."""
    ways: Mapping[str, Any] = {"monitor_ms": 300, "failure_action": "rollback"}
    common: dict[str, Any] = {
        "image": {"repository": REPOSITORY, "digest": digest},
        "networks": {"back": {}},
        "restart": {"policy": "unless-stopped"},
        "stop_grace_ms": 2000,
        "update": ways,
        "rollback": ways,
        "command": ["/bin/busybox", "sh", "-c", STAY],
    }
    data = {"type": "volume", "source": "data", "target": "/data"}
    ends = {"command": ["/bin/busybox", "sh", "-c", "exit 3"], "restart": {"policy": "no"}} if broken else {}
    return section(
        {
            "store": service() | common | {"mounts": [data]},
            "api": service() | common | {"depends_on": {"store": {}}},
            "web": service() | common | {"depends_on": {"api": {}}} | ends,
        },
        name="chaos",
        instance=instance,
        networks={"back": {}},
        volumes={"data": {}},
    )
