"""The compact form: what an idle device sends and gets, in few bytes."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import channels
from broker.channels import Channel
from broker.codec import open_sealed, pack, seal, seal_payload
from broker.compact import packed
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import Batch, Beat, Conn, Gap, Generation, Instant, Refusal, StreamHeld, Sync, Will
from broker.signing import MacKey

PUMP = DeviceRef("oaaaaaaaaaaa", "daaaaaaaaaaa")
MAC = MacKey(b"k" * 32)
CONN = Conn(boot="0123456789abcdef" * 2, count=8_640_000)
BOOT = bytes.fromhex(CONN.boot)

counts = st.integers(0, 2**63 - 1)
tokens = st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True)
conns = st.builds(Conn, boot=st.binary(min_size=16, max_size=16).map(bytes.hex), count=counts)
digests = st.binary(min_size=32, max_size=32).map(lambda raw: "sha256:" + raw.hex())
generations = st.builds(Generation, era=counts, generation=counts, digest=digests)
refusals = st.builds(Refusal, first=counts, last=counts, reason=tokens, retry_after_s=st.none() | counts)
held = st.builds(
    StreamHeld,
    stream=st.just("telemetry:hello"),
    epoch=counts,
    contiguous=counts,
    ranges=st.lists(st.tuples(counts, counts), max_size=3).map(tuple),
    refused=st.lists(refusals, max_size=2).map(tuple),
)
syncs = st.builds(
    Sync,
    conn=conns,
    n=counts,
    store=tokens,
    time_ms=counts,
    desired=st.none() | generations,
    streams=st.lists(held, max_size=3).map(tuple),
    status=counts,
    replies=st.lists(tokens, max_size=3).map(tuple),
)
instants = st.builds(
    Instant, boot=st.binary(min_size=16, max_size=16).map(bytes.hex), mono_ms=counts, wall_ms=counts,
    clock=st.sampled_from(["unknown", "local", "synchronised"]),
)  # fmt: skip
batches = st.builds(
    Batch, conn=conns, n=counts, stream=st.just("telemetry:hello"), epoch=counts, first=counts, last=counts,
    at=instants, format=tokens, payload=st.binary(max_size=40),
    gaps=st.lists(st.builds(Gap, first=counts, last=counts, cause=tokens), max_size=2).map(tuple),
)  # fmt: skip
beats = st.builds(Beat, conn=conns, n=counts, era=counts, generation=counts, status=counts)


def opened(channel: Channel, plain: Any) -> Any:
    return open_sealed(channel, PUMP, seal_payload(channel, PUMP, msgpack.packb(plain), MAC), MAC).message


def reason_of(channel: Channel, plain: Any) -> str:
    with pytest.raises(Refused) as refused:
        opened(channel, plain)
    return refused.value.reason


@settings(deadline=None, max_examples=40)
@given(syncs)
def test_a_sync_comes_out_as_it_went_in(sync: Sync) -> None:
    assert open_sealed(channels.SYNC, PUMP, seal(channels.SYNC, PUMP, sync, MAC), MAC).message == sync


@settings(deadline=None, max_examples=40)
@given(beats)
def test_a_beat_comes_out_as_it_went_in(beat: Beat) -> None:
    assert open_sealed(channels.PRESENCE, PUMP, seal(channels.PRESENCE, PUMP, beat, MAC), MAC).message == beat


@settings(deadline=None, max_examples=40)
@given(batches)
def test_a_batch_comes_out_as_it_went_in(batch: Batch) -> None:
    assert open_sealed(channels.BATCH, PUMP, seal(channels.BATCH, PUMP, batch, MAC), MAC).message == batch


def test_a_beat_is_about_forty_bytes_and_its_proof() -> None:
    beat = Beat(conn=CONN, n=300, era=1, generation=57, status=9_000_000_000_000)
    assert packed(beat) == [1, [BOOT, 8_640_000], 300, 1, 57, 9_000_000_000_000]
    assert len(pack(channels.PRESENCE, beat)) == 40


def test_what_is_at_its_default_at_the_end_is_left_out() -> None:
    assert packed(Beat(conn=CONN, n=2)) == [1, [BOOT, 8_640_000], 2]
    assert packed(Will(conn=Conn(boot=CONN.boot, count=0))) == [2, [BOOT, 0]]
    assert packed(Beat(conn=CONN, n=0, status=0)) == [1, [BOOT, 8_640_000], 0]


def test_other_messages_have_no_compact_form() -> None:
    assert packed(CONN) is None


def test_a_form_that_has_grown_is_read_as_far_as_it_is_known() -> None:
    assert opened(channels.PRESENCE, [1, [BOOT, 5, "more"], 2, 0, 0, 0, {"later": 1}]) == Beat(
        conn=Conn(boot=CONN.boot, count=5), n=2
    )


@pytest.mark.parametrize(
    "plain",
    [[], [9, [BOOT, 1]], ["1", [BOOT, 1]], [None], [[1]], [True, [BOOT, 1], 2], [1.0, [BOOT, 1], 2]],
    ids=repr,
)
def test_a_form_of_an_unknown_number_is_refused(plain: list[Any]) -> None:
    assert reason_of(channels.PRESENCE, plain) == "unknown_version"


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        ([1], "invalid"),
        ([1, [BOOT, 1]], "invalid"),
        ([1, BOOT, 2], "malformed"),
        ([1, {"boot": CONN.boot, "count": 1}, 2], "malformed"),
        ([1, [BOOT[:15], 1], 2], "invalid"),
        ([1, [BOOT, -1], 2], "invalid"),
        ([1, [BOOT, "1x"], 2], "invalid"),
        ([3, [BOOT, 1], 2, "s1", 5], "invalid"),
    ],
    ids=repr,
)
def test_a_form_with_wrong_content_is_refused(plain: list[Any], reason: str) -> None:
    assert reason_of(channels.PRESENCE, plain) == reason


@pytest.mark.parametrize(
    "streams", [5, [5], [["telemetry:hello", 1, 1, [], 5]], [["telemetry:hello", 1, 1, [], [5]]]], ids=repr
)
def test_a_sync_with_streams_of_another_shape_is_refused(streams: Any) -> None:
    assert reason_of(channels.SYNC, [3, [BOOT, 1], 2, "s1", 5, 0, None, [], streams]) == "malformed"


def test_a_form_of_another_channel_is_refused() -> None:
    assert reason_of(channels.STATUS, [1, [BOOT, 1], 2]) == "invalid"
