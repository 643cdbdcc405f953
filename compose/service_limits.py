"""What a service may use of a device: processors, memory, disks and devices that drivers hand out. Pure."""

from __future__ import annotations

from functools import partial
from typing import Any

from broker import appspec
from compose.errors import Unsupported
from compose.forms.values import INT_MAX
from compose.project import Blkio, Device, DeviceRequest, Service, Switch
from compose.running import replicas
from compose.specified import specified

_ALL = -1


def limits(name: str, service: Service) -> dict[str, Any]:
    """Return the fields of the spec that limit a service; what `deploy` says counts before the older keys."""
    deploy = service.deploy
    if deploy is not None and deploy.mode not in ("", "replicated", "global"):
        raise Unsupported("must be replicated or global", path=("services", name, "deploy", "mode"))
    count = replicas(service)
    if count > appspec.REPLICAS_MAX:
        where = ("scale",) if service.scale is not None else ("deploy", "replicas")
        raise Unsupported(f"is {count}; a device runs up to {appspec.REPLICAS_MAX}", path=("services", name, *where))
    most = deploy.resources.limits if deploy else None
    reserved = deploy.resources.reservations.memory if deploy else None
    cpus = most.cpus if most and most.cpus is not None else service.cpus
    memory = most.memory if most and most.memory is not None else service.mem_limit
    pids = most.pids if most and most.pids is not None else service.pids_limit
    if cpus is not None and not 0 <= cpus * 10**9 <= INT_MAX:
        raise Unsupported("must be a number of processors", path=("services", name, "cpus"))
    shares = service.cpu_shares
    if shares is not None and shares != int(shares):
        raise Unsupported("must be a whole number", path=("services", name, "cpu_shares"))
    return {
        "replicas": count,
        "nano_cpus": round(cpus * 10**9) if cpus else None,
        "cpu_shares": int(shares) if shares else None,
        "cpu_period": service.cpu_period or None,
        "cpu_quota": service.cpu_quota or None,
        "cpu_rt_period": service.cpu_rt_period or None,
        "cpu_rt_runtime": service.cpu_rt_runtime or None,
        "cpuset": service.cpuset,
        "mem_limit": memory or None,
        "memswap_limit": service.memswap_limit,
        "mem_reservation": reserved or service.mem_reservation or None,
        "mem_swappiness": service.mem_swappiness,
        "pids_limit": pids or None,
        "shm_size": service.shm_size,
        "oom_score_adj": service.oom_score_adj,
        "oom_kill_disable": service.oom_kill_disable,
        "blkio": _blkio(name, service.blkio_config),
        "device_requests": _device_requests(name, service),
    }


def _blkio(name: str, blkio: Blkio | None) -> appspec.Blkio | None:
    if blkio is None:
        return None
    return specified(
        ("services", name, "blkio_config"),
        lambda: appspec.Blkio.model_validate(blkio.model_dump(include=set(appspec.Blkio.model_fields))),
    )


def _device_requests(name: str, service: Service) -> tuple[appspec.DeviceRequest, ...]:
    path = ("services", name)
    reserved = service.deploy.resources.reservations.devices if service.deploy else ()
    made = [
        _device_request(each, (*path, "deploy", "resources", "reservations", "devices", at))
        for at, each in enumerate(reserved)
    ]
    made += [_device_request(each, (*path, "gpus", at), "gpu") for at, each in enumerate(service.gpus)]
    interfaced = tuple(each.source for each in service.devices if is_handed_out(each))
    made += [appspec.DeviceRequest(driver="cdi", device_ids=interfaced)] if interfaced else []
    return tuple(made)


def is_handed_out(device: Device) -> bool:
    """Return whether a device is no path but a name of the Container Device Interface: `vendor.example/class=name`."""
    return "=" in device.source and not device.source.startswith("/")


def _device_request(request: DeviceRequest, path: tuple[str | int, ...], *more: str) -> appspec.DeviceRequest:
    if request.count is not None and request.device_ids:
        raise Unsupported("count and device_ids exclude each other; keep one", path=path)
    count = request.count if request.count is not None else 0 if request.device_ids else _ALL
    make = partial(
        appspec.DeviceRequest,
        driver=request.driver,
        count=count,
        device_ids=request.device_ids,
        capabilities=tuple(dict.fromkeys((*request.capabilities, *more))),
        options=request.options,
    )
    return specified(path, make)


def switch(name: str, key: str, config: Switch | None) -> appspec.Switch | None:
    """Return how a service goes to another release, or back."""
    if config is None:
        return None
    path = ("services", name, "deploy", key)
    if not 0 <= config.max_failure_ratio <= 1:
        raise Unsupported("must be a share between 0 and 1", path=(*path, "max_failure_ratio"))
    given: dict[str, Any] = {
        "order": config.order or None,
        "parallelism": config.parallelism,
        "delay_ms": config.delay,
        "failure_action": config.failure_action or None,
        "monitor_ms": config.monitor,
        "max_failure_ppm": round(config.max_failure_ratio * 1_000_000),
    }
    return specified(path, lambda: appspec.Switch(**{k: value for k, value in given.items() if value is not None}))
