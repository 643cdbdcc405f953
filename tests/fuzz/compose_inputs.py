"""What the Compose fuzzer feeds to the loader: texts with damage, and files of known keys with any values. Pure."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from compose.service_keys import BUILD_KEYS, DEPLOY_KEYS, SERVICE_KEYS
from compose.specification import CONFIG_KEYS, MODEL_KEYS, NETWORK_KEYS, SECRET_KEYS, VOLUME_KEYS
from compose.tree import Plain

PIECES: tuple[str, ...] = (
    "!reset ", "!override ", "!!int ", "!!str ", "!!null ", "*a", "&a ", "<<: ", "<<: [*a, *a]", "${", "}", "$", "$$",
    "${A}", "${B:-x}", "${C:?no}", "${A:+${B-$$}}", "null", "[]", "{}", "- ", ": ", '"', "'", "\t", "\x00", "0", "-1",
    "1e999", ".inf", ".nan", "9" * 20, "08", "0o7", "true", "no", "\u2028", "\u0085", "\ufeff", "\ud7ff", "|", ">", "%",
    "%TAG ! !x\n", "@", "---\n", "...\n", "? ", "#", "1h", "64m", "80:80", "80-90:80-90/udp", "/x:/y:ro", "C:\\x:/y",
    "a=b", "x-a: 1", "\n", "  ", "service:web", "container:web", "extends: web", "include: [compose.yaml]", "every_1h",
    "\\x00",
)  # fmt: skip
WORDS: tuple[str, ...] = (
    "", "a", "web", "db", "1s", "1m30s", "80", "80:80", "64m", "a=b", "a: b=c", "./x", "../x", "~/x", "/x:/y", "$A",
    "${B:-b}", "always", "none", "default", "service:web", "service_healthy", "1.5", "-1", "0", "all", "raw", "host",
    "bind", "volume",
)  # fmt: skip
INNER_KEYS: tuple[str, ...] = (
    "source", "target", "type", "published", "protocol", "driver", "options", "name", "external", "aliases", "path",
    "rate", "required", "condition", "test", "interval", "retries", "disable", "secrets", "limits", "resources",
    "memory", "count", "capabilities", "soft", "hard", "file", "service", "config", "subnet", "bind", "volume", "tmpfs",
    "size", "mode", "x-a", "ipv4_address", "gw_priority", "watch", "action", "command", "environment", "user", "uid",
    "image", "subpath", "selinux",
)  # fmt: skip
SECTIONS = {
    "networks": NETWORK_KEYS,
    "volumes": VOLUME_KEYS,
    "secrets": SECRET_KEYS,
    "configs": CONFIG_KEYS,
    "models": MODEL_KEYS,
}
_SERVICE = sorted(SERVICE_KEYS)
_BELOW = {"build": sorted(BUILD_KEYS), "deploy": sorted(DEPLOY_KEYS)}
_ANY_KEY = [*_SERVICE, *WORDS, *INNER_KEYS]


def damaged(text: str, other: str, random: Random) -> str:
    """Return a text with a few changes, some of them taken from another text."""
    for _ in range(random.choice((1, 1, 1, 1, 2, 3, 5))):
        text = random.choice(_DAMAGES)(text, other, random)
    return text


def _piece(text: str, other: str, random: Random) -> str:
    at = random.randint(0, len(text))
    return text[:at] + random.choice(PIECES) + text[at + random.choice((0, 0, 1, 3, 8)) :]


def _value(text: str, other: str, random: Random) -> str:
    """Replace what stands after a colon."""
    lines = text.split("\n")
    at = random.randrange(len(lines))
    key, colon, _ = lines[at].partition(":")
    lines[at] = f"{key}: {flow(any_value(random, 2))}" if colon else lines[at]
    return "\n".join(lines)


def _line_gone(text: str, other: str, random: Random) -> str:
    lines = text.split("\n")
    del lines[random.randrange(len(lines))]
    return "\n".join(lines)


def _line_doubled(text: str, other: str, random: Random) -> str:
    lines = text.split("\n")
    lines.insert(random.randint(0, len(lines)), random.choice(lines))
    return "\n".join(lines)


def _spliced(text: str, other: str, random: Random) -> str:
    lines, more = text.split("\n"), other.split("\n")
    at, first = random.randint(0, len(lines)), random.randrange(len(more))
    lines[at:at] = more[first : first + random.randint(1, 6)]
    return "\n".join(lines)


def _indented(text: str, other: str, random: Random) -> str:
    lines = text.split("\n")
    at = random.randrange(len(lines))
    lines[at] = random.choice((" " + lines[at], "  " + lines[at], lines[at][1:], lines[at].lstrip()))
    return "\n".join(lines)


def _cut(text: str, other: str, random: Random) -> str:
    return text[: random.randint(0, len(text))]


_DAMAGES: tuple[Callable[[str, str, Random], str], ...] = (
    *(_piece, _piece, _piece, _value, _value, _value, _line_gone, _line_doubled, _spliced, _indented, _cut),
)


def made(random: Random) -> str:
    """Return a file of known keys with any values."""
    services: dict[str, Plain] = {}
    for name in random.sample(("web", "db", "cache"), random.randint(1, 3)):
        keys = random.sample(_SERVICE, random.choice((0, 1, 1, 1, 2)))
        services[name] = {"image": "busybox", **{key: _value_of(key, random) for key in keys}}
    document: dict[str, Plain] = {"services": services}
    for section, known in SECTIONS.items():
        if random.random() < 0.2:
            document[section] = {"a": {key: any_value(random, 2) for key in random.sample(sorted(known), 1)}}
    return flow(document)


def _value_of(key: str, random: Random) -> Plain:
    if key in _BELOW and random.random() < 0.7:
        return {inner: any_value(random, 2) for inner in random.sample(_BELOW[key], random.randint(1, 2))}
    return any_value(random, 3)


def any_value(random: Random, depth: int) -> Plain:
    kind = random.random()
    if depth and kind < 0.25:
        return [any_value(random, depth - 1) for _ in range(random.randint(0, 3))]
    if depth and kind < 0.5:
        return {key: any_value(random, depth - 1) for key in random.sample(_ANY_KEY, random.randint(0, 3))}
    if kind < 0.6:
        numbers: tuple[Plain, ...] = (None, True, False, 0, 1, -1, 80, 2**70, 0.5, 1e30)
        return random.choice(numbers)
    if kind < 0.65:
        return "".join(chr(random.choice((random.randrange(128), random.randrange(0xD7FF)))) for _ in range(6))
    return random.choice(WORDS)


def flow(value: Plain) -> str:
    """Return a value in YAML's flow style, without relying on any code that is tested here."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"? {flow(key)} : {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        letters = (char if char.isalnum() and char.isascii() else f"\\U{ord(char):08x}" for char in value)
        return f'"{"".join(letters)}"'
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return repr(value)
