"""The broker and the registry as supervised children: their files, and how to tell that they are up."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from broker.children import Program
from broker.errors import Refused
from broker.files import write_durably
from broker.mosquitto import BrokerFiles, acl_text, config_text
from broker.transport import Endpoint
from cloud import registry
from cloud.collector import Collector
from cloud.config import Settings
from cloud.pki import Pki

log = logging.getLogger(__name__)

DAMAGED = b"Couldn't open database"  # mosquitto's last words then
LOG_TAIL_BYTES = 300
KEEPALIVE_S_MIN_MAX = 900  # services keep the session's default of 300 s whatever devices are told


def broker_program(settings: Settings, pki: Pki) -> Program:
    """Return mosquitto, its configuration written."""
    program = _found("mosquitto")
    folder = settings.folder.broker
    files = BrokerFiles(
        folder=folder,
        server_certificate=pki.certificate("server"),
        server_key=pki.key("server"),
        device_ca=pki.certificate("devices"),
        device_crl=pki.device_crl,
        service_ca=pki.certificate("services"),
    )
    text = config_text(
        files,
        devices=settings.broker,
        services=settings.service_broker,
        user=pwd.getpwuid(os.geteuid()).pw_name,
        keepalive_s_max=max(KEEPALIVE_S_MIN_MAX, 2 * settings.keepalive_s),
    )
    write_durably(files.acl, acl_text().encode())
    write_durably(files.config, text.encode())
    log_path = settings.folder.logs / "mosquitto.log"
    guard = DamagedFile(folder / "mosquitto.db", log_path)
    return Program(
        name="mosquitto",
        argv=(program, "-c", str(files.config)),
        log_path=log_path,
        ready=lambda: _listens(settings.service_broker) and _listens(settings.broker),
        before_start=guard.before_start,
        on_up=guard.on_up,
    )


def registry_program(settings: Settings, pki: Pki, answers: Callable[[], bool], collector: Collector) -> Program:
    """Return docker-registry, its configuration written."""
    program = _found("docker-registry")
    config = settings.folder.registry / "config.yml"
    text = registry.config_text(
        settings,
        token_certificate=pki.certificate("registry-token"),
        server_certificate=pki.certificate("server"),
        server_key=pki.key("server"),
    )
    write_durably(config, text.encode())
    return Program(
        name="docker-registry",
        argv=(program, "serve", str(config)),
        log_path=settings.folder.logs / "registry.log",
        ready=answers,
        before_start=collector.before_start,
        on_up=collector.on_up,
    )


class DamagedFile:
    """Puts the broker's file aside when the broker says that it cannot read it: it would never start again.

    What is lost with it comes back by itself: the publisher sends every desired state again, devices the rest.
    """

    def __init__(self, path: Path, log_path: Path) -> None:
        self._path = path
        self._log_path = log_path
        self._tried = False

    def before_start(self) -> None:
        if self._tried and self._path.exists() and DAMAGED in self._log_path.read_bytes()[-LOG_TAIL_BYTES:]:
            aside = self._path.with_suffix(".damaged")
            self._path.replace(aside)
            log.error("the broker does not start with %s: moved it to %s", self._path.name, aside.name)
        self._tried = True

    def on_up(self) -> None:
        self._tried = False


def _found(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Refused("missing_program", f"{name} is not on PATH")
    return path


def _listens(endpoint: Endpoint) -> bool:
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=1.0):
            return True
    except OSError:
        return False
