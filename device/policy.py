"""The owner's policy: what an app may ask of this device. Pure; denied by default is all that can leave the app."""

from __future__ import annotations

from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from broker.appspec import AppSpec, Network, Service, Volume

BRIDGE_NAME = "com.docker.network.bridge.name"


class Policy(BaseModel):
    """The `[policy]` table of device.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow_privileged: bool = False
    allow_host_network: bool = False
    allow_devices: tuple[str, ...] = ()
    allow_capabilities: tuple[str, ...] = ()
    allow_bind_prefixes: tuple[str, ...] = ()
    allow_security_opt: bool = False
    allow_sysctls: bool = False

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
        unsafe = [option for option in service.security_opt if not option.startswith("no-new-privileges")]
        if unsafe and not self.allow_security_opt:
            found.append(f"security_opt {unsafe[0]} is not allowed (policy.allow_security_opt)")
        if service.sysctls and not self.allow_sysctls:
            found.append("sysctls are not allowed (policy.allow_sysctls)")
        if service.logging is not None and service.logging.driver not in ("json-file", "local", "none", "journald"):
            found.append(f"logging driver {service.logging.driver} would send logs past the worker")
        return found

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
        bridge = network.options.get(BRIDGE_NAME)  # one that exists is used as it is: a bridge of the host's own
        if bridge is None or self.allow_host_network:
            return []
        return [f"the host's bridge {bridge!r} is not allowed (policy.allow_host_network)"]

    def _may_bind(self, source: str) -> bool:
        path = PurePosixPath(source)
        if ".." in path.parts or path.name.endswith(".sock"):
            return False
        return any(path.is_relative_to(prefix) for prefix in self.allow_bind_prefixes)


def _short(capability: str) -> str:
    """Return a capability as Compose files spell it: kernel and people also write CAP_NET_ADMIN or net_admin."""
    return capability.upper().removeprefix("CAP_")
