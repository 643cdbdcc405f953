"""Compose files to one canonical document: the phases in their order.

For each file: read, replace variables, check and make canonical, make paths absolute, carry out `extends`, add what it
includes. Then merge the files, choose by profiles, complete, read environment files and validate. Nothing here loads
the typed models, which are slow to import: `compose/load.py` does, for those who go on working with a project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from compose import errors
from compose.complete import completed, with_build_contexts, with_profiles
from compose.environment import ReadVariables, WantedFile, with_environment
from compose.errors import ComposeError, Place, Unreadable
from compose.extends import extended
from compose.include import SECTIONS, Inclusion, with_included
from compose.interpolate import Lookup, layered
from compose.merge import merged, settled, without_silence
from compose.naming import checked_name, given_name, project_name
from compose.paths import is_remote, resolver
from compose.source import Source, absolute
from compose.tree import Plain, Table, plain, table_of
from compose.validate import check_required, validate

INCLUDES_MAX = 100  # files in all: a project that includes itself in ever new ways must come to an end
WARNINGS_MAX = 100


@dataclass(frozen=True)
class Canonical:
    """A whole project as plain data. Durations are milliseconds, sizes bytes, all paths absolute.

    `folder` is what relative paths were relative to, `variables` the environment with what files added to it,
    `warnings` are lines for a person.
    """

    name: str
    folder: Path
    document: Mapping[str, Plain]
    variables: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...]


def canonical(
    files: Sequence[Path],
    *,
    environment: Mapping[str, str],
    env_files: Sequence[Path] = (),
    profiles: Sequence[str] = (),
    name: str | None = None,
    project_folder: Path | None = None,
) -> Canonical:
    """Return the project that `files` describe, later ones changing earlier ones; raise `Refused` otherwise.

    `environment` wins over `env_files` (without any: `.env` in the project's folder, where there is one), and a later
    environment file over an earlier one. Profiles are those given, or those of COMPOSE_PROFILES. The name is the one
    given, or COMPOSE_PROJECT_NAME, or what the files say, or the folder's.
    """
    if not files:
        raise ComposeError("no Compose file is given", reason="compose_unreadable")
    paths = [absolute(file) for file in files]
    folder = absolute(project_folder) if project_folder else paths[0].parent
    warnings: dict[str, None] = {}
    source = Source(shown_from=folder, home=environment.get("HOME", ""), warn=warnings.setdefault)
    try:
        variables = _variables(source, folder, environment, [absolute(file) for file in env_files])
        documents = [(path, document) for path in paths for document in source.documents(path)]
        project = checked_name(name or variables.get("COMPOSE_PROJECT_NAME") or "")
        project = project or project_name(given_name([d for _, d in documents], variables), folder)
        variables["COMPOSE_PROJECT_NAME"] = project
        model = _Loader(source).model(documents, folder, variables)
        active = profiles or variables.get("COMPOSE_PROFILES", "").split(",")
        model = with_profiles(model, frozenset(profile.strip() for profile in active if profile.strip()))
        check_required(model)
        model = completed(model, project)
        model = with_environment(model, variables, _reader(source))
        validate(model)
        document = plain(model)
        assert isinstance(document, dict)
        return Canonical(project, folder, document, variables, tuple(warnings)[:WARNINGS_MAX])
    except RecursionError as error:
        raise ComposeError("is nested too deeply", place=Place(str(files[0]))) from error


def _variables(
    source: Source, folder: Path, environment: Mapping[str, str], env_files: Sequence[Path]
) -> dict[str, str]:
    names = environment.get("COMPOSE_ENV_FILES", "").split(",")
    named = env_files or [folder / file.strip() for file in names if file.strip()]
    disabled = environment.get("COMPOSE_DISABLE_ENV_FILE", "").lower() in ("1", "true", "yes", "y")
    chosen = named or ([] if disabled else [folder / ".env"])
    values: dict[str, str] = {}
    for file in chosen:
        if not named and not file.is_file():
            continue
        known = layered(environment, values)
        for key, value in source.variables(file, known.get).items():
            if value is not None:
                values[key] = value
    return layered(environment, values)


@dataclass
class _Loader:
    """Loads the model of one project, and of those it includes; remembers the files that services extend."""

    source: Source
    extended_files: dict[tuple[Path, Path], Table] = field(default_factory=dict)
    files: int = 0

    def model(
        self,
        documents: Sequence[tuple[Path, Table]],
        folder: Path,
        environment: Mapping[str, str],
        chain: tuple[Path, ...] = (),
    ) -> Table:
        """Return one merged model; `chain` is the files that led here by including one another."""
        result = Table({})
        for file, document in documents:
            prepared = self.source.prepared(without_silence(document, result), folder, environment)
            prepared = self._with_extends(prepared, str(file), result, environment)
            deeper = (*chain, file)
            prepared = with_included(
                prepared, partial(self._included, folder=folder, environment=environment, chain=deeper)
            )
            changed = merged(result, prepared)
            result = changed if isinstance(changed, Table) else Table({})
        return with_build_contexts(table_of(settled(result)), str(folder))

    def _with_extends(self, file: Table, shown: str, earlier: Table, environment: Mapping[str, str]) -> Table:
        services = file.nodes.get("services")
        if not isinstance(services, Table):
            return file

        def read(other: str, asked_at: Place, path: errors.Path) -> Table:
            if is_remote(other):
                raise Unreadable("a file to extend must be on this machine", place=asked_at, path=path)
            return self._services_of(Path(other), asked_at, path, environment)

        known = table_of(earlier.nodes.get("services"))
        take = self.source.budget.take
        return file.having(services=extended(services, file=shown, earlier=known, read=read, take=take))

    def _services_of(self, file: Path, asked_at: Place, path: errors.Path, environment: Mapping[str, str]) -> Table:
        key = (file, file.parent)
        if key not in self.extended_files:
            result = Table({})
            for document in self.source.documents(file, asked_at=asked_at, path=path):
                changed = merged(result, self.source.prepared(document, file.parent, environment).without("include"))
                result = changed if isinstance(changed, Table) else Table({})
            self.extended_files[key] = table_of(result.nodes.get("services"))
        return self.extended_files[key]

    def _included(
        self, inclusion: Inclusion, *, folder: Path, environment: Mapping[str, str], chain: tuple[Path, ...]
    ) -> Table:
        place, path = inclusion.place, inclusion.path
        resolve = resolver(folder, self.source.home)
        for written in inclusion.files:
            if is_remote(written):
                raise Unreadable(f"{written} is not a file on this machine; fetch it first", place=place, path=path)
        files = [Path(resolve(written)) for written in inclusion.files]
        if circle := [file for file in files if file in chain]:
            raise ComposeError(f"include goes in a circle: {self.source.shown(circle[0])}", place=place, path=path)
        self.files += len(files)
        if self.files > INCLUDES_MAX:
            raise ComposeError(f"more than {INCLUDES_MAX} files are included", place=place, path=path)
        directory = inclusion.project_directory
        inner_folder = Path(resolve(directory)) if directory else files[0].parent
        values: dict[str, str] = {}
        for file in [Path(resolve(written)) for written in inclusion.env_files] or [inner_folder / ".env"]:
            if inclusion.env_files or file.is_file():
                known = layered(environment, values)
                found = self.source.variables(file, known.get, asked_at=place, path=path)
                values.update({key: value for key, value in found.items() if value is not None})
        documents = [
            (file, document) for file in files for document in self.source.documents(file, asked_at=place, path=path)
        ]
        model = self.model(documents, inner_folder, layered(environment, values), chain)
        return model.without(*(key for key in model.nodes if key not in SECTIONS))


def _reader(source: Source) -> ReadVariables:
    def read(wanted: WantedFile, lookup: Lookup) -> Mapping[str, str | None]:
        file = Path(wanted.file)
        if not wanted.required and not file.is_file():
            return {}
        return source.variables(file, lookup, raw=wanted.raw, asked_at=wanted.asked_at, path=wanted.path)

    return read
