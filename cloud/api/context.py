"""What the routers work with, built by the composition root and carried by the application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request

from broker.appspec import AppSpec, Image
from broker.clock import Clock
from broker.ids import DeviceRef
from cloud.config import Settings
from cloud.issuing import Issuer
from cloud.keys import Keys
from cloud.live import Feed
from cloud.passwords import Passwords
from cloud.pki import Pki
from cloud.registry import RegistryTokens
from cloud.store.database import Database
from cloud.throttle import Throttle
from cloud.vault import Vault


class Images(Protocol):
    """The registry."""

    def answers(self) -> bool:
        """Return whether it is up."""


class ReleaseImages(Protocol):
    """Reads the images of a release."""

    def completed(self, spec: AppSpec, *, now_s: int) -> AppSpec:
        """Return the spec with every image as a device needs it; raise `Refused`, or `Passing`: nobody knows now."""

    def layers(self, image: Image, *, now_s: int) -> Mapping[str, int]:
        """Return the sizes of an image's layers by digest; raise likewise."""


@dataclass(frozen=True)
class Notices:
    """Whom changes are told to, after their transaction."""

    issued: Callable[[], None]
    due: Callable[[], None]
    commanded: Callable[[], None]
    enrolled: Callable[[DeviceRef], None]
    reported: Callable[[DeviceRef], None]
    broker_up: Callable[[], bool]
    revoked: Callable[[DeviceRef], None] = lambda device: None
    pushed: Callable[[str], None] = lambda app: None  # a release of this app, or that it is deleted
    patched: Callable[[str], object] = lambda app: None  # waits a moment for the patches of an app
    kept: Callable[[], None] = lambda: None  # something is kept for less long


@dataclass(frozen=True)
class Context:
    """Everything a request may use."""

    settings: Settings
    database: Database
    keys: Keys
    pki: Pki
    issuer: Issuer
    vault: Vault
    images: Images
    release_images: ReleaseImages
    registry_tokens: RegistryTokens
    feed: Feed
    passwords: Passwords
    logins: Throttle
    commands: Throttle
    notices: Notices
    clock: Clock
    store: str
    version: str

    @property
    def now_ms(self) -> int:
        return self.clock.wall_ms()


def _context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


Ctx = Annotated[Context, Depends(_context)]
