"""The entry of the command `skerry`. All else is imported inside, so that Ctrl-C is clean from the first moment on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process."""
    try:
        import os

        code = _run(sys.argv[1:], dict(os.environ))
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _run(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    if arguments[:2] == ["app", "config"]:
        from cloud.cli.config_command import show, understood
        from cloud.cli.edge import exit_code

        asked = understood(arguments)
        if asked is not None:
            return exit_code(lambda: show(asked, variables), as_json=asked.errors_as_json)

    from cloud.cli.command_line import run
    from cloud.cli.credentials import home_of
    from cloud.cli.surroundings import Surroundings

    return run(arguments, Surroundings(variables=variables, home=home_of(variables)))


if __name__ == "__main__":
    main()
