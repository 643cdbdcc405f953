"""Keys that are derived, and the trust document."""

from __future__ import annotations

from broker.channels import DESIRED, TRUST
from broker.codec import open_sealed
from broker.ids import DeviceRef
from broker.signing import Signatures, Signer
from cloud.keys import Keys

ONE, OTHER = DeviceRef("o" + "a" * 11, "d" + "a" * 11), DeviceRef("o" + "a" * 11, "d" + "b" * 11)
KEYS = Keys(
    root=Signer(b"r" * 32), desired=Signer(b"d" * 32), command=Signer(b"c" * 32), ingest=b"i" * 32, vault=b"v" * 32
)


def test_each_device_and_each_key_number_has_its_own_key() -> None:
    made = {KEYS.mac(ONE, 1).key, KEYS.mac(ONE, 2).key, KEYS.mac(OTHER, 1).key, KEYS.nonce_key}
    assert len(made) == 4
    assert KEYS.mac(ONE, 1) == KEYS.mac(ONE, 1)


def test_the_trust_document_gives_each_online_key_its_own_role() -> None:
    trust = open_sealed(TRUST, ONE, KEYS.sealed_trust(ONE), Signatures((KEYS.root.public,))).message
    assert {key.public: key.roles for key in trust.keys} == {
        KEYS.desired.public: ("desired",),
        KEYS.command.public: ("command",),
    }
    assert trust.roots == (KEYS.root.public,)
    assert DESIRED.proof.value == "signed"
