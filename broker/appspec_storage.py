"""What an app stores, and where its services see it: volumes and mounts. Part of the AppSpec; pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from broker.appspec_values import AbsolutePath, Count, EngineName, Labels, Spec, Text, TextMap, later


class Mount(Spec):
    """One mount: a named volume of the app, a host path, or memory."""

    type: Literal["volume", "bind", "tmpfs"]
    target: AbsolutePath
    source: Text = ""
    read_only: bool = False
    create_host_path: bool = True
    propagation: str = ""
    recursive: Literal["enabled", "disabled", "writable", "readonly"] = later("enabled")  # the last two: API 1.44
    no_copy: bool = False
    subpath: Text = later("")  # API 1.45
    tmpfs_size: Annotated[int, Field(ge=0)] | None = None
    tmpfs_mode: Annotated[int, Field(ge=0, le=0o7777)] | None = None
    tmpfs_uid: Count | None = later(None)
    tmpfs_gid: Count | None = later(None)
    tmpfs_exec: bool = later(False)


class Volume(Spec):
    """A named volume of the app, never deleted unless asked by name; or, with `external`, one that is there already."""

    driver: Literal["local"] = "local"
    external: EngineName = later("")
    options: TextMap = {}
    labels: Labels = {}

    @model_validator(mode="after")
    def _said_once(self) -> Volume:
        if self.external and (self.options or self.labels):
            raise ValueError("an external volume is as it is: nothing else can be said of it")
        return self
