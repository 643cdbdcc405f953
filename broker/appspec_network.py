"""The networks of an app, and a service's place on one. Part of the AppSpec; pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from broker.appspec_values import EngineName, HostName, Labels, Spec, Text, TextMap, Texts, later

MacAddress = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5})?$")]

_ENGINES_OWN = ("host", "none", "bridge", "default")


class Attachment(Spec):
    """A service's place on one of the app's networks. Its aliases are names by which others there reach it."""

    aliases: tuple[HostName, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: Texts = later(())
    mac_address: MacAddress = later("")  # on other networks than the first: API 1.44
    driver_opts: TextMap = later({})
    interface_name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{0,15}$")] = later("")  # API 1.49
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = later(0)  # the highest is joined first
    gw_priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = later(0)  # API 1.48


class Pool(Spec):
    """One range of addresses of a network."""

    subnet: Text
    gateway: str = ""
    ip_range: str = ""
    aux_addresses: TextMap = {}


class Network(Spec):
    """A network of the app, made for it alone; or, with `external`, one of that name which the device has already."""

    driver: Literal["bridge", "macvlan", "ipvlan"] = "bridge"
    external: EngineName = later("")
    internal: bool = False
    labels: Labels = {}
    options: TextMap = {}
    subnet: Text = ""
    gateway: Text = ""
    pools: tuple[Pool, ...] = later(())  # where one subnet with its gateway does not say it all
    ipam_options: TextMap = later({})
    enable_ipv6: bool = later(False)

    @model_validator(mode="after")
    def _said_once(self) -> Network:
        if self.pools and (self.subnet or self.gateway):
            raise ValueError("subnet and pools exclude each other")
        if self.external and self.model_dump(exclude_defaults=True).keys() != {"external"}:
            raise ValueError("an external network is as it is: nothing else can be said of it")
        if self.external in _ENGINES_OWN:
            raise ValueError(f"{self.external!r} is a mode of the engine, not a network to join")
        return self

    @property
    def ranges(self) -> tuple[Pool, ...]:
        """All pools, however they are written."""
        return (Pool(subnet=self.subnet, gateway=self.gateway),) if self.subnet else self.pools
