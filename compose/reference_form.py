"""The canonical form of a project as other Compose tools print it: `1m30s`, sizes as texts, nothing empty. Pure.

Inside, durations are milliseconds and sizes bytes; people and other tools expect what `docker compose config` shows,
and loading that again gives the same project.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from compose.tree import Plain

Write = Callable[[Plain], Plain]

_UNITS_MS = (("h", 3_600_000), ("m", 60_000))


def duration_text(millis: int) -> str:
    """Return a length of time as `1h2m3.5s`; what is shorter than a second as `500ms`."""
    if 0 < millis < 1000:
        return f"{millis}ms"
    text = ""
    rest = millis
    for unit, size in _UNITS_MS:
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count or text else ""
    seconds, fraction = divmod(rest, 1000)
    return f"{text}{seconds}{f'.{fraction:03d}'.rstrip('0') if fraction else ''}s"


_LIKE_SERVICES = {"jobs.*": "services.*", "services.*.pre_start[]": "services.*"}
_FIRST = ("name", "services", "networks", "volumes", "secrets", "configs")


def reference_form(document: Mapping[str, Plain]) -> dict[str, Plain]:
    """Return a canonical document in the form that other Compose tools print; keys are in the order of the alphabet."""
    result: dict[str, Plain] = {}
    for key in sorted(document, key=lambda key: (_FIRST.index(key) if key in _FIRST else len(_FIRST), key)):
        value = document[key]
        written = value if key.startswith("x-") else _written(value, key)
        if key.startswith("x-") or not _empty(written):
            result[key] = written
    return result


def _written(value: Plain, pattern: str) -> Plain:
    pattern = _LIKE_SERVICES.get(pattern, pattern)
    write = _WRITES.get(pattern)
    if write is not None and value is not None:
        return write(value)
    if isinstance(value, list):
        return [_written(item, f"{pattern}[]") for item in value]
    if isinstance(value, dict):
        return _written_table(value, pattern)
    return value


def _written_table(table: dict[str, Plain], pattern: str) -> dict[str, Plain]:
    free = _FREE.fullmatch(pattern) is not None
    result: dict[str, Plain] = {}
    for key, value in sorted(table.items()):
        if not free and key.startswith("x-"):
            result[key] = value
            continue
        inner = f"{pattern}.*" if free else f"{pattern}.{key}"
        written = _written(value, inner)
        if free or (inner in _KEPT and written is not None) or not _empty(written):
            result[key] = written
    return result


def _empty(value: Plain) -> bool:
    return value is None or value is False or value in ("", [], {}) or (value == 0 and not isinstance(value, bool))


def _duration(value: Plain) -> Plain:
    return duration_text(value) if isinstance(value, int) else value


def _span(value: Plain) -> Plain:
    """A length of time for which nothing and none are the same."""
    return _duration(value) if value else None


def _size(value: Plain) -> Plain:
    return str(value) if value else None


def _mode(value: Plain) -> Plain:
    return f"0{value:o}" if isinstance(value, int) else value


def _hosts(value: Plain) -> Plain:
    if not isinstance(value, dict):
        return value
    pairs = [(host, many if isinstance(many, list) else [many]) for host, many in value.items()]
    return list[Plain](sorted(f"{host}={address}" for host, addresses in pairs for address in addresses))


def _keys(value: Plain) -> Plain:
    return [f"{name}: {path}" if path else name for name, path in value.items()] if isinstance(value, dict) else value


def _bind(value: Plain) -> Plain:
    """The host's path is created where nothing else is said, so only false is worth saying."""
    if not isinstance(value, dict):
        return value
    return {key: inner for key, inner in value.items() if inner != "" and (key, inner) != ("create_host_path", True)}


def _dependency(value: Plain) -> Plain:
    """Whether a dependency is required is always said."""
    if not isinstance(value, dict):
        return value
    told = {key: inner for key, inner in value.items() if (key, inner) != ("restart", False)}
    return dict(sorted({"required": True, **told}.items()))


def _text(value: Plain) -> Plain:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _each(prefix: str, keys: str) -> list[str]:
    return [f"{prefix}{key}" for key in keys.split()]


_WRITES: dict[str, Write] = {
    **dict.fromkeys(_each("services.*.healthcheck.", "interval timeout start_period start_interval"), _duration),
    **dict.fromkeys(_each("services.*.deploy.restart_policy.", "delay window"), _duration),
    **dict.fromkeys(_each("services.*.deploy.update_config.", "delay monitor"), _span),
    **dict.fromkeys(_each("services.*.deploy.rollback_config.", "delay monitor"), _span),
    "services.*.stop_grace_period": _duration,
    **dict.fromkeys(_each("services.*.", "mem_limit mem_reservation memswap_limit mem_swappiness shm_size"), _size),
    **dict.fromkeys(_each("services.*.deploy.resources.", "limits.memory reservations.memory"), _size),
    "services.*.build.shm_size": _size,
    "services.*.volumes[].tmpfs.size": _size,
    **dict.fromkeys(
        (
            f"services.*.blkio_config.device_{way}_{what}[].rate"
            for way in ("read", "write")
            for what in ("bps", "iops")
        ),
        _size,
    ),
    **dict.fromkeys(_each("services.*.", "secrets[].mode configs[].mode build.secrets[].mode"), _mode),
    "services.*.extra_hosts": _hosts,
    "services.*.build.extra_hosts": _hosts,
    "services.*.build.ssh": _keys,
    **dict.fromkeys(_each("services.*.build.", "provenance sbom"), _text),
    "services.*.volumes[].bind": _bind,
    "services.*.depends_on.*": _dependency,
}

# Where the keys are names or free words, every entry is kept, also an empty one.
_FREE = re.compile(
    r"services|networks|volumes|secrets|configs|models|jobs"
    r"|services\.\*\.(annotations|environment|labels|sysctls|storage_opt|depends_on|networks|models|ulimits)"
    r"|services\.\*\.(logging\.options|provider\.options|deploy\.labels|networks\.\*\.driver_opts)"
    r"|services\.\*\.build\.(args|labels|additional_contexts|ulimits)"
    r"|services\.\*\.(gpus|deploy\.resources\.reservations\.devices)\[\]\.options"
    r"|services\.\*\.volumes\[\]\.volume\.labels"
    r"|services\.\*\.(post_start|pre_stop)\[\]\.environment"
    r"|services\.\*\.develop\.watch\[\]\.exec\.environment"
    r"|(networks|volumes|secrets|configs)\.\*\.(labels|driver_opts)"
    r"|networks\.\*\.ipam\.(options|config\[\]\.aux_addresses)"
)

# These are told although they are zero, false or empty, because that is not the same as saying nothing.
_KEPT = frozenset(
    {
        *_each(
            "services.*.", "attach build command credential_spec deploy develop entrypoint healthcheck init logging"
        ),
        *_each("services.*.", "blkio_config networks provider scale stop_grace_period"),
        *_each("services.*.volumes[].", "bind image tmpfs volume"),
        *("services.*.networks.*.use_service_name_alias", "services.*.triggers.manual"),
        *_each("services.*.deploy.", "replicas restart_policy restart_policy.max_attempts rollback_config"),
        *_each("services.*.deploy.", "update_config update_config.parallelism rollback_config.parallelism"),
        *_each("services.*.deploy.resources.", "limits reservations"),
        *_each("services.*.", "devices[].source env_file[].path env_file[].required healthcheck.retries"),
        *_each("networks.*.", "enable_ipv4 enable_ipv6"),
        *_each("services.*.", "post_start[].command pre_stop[].command"),
        *("services.*.ulimits.*.soft", "services.*.ulimits.*.hard"),
        *("services.*.build.ulimits.*.soft", "services.*.build.ulimits.*.hard"),
        "configs.*.content",
    }
)
