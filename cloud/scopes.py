"""What a token may do. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

READ = "read"  # see everything of the organisation but tokens and the audit log
CI = "ci"  # push images and releases, and what secrets these bring along
DEPLOY = "deploy"  # say what devices run: deployments, secrets, commands, links, fleets
DEVICE = "device"  # let machines in and put them out
GRANT = "grant"  # allow an app more than owners do
ADMIN = "admin"  # organisations, tokens, the audit log
ALL = (READ, CI, DEPLOY, DEVICE, GRANT, ADMIN)
REPOSITORY_ACTIONS = ("pull", "push", "delete")


@dataclass(frozen=True)
class Grant:
    """The right to do some actions on one repository."""

    repository: str
    actions: tuple[str, ...]


def may(scopes: str, wanted: str) -> bool:
    """Return whether the scopes of a token (words, one space between) contain `wanted`."""
    return wanted in scopes.split(" ")


def is_of_org(repository: str, org: str) -> bool:
    """Return whether a repository is inside the organisation's part of the registry."""
    return repository.startswith(org + "/") and ".." not in repository


def granted(org: str, wanted: Iterable[Grant], *, allowed: Iterable[str]) -> tuple[Grant, ...]:
    """Return what of `wanted` an identity of `org` gets: its own repositories, the allowed actions, nothing else."""
    allowed = tuple(allowed)
    grants = []
    for grant in wanted:
        actions = tuple(action for action in grant.actions if action in allowed)
        if actions and is_of_org(grant.repository, org):
            grants.append(Grant(grant.repository, actions))
    return tuple(grants)


def parse_docker_scopes(scopes: Iterable[str]) -> tuple[Grant, ...]:
    """Return the repositories in docker's `scope` parameters; anything else in them is left out.

    A parameter may come several times and hold several scopes; a name may hold colons (a host's port).
    """
    grants = []
    for scope in (word for text in scopes for word in text.split(" ")):
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if kind == "repository" and name:
            grants.append(Grant(name, tuple(action for action in actions.split(",") if action)))
    return tuple(grants)
