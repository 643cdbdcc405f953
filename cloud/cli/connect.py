"""A client for the login that a command runs with. Commands import this when they run: httpx is slow to load."""

from __future__ import annotations

import typer

from cloud.cli import credentials
from cloud.cli.client import Client
from cloud.cli.surroundings import around


def connected(context: typer.Context) -> Client:
    """Return a client with the chosen login; refuse when there is none."""
    here = around(context)
    login = credentials.read(here.home, here.login)
    return Client(login.url, ca=login.ca, token=login.token, transport=here.transport)
