"""What an app stores, and where its services see it: volumes and mounts. Part of the AppSpec; pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from broker.appspec_values import AbsolutePath, Count, Labels, Spec, Text, TextMap, later


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
    """A named volume of the app; never deleted unless asked by name."""

    driver: Literal["local"] = "local"
    options: TextMap = {}
    labels: Labels = {}
