"""The inbox: bounded, and fair."""

from __future__ import annotations

from broker.channels import STATUS
from broker.ids import DeviceRef
from cloud.ingest.inbox import BYTES_MAX, DEVICE_BYTES, DEVICE_DEPTH, Inbox, Received

ORG = "o" + "a" * 11
LOUD, QUIET = DeviceRef(ORG, "d" + "a" * 11), DeviceRef(ORG, "d" + "b" * 11)


def message(device: DeviceRef, text: bytes = b"x") -> Received:
    return Received(STATUS, device, text)


def test_each_device_has_its_turn() -> None:
    inbox = Inbox()
    for text in (b"1", b"2", b"3"):
        inbox.put(message(LOUD, text))
    inbox.put(message(QUIET, b"4"))
    assert [item.payload for item in inbox.take(10, 0)] == [b"1", b"4", b"2", b"3"]


def test_a_flood_fills_only_the_share_of_its_device() -> None:
    inbox = Inbox()
    assert sum(inbox.put(message(LOUD)) for _ in range(DEVICE_DEPTH + 5)) == DEVICE_DEPTH
    assert inbox.dropped == 5
    assert inbox.put(message(QUIET))
    assert not inbox.put(message(QUIET, bytes(DEVICE_BYTES)))


def test_all_devices_together_are_bounded_and_what_is_taken_makes_room() -> None:
    inbox, payload = Inbox(), bytes(DEVICE_BYTES)
    devices = [DeviceRef(ORG, f"d{'a' * 9}{chr(97 + n // 26)}{chr(97 + n % 26)}") for n in range(60)]
    assert sum(inbox.put(message(device, payload)) for device in devices) == BYTES_MAX // DEVICE_BYTES
    assert len(inbox.take(1000, 0)) == BYTES_MAX // DEVICE_BYTES
    assert inbox.put(message(devices[-1], payload))
