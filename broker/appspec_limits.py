"""What a service may use of a device: limits, shares of disks, devices of drivers. Part of the AppSpec; pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from broker.appspec_values import AbsolutePath, Count, Spec, Text, TextMap, Texts


class Ulimit(Spec):
    soft: int
    hard: int


class DeviceWeight(Spec):
    path: AbsolutePath
    weight: Annotated[int, Field(ge=0, le=1000)]


class DeviceRate(Spec):
    path: AbsolutePath
    rate: Count


class Blkio(Spec):
    """A service's share of the disks: bytes or operations a second."""

    weight: Annotated[int, Field(ge=0, le=1000)] = 0
    weight_device: tuple[DeviceWeight, ...] = ()
    device_read_bps: tuple[DeviceRate, ...] = ()
    device_read_iops: tuple[DeviceRate, ...] = ()
    device_write_bps: tuple[DeviceRate, ...] = ()
    device_write_iops: tuple[DeviceRate, ...] = ()


class DeviceRequest(Spec):
    """Devices that a driver of the engine hands out, such as GPUs: `count` of them (-1: all), or those named."""

    driver: Text = ""
    count: Annotated[int, Field(ge=-1, le=2**31)] = 0
    device_ids: Texts = ()
    capabilities: Texts = ()
    options: TextMap = {}
