"""The owner's policy: what an app may ask of a device. Pure; denied by default is all that can leave the app.

The worker asks it before it touches anything, and `skerry app check` asks the same code for a device or a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field, ValidationError

from broker.appspec import AppSpec, Network, Service, Volume
from broker.appspec_values import later
from broker.errors import Refused
from broker.host_paths import HostPaths
from broker.policy_rows import Listed, Namespace, Rows

BRIDGE_NAME = "com.docker.network.bridge.name"
BYTES_MAX = 8 * 1024  # as it travels
PORTS = ("80", "443", "1024-65535")  # the device's own services live on the others
_PRIVATE = Rows(allow_subnets=("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
_LOCAL_LOGS = ("json-file", "k8s-file", "local", "none", "journald", "passthrough")
_NO_NEW_PRIVILEGES = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
_PLAIN_RUNTIMES = ("", "runc", "crun")


class Grants(Rows):
    """What an operator allows one app beside the policy. Signed with its section; it counts as far as `widen` goes."""


@dataclass(frozen=True)
class Denied:
    """One thing that an app asks and the owner does not allow: where (in Compose's words), what, and by which row."""

    path: str
    what: str
    row: str

    def __str__(self) -> str:
        section, _, rest = self.path.partition(".")
        where = f"{section.removesuffix('s')} {rest.partition('.')[0]}: " if rest else ""
        return f"{where}{self.what} (policy.{self.row})"


class Policy(Rows):
    """The `[policy]` table of device.toml. `widen` is how far grants may go beyond it."""

    allow_ports: Listed = later(PORTS)
    allow_registries: Listed = later(())  # beside none: only the one of the enrollment
    widen: Rows = Field(default=Rows(), exclude_if=lambda rows: rows == Rows())

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield (row, why) for what an owner cannot have meant."""
        yield from super().mistakes()
        yield from ((f"widen.{row}", why) for row, why in self.widen.mistakes())
        if len(self.model_dump_json()) > BYTES_MAX:
            yield "", f"the policy is longer than {BYTES_MAX} bytes, and every birth tells it"

    def objections(self, spec: AppSpec, grants: Grants | None = None, *, registry: str = "") -> list[str]:
        """Return one sentence for each thing that an app asks and the owner does not allow."""
        return [str(denied) for denied in self.denied(spec, grants, registry=registry)]

    def denied(self, spec: AppSpec, grants: Grants | None = None, *, registry: str = "") -> list[Denied]:
        """Return what the owner does not allow of an app with `grants`, whose images come from `registry`."""
        found = list(self._beyond(grants)) if grants is not None else []
        if self.allow_registries and not any(_is_of(spec, registry, entry) for entry in self.allow_registries):
            found.append(Denied("", f"images come from {registry}, which is not allowed", "allow_registries"))
        rows = self.for_app(grants)
        for name, service in sorted(spec.services.items()):
            found += _of_service(rows, f"services.{name}", service)
        for name, volume in sorted(spec.volumes.items()):
            found += _of_volume(rows, f"volumes.{name}", volume)
        for name, network in sorted(spec.networks.items()):
            found += _of_network(rows, f"networks.{name}", network)
        return found

    def for_app(self, grants: Grants | None) -> Rows:
        """Return what one app may ask, its grants included. They count only where `denied` finds none beyond."""
        return self if grants is None else self.with_more(grants)

    def host_paths(self, grants: Grants | None, *, ours: tuple[str, ...] = ()) -> HostPaths:
        """Return which paths of the device the app may mount."""
        return _host_paths(self.for_app(grants), ours)

    def _beyond(self, grants: Grants) -> Iterator[Denied]:
        """Yield the grants that are more than the owner lets be granted."""
        most = self.with_more(self.widen)
        for row, entry in grants.entries():
            if not (most.covers(row, entry) if entry else getattr(most, row)):
                granted = f"{row} {entry}".rstrip()
                yield Denied("", f"the grant {granted} is more than may be granted", f"widen.{row}")
        for row in grants.unknown:
            yield Denied("", f"the grant {row} is not known here", f"widen.{row}")


def policy_of(table: object) -> Policy:
    """Return the policy that a `[policy]` table says; raise `Refused` (`bad_policy`) by the name of what is wrong."""
    try:
        policy = Policy.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(("policy", *map(str, first["loc"])))
        raise Refused("bad_policy", f"{where}: {first['msg']}") from error
    for row, why in policy.mistakes():
        raise Refused("bad_policy", f"policy.{row}: {why}".replace(".:", ":"))
    return policy


def _is_of(spec: AppSpec, registry: str, entry: str) -> bool:
    images = (f"{registry}/{service.image.repository}" for service in spec.services.values())
    return all(image.startswith(entry.rstrip("/") + "/") for image in images)


def _host_paths(rows: Rows, ours: tuple[str, ...] = ()) -> HostPaths:
    return HostPaths(rows.allow_bind_prefixes, rows.allow_engine_socket, ours)


def _of_service(rows: Rows, at: str, service: Service) -> Iterator[Denied]:
    if service.privileged and not rows.allow_privileged:
        yield Denied(f"{at}.privileged", "privileged is not allowed", "allow_privileged")
    yield from _of_place(rows, at, service)
    yield from _of_hardware(rows, at, service)
    for mount in service.mounts:
        row = _host_paths(rows).missing(mount.source) if mount.type == "bind" else ""
        if row:
            yield Denied(f"{at}.volumes", f"host path {mount.source} is not allowed", row)
    for option in service.security_opt:
        if option not in _NO_NEW_PRIVILEGES and not rows.covers("allow_security_opt", option):
            yield Denied(f"{at}.security_opt", f"security_opt {option} is not allowed", "allow_security_opt")
    for key in sorted(service.sysctls):
        if not rows.covers("allow_sysctls", key):
            yield Denied(f"{at}.sysctls.{key}", f"sysctl {key} is not allowed", "allow_sysctls")
    yield from _of_ports(rows, at, service)
    if service.logging is not None and service.logging.driver not in (*_LOCAL_LOGS, *rows.allow_logging_drivers):
        what = f"logging driver {service.logging.driver} would send logs past the worker"
        yield Denied(f"{at}.logging.driver", what, "allow_logging_drivers")
    for key in ("post_start", "pre_stop"):
        if any(hook.privileged for hook in getattr(service, key)) and not rows.allow_privileged_hooks:
            yield Denied(f"{at}.{key}", f"a privileged {key} hook is not allowed", "allow_privileged_hooks")
    if service.display == "require" and not rows.allow_display:
        yield Denied(f"{at}.x-skerry.display", "a display is not allowed", "allow_display")


def _of_place(rows: Rows, at: str, service: Service) -> Iterator[Denied]:
    """Where a container lives: namespaces that are not its own, cgroups, runtimes."""
    if service.network_mode == "host" and not rows.allow_host_network:
        yield Denied(f"{at}.network_mode", "the host's network is not allowed", "allow_host_network")
    modes: tuple[tuple[Namespace, str, str], ...] = (
        ("pid", "pid", service.pid),
        ("ipc", "ipc", service.ipc),
        ("uts", "uts", service.uts),
        ("userns", "userns_mode", service.userns_mode),
        ("cgroup", "cgroup", service.cgroup),
    )
    for namespace, key, mode in modes:
        if mode == "host" and namespace not in rows.allow_host_namespaces:
            yield Denied(f"{at}.{key}", f"the host's {namespace} namespace is not allowed", "allow_host_namespaces")
    for key in ("network_mode", "pid", "ipc", "volumes_from"):
        value = getattr(service, key)
        for place in (value,) if isinstance(value, str) else value:
            if place.startswith("container:") and not rows.covers("allow_containers", place.split(":")[1]):
                yield Denied(f"{at}.{key}", f"{key} {place} reaches outside of the app", "allow_containers")
    if service.cgroup_parent and not rows.covers("allow_cgroup_parents", service.cgroup_parent):
        what = f"cgroup_parent {service.cgroup_parent} is not allowed"
        yield Denied(f"{at}.cgroup_parent", what, "allow_cgroup_parents")
    if service.runtime not in _PLAIN_RUNTIMES and not rows.covers("allow_runtimes", service.runtime):
        yield Denied(f"{at}.runtime", f"runtime {service.runtime} is not allowed", "allow_runtimes")
    for name in sorted(service.annotations):  # runtimes take mounts, hooks and cgroup settings there
        if not rows.covers("allow_annotations", name):
            yield Denied(f"{at}.annotations.{name}", f"annotation {name} is not allowed", "allow_annotations")


def _of_hardware(rows: Rows, at: str, service: Service) -> Iterator[Denied]:
    for device in service.devices:
        if not rows.covers("allow_devices", device.split(":")[0]):
            yield Denied(f"{at}.devices", f"device {device} is not allowed", "allow_devices")
    for rule in service.device_cgroup_rules:
        if not rows.covers("allow_device_cgroup_rules", rule):
            what = f"device_cgroup_rule {rule!r} is not allowed"
            yield Denied(f"{at}.device_cgroup_rules", what, "allow_device_cgroup_rules")
    if service.device_requests and not rows.allow_device_requests:
        yield Denied(f"{at}.gpus", "devices that a driver hands out are not allowed", "allow_device_requests")
    for capability in service.cap_add:
        if not rows.covers("allow_capabilities", capability):
            yield Denied(f"{at}.cap_add", f"capability {capability} is not allowed", "allow_capabilities")


def _of_ports(rows: Rows, at: str, service: Service) -> Iterator[Denied]:
    for port in service.ports if service.network_mode != "host" else ():
        if not port.published:
            continue
        last = port.published + service.replicas - 1
        asked = f"{port.published}" if last == port.published else f"{port.published}-{last}"
        if not rows.covers("allow_ports", asked):
            yield Denied(f"{at}.ports", f"port {asked} of the device is not allowed", "allow_ports")


def _of_volume(rows: Rows, at: str, volume: Volume) -> Iterator[Denied]:
    """The options of a volume are those of mount(8): with them it can be any path of the host, or a server's."""
    if volume.external and not rows.covers("allow_external_volumes", volume.external):
        what = f"external volume {volume.external} reaches outside of the app"
        yield Denied(f"{at}.external", what, "allow_external_volumes")
    options = volume.options
    if not options or (options.get("type"), options.get("device")) == ("tmpfs", "tmpfs"):
        return
    device = options.get("device", "")
    is_bind = not {"bind", "rbind"}.isdisjoint(options.get("o", "").split(","))  # else `o` may name paths as well
    row = _host_paths(rows).missing(device) if is_bind else "allow_bind_prefixes"
    if row:
        yield Denied(f"{at}.driver_opts", f"host path {device!r} is not allowed", row)


def _of_network(rows: Rows, at: str, network: Network) -> Iterator[Denied]:
    if network.external and not rows.covers("allow_external_networks", network.external):
        what = f"external network {network.external} reaches outside of the app"
        yield Denied(f"{at}.external", what, "allow_external_networks")
    if network.driver != "bridge" and not rows.covers("allow_network_drivers", network.driver):
        what = f"driver {network.driver} puts the app on the host's own network"
        yield Denied(f"{at}.driver", what, "allow_network_drivers")
    bridge = network.options.get(BRIDGE_NAME)  # one that exists is used as it is: a bridge of the host's own
    if bridge is not None and not rows.allow_host_network:
        yield Denied(f"{at}.driver_opts", f"the host's bridge {bridge!r} is not allowed", "allow_host_network")
    # A bridge takes over the route to its addresses: with the cloud's among them, the device would be cut off.
    for pool in network.ranges:
        if not rows.covers("allow_subnets", pool.subnet) and not _PRIVATE.covers("allow_subnets", pool.subnet):
            yield Denied(f"{at}.ipam.config", f"subnet {pool.subnet} is not private", "allow_subnets")
