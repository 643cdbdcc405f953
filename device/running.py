"""The worker as a process. `skerry-device run` gives its place to it: the command line does not stay in memory."""

from __future__ import annotations

import logging
import resource
import signal
import sys
from pathlib import Path
from typing import NoReturn

import device.unloaded  # noqa: F401 - before all that loads libraries
from broker.errors import SkerryError
from device.config import Paths, read_owner
from device.exits import told
from device.state_lock import alone
from device.worker import Worker


def run(state: Path, brokers: tuple[str, ...], *, verbose: bool) -> int:
    """Work until a signal; return the exit status."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(threadName)s %(message)s",
        stream=sys.stderr,
    )
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # keys and opened secrets are in this memory
    for noisy in ("urllib3", "docker"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    paths = Paths(state)
    paths.prepare()
    with alone(paths):
        worker = Worker(paths, read_owner(paths.owner), brokers=brokers)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        return worker.run()


def main() -> NoReturn:
    """Take the words that `skerry-device run` has made of its options: the folder, how to tell, brokers."""
    state, how, *brokers = sys.argv[1:]
    try:
        status = run(Path(state), tuple(brokers), verbose=bool(how))
    except SkerryError as error:
        status = told(error)
    sys.exit(status)


if __name__ == "__main__":
    main()
