"""Configs with their content, secrets by name, and where a service finds them. Part of the AppSpec; pure."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from broker.appspec_values import AbsolutePath, Spec
from broker.ids import Name

FILE_BYTES_MAX = 32 * 1024  # one config; a desired state has 64 KiB for all that it carries
SECRET_BYTES_MAX = 8 * 1024  # one secret, which travels sealed and cannot be packed


class File(Spec):
    """The content of a config: a text, or bytes in base64."""

    content: Annotated[str, StringConstraints(max_length=2 * FILE_BYTES_MAX)] = ""
    encoding: Literal["text", "base64"] = "text"

    @model_validator(mode="after")
    def _fits(self) -> File:
        try:
            size = len(self.data)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise ValueError(f"the content is not {self.encoding}") from error
        if size > FILE_BYTES_MAX:
            raise ValueError(f"the content is {size} bytes; {FILE_BYTES_MAX} may travel")
        return self

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.content, validate=True) if self.encoding == "base64" else self.content.encode()


def file_of(data: bytes) -> File:
    """Return the file with this content: as a text where it is one, because texts stay readable and small."""
    try:
        return File(content=data.decode())
    except UnicodeDecodeError:
        return File(content=base64.b64encode(data).decode(), encoding="base64")


class Secret(Spec):
    """A secret that the app wants. Its value is in no release: a device gets it sealed, beside the AppSpec."""

    version: Annotated[int, Field(ge=1)] | None = None  # None: the newest that an operator has set


def _a_files_path(path: str) -> str:
    if path.endswith("/") or not {".", ".."}.isdisjoint(path.split("/")):
        raise ValueError(f"{path!r} is not the path of a file")
    return path


class Placed(Spec):
    """Where a service finds a config or secret, and whose it is there."""

    source: Name
    target: Annotated[AbsolutePath, AfterValidator(_a_files_path)]
    uid: Annotated[int, Field(ge=0, lt=2**32)] = 0
    gid: Annotated[int, Field(ge=0, lt=2**32)] = 0
    mode: Annotated[int, Field(ge=0, le=0o777)] = 0o444
