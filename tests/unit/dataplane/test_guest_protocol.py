"""Frames between a lab and a virtual machine's agent, whatever happens to the octets."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.hosts.guest import protocol

# END, ESC and what they become (RFC 1055) are what an escape can go wrong with
payloads = st.binary(max_size=300) | st.lists(st.sampled_from([192, 219, 220, 221, 0]), max_size=60).map(
    bytes
)
frames = st.tuples(st.integers(0, 255), st.integers(0, 0xFFFFFFFF), payloads)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(at)]


@given(st.lists(frames, max_size=6), st.lists(st.integers(0, 10000), max_size=8))
def test_frames_arrive_as_they_were_sent_however_they_are_cut(
    sent: list[tuple[int, int, bytes]], places: list[int]
) -> None:
    parser = protocol.Parser()
    pieces = cut(b"".join(protocol.encode(*frame) for frame in sent), places)
    assert [frame for piece in pieces for frame in parser.feed(piece)] == sent
    assert parser.dropped == 0


@given(frames, st.integers(0, 10000), st.binary(max_size=200), st.lists(frames, max_size=4))
def test_after_half_a_frame_and_garbage_the_next_frames_arrive(
    lost: tuple[int, int, bytes], at: int, garbage: bytes, sent: list[tuple[int, int, bytes]]
) -> None:
    whole = protocol.encode(*lost)
    parser = protocol.Parser()
    heard = parser.feed(whole[: at % (len(whole) - 1)] + garbage)
    heard += parser.feed(b"".join(protocol.encode(*frame) for frame in sent))
    # garbage may happen to be the rest of the frame
    assert heard in (sent, [lost, *sent])


def test_half_a_frame_with_garbage_of_the_missing_length_is_no_frame() -> None:
    whole = protocol.encode(protocol.PING, 1, b"abcd")
    assert protocol.Parser().feed(whole[:-3] + b"xx" + b"\xc0") == []


@given(st.binary(max_size=2000))
def test_garbage_is_no_frame(data: bytes) -> None:
    assert protocol.Parser().feed(data + b"\xc0") == []


def test_octets_without_end_are_not_kept() -> None:
    parser = protocol.Parser()
    for _ in range(64):
        assert parser.feed(bytes(protocol.MOST // 8)) == []
    assert parser.feed(protocol.encode(protocol.PING, 1, b"x") + protocol.encode(protocol.PING, 2, b"y")) == [
        (protocol.PING, 1, b"x"),
        (protocol.PING, 2, b"y"),
    ]
    assert parser.dropped == 1


def test_the_largest_payload_passes_and_a_larger_one_is_refused() -> None:
    largest = b"\xc0" * protocol.MOST
    assert protocol.Parser().feed(protocol.encode(1, 2, largest)) == [(1, 2, largest)]
    with pytest.raises(ValueError, match="at most"):
        protocol.encode(1, 2, largest + b"x")


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_fields_are_unpacked_as_packed(fields: list[bytes]) -> None:
    assert protocol.unpack(protocol.pack(fields)) == fields


@given(st.binary(max_size=60))
def test_what_is_no_list_of_fields_is_a_value_error(data: bytes) -> None:
    for parse in (
        protocol.unpack,
        protocol.parse_run,
        protocol.parse_steps,
        protocol.parse_hello,
        protocol.parse_size,
        protocol.parse_credit,
        protocol.parse_code,
    ):
        with contextlib.suppress(ValueError):
            parse(data)


def test_a_command_is_parsed_as_it_was_given() -> None:
    size = protocol.size_payload(24, 80)
    payload = protocol.run_payload([b"echo", b"", b"\xff"], [b"A=1=2", b"B="], size, True)
    expected = [b"echo", b"", b"\xff"], {b"A": b"1=2", b"B": b""}, (24, 80), True
    assert protocol.parse_run(payload) == expected
    assert protocol.parse_run(protocol.run_payload([], [])) == ([], {}, None, False)
