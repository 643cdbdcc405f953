"""Where logins are kept: one file that only its owner can read. A login is a cloud, its authority and a token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from broker.files import write_durably
from cloud.cli.errors import RequestRefused

FILE = "logins.json"
DEFAULT_NAME = "default"


@dataclass(frozen=True)
class Login:
    """The right to speak to one cloud; `ca` is the PEM of the only authority that is believed."""

    url: str
    ca: str
    token: str
    user: str
    org: str
    org_name: str
    expires_ms: int | None = None


def home_of(variables: Mapping[str, str]) -> Path:
    """Return the folder of our files: $SKERRY_HOME, or the user's folder for configuration."""
    if given := variables.get("SKERRY_HOME"):
        return Path(given).expanduser()
    from platformdirs import user_config_path

    return user_config_path("skerry")


def read(home: Path, name: str) -> Login:
    """Return the login of this name; refuse when there is none."""
    login = _read_all(home).get(name)
    if login is None:
        option = "" if name == DEFAULT_NAME else f" --login {name}"
        raise RequestRefused(
            "not_logged_in", f"there is no login {name!r} here", hint=f"run: skerry{option} login URL --user USER"
        )
    return login


def keep(home: Path, name: str, login: Login) -> None:
    """Keep a login under a name, in place of an older one."""
    _write_all(home, {**_read_all(home), name: login})


def forget(home: Path, name: str) -> None:
    """Forget the login of this name, if there is one."""
    logins = _read_all(home)
    if logins.pop(name, None) is not None:
        _write_all(home, logins)


def _read_all(home: Path) -> dict[str, Login]:
    file = home / FILE
    try:
        entries = json.loads(file.read_bytes())["logins"]
        return {name: Login(**entry) for name, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RequestRefused("bad_logins", f"{file}: {error.strerror}", hint="make it readable for yourself") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestRefused("bad_logins", f"{file} is damaged", hint="delete it and log in again") from error


def _write_all(home: Path, logins: Mapping[str, Login]) -> None:
    document = {"logins": {name: asdict(login) for name, login in logins.items()}}
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(home / FILE, json.dumps(document, indent=1).encode(), mode=0o600)
    except OSError as error:
        raise RequestRefused(
            "bad_logins",
            f"{home / FILE} cannot be written: {error.strerror}",
            hint="set SKERRY_HOME to a folder of yours",
        ) from error
