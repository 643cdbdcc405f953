"""The owner's policy: what an app may ask of this device. Pure; denied by default is all that can leave the app."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict

from broker.appspec import AppSpec, Network, Service, Volume

BRIDGE_NAME = "com.docker.network.bridge.name"
_PRIVATE = tuple(ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
_LOCAL_LOGS = ("json-file", "local", "none", "journald")
_NO_NEW_PRIVILEGES = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")

Namespace = Literal["pid", "ipc", "uts", "userns", "cgroup"]


class Policy(BaseModel):
    """The `[policy]` table of device.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow_privileged: bool = False
    allow_host_network: bool = False
    allow_host_namespaces: tuple[Namespace, ...] = ()
    allow_devices: tuple[str, ...] = ()
    allow_capabilities: tuple[str, ...] = ()
    allow_bind_prefixes: tuple[str, ...] = ()
    allow_security_opt: bool = False
    allow_sysctls: bool = False
    allow_device_cgroup_rules: tuple[str, ...] = ()
    allow_device_requests: bool = False
    allow_runtimes: tuple[str, ...] = ()
    allow_cgroup_parents: tuple[str, ...] = ()
    allow_annotations: bool = False
    allow_subnets: tuple[str, ...] = ()

    def objections(self, spec: AppSpec) -> list[str]:
        """Return one sentence for each thing `spec` asks that the owner does not allow."""
        found = [f"service {n}: {why}" for n, s in sorted(spec.services.items()) for why in self._of_service(s)]
        found += [f"volume {n}: {why}" for n, v in sorted(spec.volumes.items()) for why in self._of_volume(v)]
        found += [f"network {n}: {why}" for n, w in sorted(spec.networks.items()) for why in self._of_network(w)]
        return found

    def _of_service(self, service: Service) -> list[str]:
        found = []
        if service.privileged and not self.allow_privileged:
            found.append("privileged is not allowed (policy.allow_privileged)")
        if service.network_mode == "host" and not self.allow_host_network:
            found.append("the host's network is not allowed (policy.allow_host_network)")
        found += [
            f"device {device} is not allowed (policy.allow_devices)"
            for device in service.devices
            if device.split(":")[0] not in self.allow_devices
        ]
        found += [
            f"capability {capability} is not allowed (policy.allow_capabilities)"
            for capability in service.cap_add
            if _short(capability) not in {_short(allowed) for allowed in self.allow_capabilities}
        ]
        found += [
            f"host path {mount.source} is not allowed (policy.allow_bind_prefixes)"
            for mount in service.mounts
            if mount.type == "bind" and not self._may_bind(mount.source)
        ]
        unsafe = [option for option in service.security_opt if option not in _NO_NEW_PRIVILEGES]
        if unsafe and not self.allow_security_opt:
            found.append(f"security_opt {unsafe[0]} is not allowed (policy.allow_security_opt)")
        if service.sysctls and not self.allow_sysctls:
            found.append("sysctls are not allowed (policy.allow_sysctls)")
        if service.logging is not None and service.logging.driver not in _LOCAL_LOGS:
            found.append(f"logging driver {service.logging.driver} would send logs past the worker")
        return [*found, *self._of_place(service), *self._of_hardware(service)]

    def _of_place(self, service: Service) -> Iterator[str]:
        """Where a container lives: the host's namespaces, cgroups and runtimes."""
        modes: tuple[tuple[Namespace, str], ...] = (
            ("pid", service.pid),
            ("ipc", service.ipc),
            ("uts", service.uts),
            ("userns", service.userns_mode),
            ("cgroup", service.cgroup),
        )
        for namespace, mode in modes:
            if mode == "host" and namespace not in self.allow_host_namespaces:
                yield f"the host's {namespace} namespace is not allowed (policy.allow_host_namespaces)"
        if service.cgroup_parent and service.cgroup_parent not in self.allow_cgroup_parents:
            yield f"cgroup_parent {service.cgroup_parent} is not allowed (policy.allow_cgroup_parents)"
        if service.runtime not in ("", "runc", *self.allow_runtimes):
            yield f"runtime {service.runtime} is not allowed (policy.allow_runtimes)"
        if service.annotations and not self.allow_annotations:  # runtimes take mounts, hooks and cgroup settings there
            yield f"annotation {min(service.annotations)} is not allowed (policy.allow_annotations)"

    def _of_hardware(self, service: Service) -> Iterator[str]:
        for rule in service.device_cgroup_rules:
            if rule not in self.allow_device_cgroup_rules:
                yield f"device_cgroup_rule {rule!r} is not allowed (policy.allow_device_cgroup_rules)"
        if service.device_requests and not self.allow_device_requests:
            yield "devices that a driver hands out are not allowed (policy.allow_device_requests)"

    def _of_volume(self, volume: Volume) -> list[str]:
        """The options of a volume are those of mount(8): with them it can be any path of the host, or a server's."""
        options = volume.options
        if not options or (options.get("type"), options.get("device")) == ("tmpfs", "tmpfs"):
            return []
        device = options.get("device", "")
        is_bind = not {"bind", "rbind"}.isdisjoint(options.get("o", "").split(","))  # else `o` may name paths as well
        if is_bind and self._may_bind(device):
            return []
        return [f"host path {device!r} is not allowed (policy.allow_bind_prefixes)"]

    def _of_network(self, network: Network) -> list[str]:
        found = []
        bridge = network.options.get(BRIDGE_NAME)  # one that exists is used as it is: a bridge of the host's own
        if bridge is not None and not self.allow_host_network:
            found.append(f"the host's bridge {bridge!r} is not allowed (policy.allow_host_network)")
        # A bridge takes over the route to its addresses: with the cloud's among them, the device would be cut off.
        found += [
            f"subnet {pool.subnet} is not private (policy.allow_subnets)"
            for pool in network.ranges
            if not self._may_have(pool.subnet)
        ]
        return found

    def _may_have(self, subnet: str) -> bool:
        try:
            asked = ip_network(subnet, strict=False)
            allowed = [*_PRIVATE, *(ip_network(each, strict=False) for each in self.allow_subnets)]
        except ValueError:
            return False
        return any(_within(asked, each) for each in allowed)

    def _may_bind(self, source: str) -> bool:
        path = PurePosixPath(source)
        if ".." in path.parts or path.name.endswith(".sock"):
            return False
        return any(path.is_relative_to(prefix) for prefix in self.allow_bind_prefixes)


def _within(asked: IPv4Network | IPv6Network, allowed: IPv4Network | IPv6Network) -> bool:
    if isinstance(asked, IPv4Network):
        return isinstance(allowed, IPv4Network) and asked.subnet_of(allowed)
    return isinstance(allowed, IPv6Network) and asked.subnet_of(allowed)


def _short(capability: str) -> str:
    """Return a capability as Compose files spell it: kernel and people also write CAP_NET_ADMIN or net_admin."""
    return capability.upper().removeprefix("CAP_")
