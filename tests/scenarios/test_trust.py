"""A broken-into broker: it may delay and silence, but not deploy, command, ack or report."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Iterator

import pytest

from broker.channels import BATCH, COMMAND, DESIRED, STATUS, SYNC
from broker.codec import open_sealed, seal
from broker.ids import new_id
from broker.messages import Command, Conn, DesiredState, StreamHeld, Sync
from broker.session import Session, SessionConfig
from broker.signing import MacKey, Signatures, Signer
from broker.tls import client_context
from broker.transport import Delivery, Endpoint, Publication
from tests.harness.intruder import Intruder, Silent, ref
from tests.harness.stage import STREAM, Stage


@pytest.fixture(scope="module")
def intruder(stage: Stage) -> Iterator[Intruder]:
    made = Intruder(stage)
    yield made
    made.stop()


def newest_envelope(stage: Stage) -> bytes:
    connection = sqlite3.connect(f"file:{stage.cloud.database}?mode=ro", uri=True)
    (payload,) = connection.execute(
        "SELECT envelope FROM desired WHERE device = ? ORDER BY era DESC, generation DESC LIMIT 1", (stage.device.id,)
    ).fetchone()
    connection.close()
    return bytes(payload)


def desired_signer(stage: Stage) -> Signer:
    return Signer((stage.cloud.state / "keys" / "desired.key").read_bytes())


def forged(stage: Stage, **changes: object) -> bytes:
    """Return the newest desired state with changes, signed with the real deploy key."""
    signer = desired_signer(stage)
    opened = open_sealed(DESIRED, ref(stage), newest_envelope(stage), Signatures((signer.public,)))
    return seal(DESIRED, ref(stage), opened.message.model_copy(update=changes), signer)


def refused(stage: Stage, reason: str) -> bool:
    return bool(stage.condition("Refused.desired").get("reason") == reason)


def test_a_stale_desired_state_is_refused_and_reported(stage: Stage, intruder: Intruder) -> None:
    old = newest_envelope(stage)
    stage.deploy_and_settle(greeting="two")
    intruder.send(DESIRED, old, retain=True)
    stage.until(lambda: refused(stage, "stale_generation"), "the refusal is reported")
    assert stage.page() == "two"
    assert stage.app_state() == "converged"


def test_an_altered_desired_state_is_refused_and_reported(stage: Stage, intruder: Intruder) -> None:
    flipped = bytearray(newest_envelope(stage))
    flipped[-1] ^= 1
    intruder.send(DESIRED, bytes(flipped))
    stage.until(lambda: refused(stage, "bad_signature"), "the refusal is reported")
    intruder.send(DESIRED, forged(stage, issued_ms=1))
    stage.until(lambda: refused(stage, "altered_generation"), "the louder refusal is reported")
    assert stage.page() == "two"


def test_a_foreign_desired_state_is_refused_and_reported(stage: Stage, intruder: Intruder) -> None:
    newest = stage.show()["desired"]["generation"]
    intruder.send(DESIRED, forged(stage, device=new_id("d"), generation=newest + 100))
    stage.until(lambda: refused(stage, "foreign"), "the refusal is reported")
    stranger = Signer.generate()
    state = DesiredState(org=ref(stage).org, device=ref(stage).device, era=1, generation=newest + 100, issued_ms=0)
    intruder.send(DESIRED, seal(DESIRED, ref(stage), state, stranger))
    stage.until(lambda: refused(stage, "unknown_key"), "the unknown key is reported")
    intruder.send(DESIRED, forged(stage, era=9))
    stage.until(lambda: refused(stage, "unknown_era"), "the unknown era is reported")
    assert stage.page() == "two"
    assert stage.show()["accepted"]["generation"] == newest


def test_a_forged_ack_trims_nothing(stage: Stage, intruder: Intruder) -> None:
    epoch = next(s["epoch"] for s in stage.show()["streams"] if s["stream"] == STREAM)
    held = StreamHeld(stream=STREAM, epoch=epoch, contiguous=2**62)
    sync = Sync(conn=Conn(boot="0" * 32, count=1), n=1, store="x", time_ms=0, streams=(held,))
    intruder.send(SYNC, seal(SYNC, ref(stage), sync, MacKey(b"k" * 32)))
    stage.until(lambda: stage.condition("Refused.sync").get("reason") == "unknown_key", "the refusal is reported")
    assert stage.audited().holds


def test_a_forged_command_is_refused(stage: Stage, intruder: Intruder) -> None:
    command = Command(id="c1", counter=1, conn=Conn(boot="0" * 32, count=1), ttl_s=60, verb="app.restart")
    intruder.send(COMMAND, seal(COMMAND, ref(stage), command, Signer.generate()))
    stage.until(lambda: stage.condition("Refused.command").get("reason") == "unknown_key", "the refusal is reported")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x00", "malformed"),
        (b"\xff" * 200, "unknown_version"),
        (b"\x01\x00\x63\x00" + b"x" * 200, "unknown_algorithm"),
        (b"x" * (DESIRED.size_max + 1), "too_large"),
    ],
)
def test_malformed_and_oversized_payloads_are_named_and_the_worker_goes_on(
    stage: Stage, intruder: Intruder, payload: bytes, reason: str
) -> None:
    intruder.send(DESIRED, payload)
    stage.until(lambda: refused(stage, reason), f"the refusal {reason} is reported")
    assert stage.device.process.alive


def test_the_cloud_goes_on_after_malformed_and_forged_messages_of_a_device(stage: Stage) -> None:
    device = stage.device
    device.process.stop()
    identity = device.state / "identity"
    events = Silent()
    config = SessionConfig(
        (Endpoint("127.0.0.1", stage.cloud.broker_port),),
        ref(stage).cn,
        lambda: client_context(identity / "ca.crt", identity / "device.crt", identity / "device.key"),
    )
    session = Session(config, events)
    session.start()
    events.ups.get(timeout=20)
    answers: queue.Queue[Delivery] = queue.Queue()
    for channel in (STATUS, BATCH):
        for payload in (b"\x00", b"\xff" * 300, b"x" * (channel.size_max + 1)):
            assert session.publish(Publication(channel.topic(ref(stage)), payload, 1), answers.put)
    for _ in range(6):
        answers.get(timeout=20)
    session.stop()
    device.process.start()
    stage.until(lambda: stage.show()["online"], "the device is back")
    stage.deploy_and_settle(greeting="three")
    assert stage.audited().holds
