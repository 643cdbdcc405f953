"""`skerry app push`: a Compose project becomes a release. Run again, it is the same one and nothing is sent twice."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from cloud.cli.apps import EnvFiles, Files, Profiles, ProjectName
from cloud.cli.render import note, say, say_json
from cloud.cli.surroundings import AsJson, around


def push(
    context: typer.Context,
    files: Files = None,
    *,
    name: ProjectName = None,
    version: Annotated[str | None, typer.Option("--version", help="What people call this release.")] = None,
    env_file: EnvFiles = None,
    profile: Profiles = None,
    as_json: AsJson = False,
) -> None:
    """Build the images, push them, and make a release of them; print its digest."""
    from broker.appspec_files import Secret
    from cloud.cli import answers
    from cloud.cli.connect import connected
    from cloud.cli.progress import shown_progress
    from cloud.cli.project_files import chosen_files
    from cloud.cli.projects import judged, load_project
    from cloud.cli.secrets import pin
    from compose.build import publish_images
    from compose.buildx import find_buildx
    from compose.local_engine import ADDRESS, connect
    from compose.to_appspec import converted

    here = around(context)
    project = load_project(
        files or (), environment=here.variables, env_files=env_file or (), profiles=profile or (), name=name
    )
    platform = here.variables.get("DOCKER_DEFAULT_PLATFORM", "")
    for warning in judged(project, chosen_files(files or (), here.variables), platform=platform):
        note(f"warning: {warning}")  # and what cannot run on a device is refused here, before anything is built
    with connected(context) as client:

        def token_for(repository: str) -> str:
            body = {"repositories": [repository], "actions": ["pull", "push"]}
            return client.post("/v1/registry/token", answers.RegistryToken, body).token

        registry = client.get("/v1/me", answers.Me).registry
        app = client.post("/v1/apps", answers.App, {"name": project.name})
        with shown_progress(here.clock) as progress:
            images = publish_images(
                project,
                engine=connect(),
                registry=registry,
                namespace=app.namespace,
                token_for=token_for,
                buildx=find_buildx(here.variables, here.variables.get("DOCKER_HOST") or ADDRESS),
                platform=platform,
                progress=progress,
            )
        made = converted(project, images)
        versions = pin(client, app, made.values)  # what a file or a variable held goes sealed, and is of this release
        secrets = {**made.spec.secrets, **{name: Secret(version=version) for name, version in versions.items()}}
        spec = made.spec.model_copy(update={"secrets": secrets})
        body = {"spec": spec.model_dump(mode="json"), **({"version": version} if version else {})}
        released = client.post(f"/v1/apps/{quote(app.name, safe='')}/releases", answers.Released, body)
    if as_json:
        say_json({"app": app.name, **released.plain()})
        return
    known = "" if released.created else " was there already"
    note(f"release of {app.name}{f' ({released.version})' if released.version else ''}{known}:")
    say(released.release)
