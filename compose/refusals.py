"""Everything of a project that a device would refuse, not only the first of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from broker.appspec import AppSpec
from compose.errors import ComposeError
from compose.project import Project
from compose.publish_plan import plan
from compose.to_appspec import attempt


@dataclass(frozen=True)
class Refusal:
    """One key that a device would refuse: where it is in the project, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Verdict:
    """What would become of a project on a device: `spec`, with images that are not there yet, where it could be."""

    refused: tuple[Refusal, ...]
    ignored: tuple[str, ...]
    spec: AppSpec | None = None


def verdict(project: Project, *, on_this_machine: bool = False, platform: str = "") -> Verdict:
    """Return all that would be refused or ignored. Nothing is refused where the project could be pushed.

    `platform` is for services that name none.
    """
    made = attempt(project, on_this_machine=on_this_machine)
    found = {problem.path: problem for problem in reversed(made.problems)}
    if not found:
        try:
            plan(project, platform=platform)
        except ComposeError as error:
            found[error.path] = error
    refused = tuple(Refusal(problem.path, problem.message) for problem in reversed(found.values()))
    return Verdict(refused, made.warnings, None if refused else made.spec)
