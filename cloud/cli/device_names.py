"""The names of devices by their ids, asked for when an unknown id turns up."""

from __future__ import annotations

from cloud.cli.answers import Devices
from cloud.cli.client import Client


class DeviceNames:
    """Remembers names; an id that the cloud does not name stands for itself."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names: dict[str, str] = {}

    def name(self, device: str) -> str:
        """Return the name of a device."""
        if device not in self._names:
            self._names |= {one.device: one.name for one in self._client.get("/v1/devices", Devices).devices}
        return self._names.setdefault(device, device) or device
