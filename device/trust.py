"""Whom this device believes: the root-signed trust document it holds, and the verifiers made from it."""

from __future__ import annotations

import logging

from broker.channels import DESIRED, ROLE_OF, TRUST, Channel
from broker.codec import Opened, open_sealed
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import Trust as TrustDocument
from broker.signing import Signatures, key_id
from device.checked_file import CheckedFile

log = logging.getLogger(__name__)


class Trust:
    """The held trust document. Versions only grow; the root key is the one pinned at enrollment."""

    def __init__(self, file: CheckedFile, *, device: DeviceRef, root: bytes) -> None:
        self._file = file
        self._device = device
        self._root = Signatures((root,))
        self._document: TrustDocument | None = None

    def load(self) -> None:
        """Read what is held; a broken document counts as none."""
        sealed = self._file.read()
        if sealed is not None:
            try:
                self._document = self._open(sealed)
            except Refused as error:
                log.error("the trust document on disk is not usable: %s", error)

    def offer(self, sealed: bytes) -> bool:
        """Hold a newer document, durably; return whether it was news. Raise `Refused` on an unsigned or older one."""
        document = self._open(sealed)
        held = self._document
        if held is not None and document.version < held.version:
            raise Refused("stale_trust", f"trust version {document.version} is older than the held {held.version}")
        if held is not None and document.version == held.version:
            if document != held:
                raise Refused("altered_trust", f"another trust document also claims version {held.version}")
            return False
        self._file.write(sealed)
        self._document = document
        return True

    def _open(self, sealed: bytes) -> TrustDocument:
        opened: Opened = open_sealed(TRUST, self._device, sealed, self._root)
        document: TrustDocument = opened.message
        return document

    @property
    def era(self) -> int:
        return self._document.era if self._document is not None else 0

    def verifier_for_desired(self) -> Signatures:
        """Return what checks desired states."""
        return self.verifier(DESIRED)

    def verifier(self, channel: Channel) -> Signatures:
        """Return what checks signatures on `channel`: the keys whose role it is and that are not revoked."""
        if self._document is None:
            return Signatures(())
        role, revoked = ROLE_OF[channel], set(self._document.revoked)
        return Signatures(
            tuple(key.public for key in self._document.keys if role in key.roles and key_id(key.public) not in revoked)
        )
