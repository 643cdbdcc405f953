"""The entry of the command `skerry`. All else is imported inside, so that Ctrl-C is clean from the first moment on."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process."""
    try:
        import os

        from cloud.cli.command_line import run
        from cloud.cli.credentials import home_of
        from cloud.cli.surroundings import Surroundings

        variables = dict(os.environ)
        code = run(sys.argv[1:], Surroundings(variables=variables, home=home_of(variables)))
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
