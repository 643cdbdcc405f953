"""Files of X11 cookies: read with limits, written for any host."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from device.platform.xauthority import BYTES_MAX, WILD, Entry, entries, for_any_host

LOCAL = 256


def packed(*found: Entry) -> bytes:
    def part(data: bytes) -> bytes:
        return struct.pack(">H", len(data)) + data

    return b"".join(struct.pack(">H", e.family) + b"".join(part(each) for each in e[1:]) for e in found)


def entry(number: str, data: bytes = b"c" * 16, host: bytes = b"kiosk") -> Entry:
    return Entry(LOCAL, host, number.encode(), b"MIT-MAGIC-COOKIE-1", data)


def test_the_cookie_of_the_display_serves_any_host() -> None:
    made = list(entries(for_any_host(packed(entry("1", b"other"), entry("0")), "0")))
    assert made == [Entry(WILD, b"", b"", b"MIT-MAGIC-COOKIE-1", b"c" * 16)]


def test_an_entry_for_every_display_counts() -> None:
    assert len(list(entries(for_any_host(packed(entry("")), "7")))) == 1


def test_the_same_cookie_under_two_host_names_is_written_once() -> None:
    assert len(list(entries(for_any_host(packed(entry("0"), entry("0", host=b"old-name")), "0")))) == 1


def test_without_a_cookie_of_the_display_there_is_nothing() -> None:
    assert for_any_host(packed(entry("1")), "0") == b""


def test_a_file_that_is_cut_off_gives_what_is_whole() -> None:
    whole = packed(entry("0"), entry("0", b"d" * 16))
    for end in range(len(whole)):
        assert len(list(entries(whole[:end]))) == (0 if end < len(whole) // 2 else 1)


@given(st.binary(max_size=2000))
def test_any_bytes_are_read_without_a_fault_and_give_no_more_than_they_are(content: bytes) -> None:
    assert len(for_any_host(content, "0")) <= max(len(content), 0) + 10
    assert len(for_any_host(content * 100, "0")) <= BYTES_MAX
