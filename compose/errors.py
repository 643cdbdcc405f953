"""What is wrong with a Compose project, in one line: file, line, path of the key, fault and cure."""

from __future__ import annotations

from dataclasses import dataclass

from broker.errors import Passing, Refused

Path = tuple[str | int, ...]  # of a key inside a file: ("services", "web", "ports", 0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written; line 0 stands for unknown."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


NOWHERE = Place()


def dotted(path: Path) -> str:
    """Return a path as people write it: `services.web.ports[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def one_line(text: str, size_max: int = 400) -> str:
    """Return `text` without line breaks or control characters, and cut to a length a person reads."""
    line = " ".join(text.split())
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= size_max else line[: size_max - 3] + "..."


class ComposeError(Refused):
    """A Compose project is refused. `reason` is one of a few stable words, `message` names fault and cure."""

    def __init__(
        self, message: str, *, place: Place = NOWHERE, path: Path = (), reason: str = "compose_invalid"
    ) -> None:
        where = [one_line(part, 200) for part in (str(place), dotted(path)) if part]
        super().__init__(reason, ": ".join([*where, one_line(message)]))
        self.file = place.file
        self.line = place.line
        self.path = dotted(path)
        self.message = one_line(message)


class UnknownKey(ComposeError):
    """A key the Compose Specification does not have at this place."""

    def __init__(self, message: str, *, place: Place, path: Path) -> None:
        super().__init__(message, place=place, path=path, reason="compose_unknown_key")


class Unreadable(ComposeError):
    """A file is missing, too large, or not YAML (or not an environment file) at all."""

    def __init__(self, message: str, *, place: Place, path: Path = ()) -> None:
        super().__init__(message, place=place, path=path, reason="compose_unreadable")


class MissingVariable(ComposeError):
    """A variable that the file demands (`${NAME:?}`) has no value."""

    def __init__(self, message: str, *, place: Place, path: Path = ()) -> None:
        super().__init__(message, place=place, path=path, reason="compose_missing_variable")


class Unsupported(ComposeError):
    """Legal Compose that cannot be run on a device as written."""

    def __init__(self, message: str, *, place: Place = NOWHERE, path: Path) -> None:
        super().__init__(message, place=place, path=path, reason="compose_unsupported")


class ImageMissing(Refused):
    """An image is neither in the local engine nor in a registry that can be asked."""

    def __init__(self, message: str) -> None:
        super().__init__("image_missing", one_line(message))


class BuildFailed(Refused):
    """An image could not be built. `lines` are the last ones of the step that failed."""

    def __init__(self, message: str, *, lines: tuple[str, ...] = ()) -> None:
        super().__init__("build_failed", one_line(message))
        self.lines = lines


class PushUnauthorized(Refused):
    """The registry does not let this user push there."""

    def __init__(self, message: str) -> None:
        super().__init__("push_unauthorized", one_line(message))


class PushFailed(Refused):
    """The engine or the registry refuses the image for another reason."""

    def __init__(self, message: str) -> None:
        super().__init__("push_failed", one_line(message))


class RegistryUnreachable(Passing):
    """A registry did not answer, or not as one."""


class EngineUnreachable(Passing):
    """The local container engine did not answer."""
