"""A real PostgreSQL in a folder of its own, on a unix socket only. It refuses root, so root starts it as nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.harness.servers import Server, program

NOBODY = 65534
USER = "skerry"


class Postgres:
    """One server with as many databases as are asked for. `safe` has it write to the disk before it answers."""

    def __init__(self, *, safe: bool = False) -> None:
        initdb = program("initdb")
        self.folder = Path(tempfile.mkdtemp(prefix="skerry-pg-"))
        self._as = [] if os.geteuid() else [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        if self._as:
            os.chown(self.folder, NOBODY, NOBODY)
        data = self.folder / "data"
        made = subprocess.run(
            [
                "setpriv",
                *self._as,
                initdb,
                "-D",
                str(data),
                "-U",
                USER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
            ],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        assert made.returncode == 0, made.stderr
        options = {"listen_addresses": "", "unix_socket_directories": str(self.folder), "max_connections": "200"}
        if not safe:
            options |= {"fsync": "off", "full_page_writes": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._server = Server(
            ["setpriv", *self._as, program("postgres"), "-D", str(data), *settings],
            log=self.folder / "log",
            ready=self._answers,
        )
        self._server.start()

    @property
    def process_id(self) -> int:
        assert self._server.process is not None
        return self._server.process.pid

    def url(self, name: str) -> str:
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def create(self, name: str, *, template: str = "template0") -> str:
        """Make a database, a copy of `template`, and return its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def restart(self) -> None:
        self._server.kill()
        self._server.start()

    def stop(self) -> None:
        self._server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
