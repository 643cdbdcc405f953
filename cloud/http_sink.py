"""A sink that posts samples over HTTP: a JSON document a line, and a header that names them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import urllib3
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from urllib3.exceptions import HTTPError

from broker.codec import first_error
from broker.errors import Passing, Refused

ANSWER_BYTES_MAX = 64 * 1024


class HttpSettings(BaseModel):
    """The keys of a `[[sink]]` of the kind `http`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern="^https?://[^ ]+$")
    headers: Mapping[str, str] = {}
    ca: str | None = None
    timeout_s: float = Field(default=30.0, gt=0, le=600)


class HttpSink:
    """Any answer but 2xx is a failure, and the same is posted again."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        try:
            self._settings = HttpSettings.model_validate(settings)
        except ValidationError as error:
            raise Refused("bad_sink", first_error(error)) from error
        timeout = urllib3.Timeout(self._settings.timeout_s)
        self._pool = urllib3.PoolManager(retries=False, timeout=timeout, ca_certs=self._settings.ca)

    def send(self, samples: Sequence[Mapping[str, object]], *, cursor: str) -> None:
        body = "".join(f"{json.dumps(sample)}\n" for sample in samples).encode()
        headers = {"Content-Type": "application/x-ndjson", "Skerry-Cursor": cursor, **self._settings.headers}
        try:
            answer = self._pool.request("POST", self._settings.url, body=body, headers=headers, preload_content=False)
            said = answer.read(ANSWER_BYTES_MAX)
            answer.release_conn()
        except (HTTPError, OSError) as error:
            raise Passing(f"{self._settings.url}: {error}") from error
        if not 200 <= answer.status < 300:
            raise Passing(f"{self._settings.url} answered {answer.status}: {said[:200].decode(errors='replace')!r}")
