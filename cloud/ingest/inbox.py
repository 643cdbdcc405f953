"""The inbox between the broker's sessions and the worker: bounded, and fair to devices.

A full inbox drops: every message is safe to lose, because devices send again what no sync shows. Each device has its
own share and its own place in the round, so that nobody's flood delays another's acknowledgement.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

from broker.channels import Channel
from broker.ids import DeviceRef

DEVICE_DEPTH = 64
DEVICE_BYTES = 4 * 1024 * 1024
SHARD_DEPTH = 4096
BYTES_MAX = 128 * 1024 * 1024


@dataclass(frozen=True)
class Received:
    """A message as it came, not yet believed."""

    channel: Channel
    device: DeviceRef
    payload: bytes


class Inbox:
    """`put` from any thread, `take` from one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[DeviceRef, deque[Received]] = OrderedDict()
        self._device_bytes: dict[DeviceRef, int] = {}
        self._shard_depth: dict[int, int] = {}
        self._bytes = 0
        self._woken = False
        self.dropped = 0

    def put(self, received: Received) -> bool:
        """Add a message; return False when it was dropped."""
        device, size = received.device, len(received.payload)
        with self._changed:
            own = self._waiting.get(device)
            full = (
                self._bytes + size > BYTES_MAX
                or self._shard_depth.get(device.shard, 0) >= SHARD_DEPTH
                or (own is not None and len(own) >= DEVICE_DEPTH)
                or self._device_bytes.get(device, 0) + size > DEVICE_BYTES
            )
            if full:
                self.dropped += 1
                return False
            self._waiting.setdefault(device, deque()).append(received)
            self._count(received, 1)
            self._changed.notify()
            return True

    def take(self, count_max: int, timeout_s: float | None) -> list[Received]:
        """Return what waits, one of each device in turn; wait for something when there is nothing."""
        with self._changed:
            if not self._waiting and not self._woken:
                self._changed.wait(timeout_s)
            self._woken = False
            taken: list[Received] = []
            while self._waiting and len(taken) < count_max:
                device, own = self._waiting.popitem(last=False)
                received = own.popleft()
                if own:
                    self._waiting[device] = own
                self._count(received, -1)
                taken.append(received)
            return taken

    def wake(self) -> None:
        """Let `take` return, so that its thread can end."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def _count(self, received: Received, sign: int) -> None:
        device, size = received.device, len(received.payload)
        self._bytes += sign * size
        self._shard_depth[device.shard] = self._shard_depth.get(device.shard, 0) + sign
        left = self._device_bytes.get(device, 0) + sign * size
        if left or device in self._waiting:
            self._device_bytes[device] = left
        else:
            self._device_bytes.pop(device, None)
