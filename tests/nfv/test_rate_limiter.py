"""A rate limiter: what passes is bounded, nothing is stuck, and the rate changes while packets wait."""

from __future__ import annotations

import socket
import time

from tests.nfv.programs import rate_limiter
from tests.nfv.spaces import LEFT_MAC, RIGHT_MAC, Row, bulk, frame

DATA = 0x88B6
"""The other local experimental ethertype: what is no probe is limited."""


def test_no_more_than_the_rate_passes(row: Row) -> None:
    row.start(rate_limiter(40_000_000, 10_000))
    began = time.monotonic()
    bulk(row, 5_000_000)
    # at least the time that the rate allows for what exceeds the burst; a slow machine takes longer
    assert time.monotonic() - began >= (5_000_000 - 10_000) * 8 / 40_000_000


def test_super_packets_larger_than_the_burst_pass_in_pieces(row: Row) -> None:
    row.start(rate_limiter(400_000_000, 3000))
    bulk(row, 5_000_000)


def test_a_burst_smaller_than_a_frame_stops_nothing(quiet: Row) -> None:
    quiet.start(rate_limiter(10_000_000, 1))
    left, right = quiet.wires()
    sent = frame(bytes(1500), DATA)
    left.send(sent)
    assert right.receive() == sent


def test_what_is_too_much_is_counted(quiet: Row) -> None:
    running = quiet.start(rate_limiter(8000, 1518))
    left, right = quiet.wires()
    for number in range(200):
        left.send(frame(number.to_bytes(2, "big") + bytes(1000), DATA))
    counters = running.event("counters")
    while not counters["dropped"]:
        counters = running.event("counters")
    assert counters["packets"] >= 200
    assert 150 < counters["dropped"] < 200
    assert right.receive() == frame(bytes(2) + bytes(1000), DATA)  # in order, from the first


def test_a_changed_rate_applies_to_what_waits(quiet: Row) -> None:
    running = quiet.start(rate_limiter(800, 1518))
    left, right = quiet.wires()
    sent = [frame(number.to_bytes(2, "big") + bytes(1000), DATA) for number in range(10)]
    for packet in sent:
        left.send(packet)
    assert right.receive() == sent[0]
    # at the old rate the last would come after a hundred seconds
    assert "message" not in running.replace(rate_limiter(1_000_000_000))
    came = right.until(lambda packet: packet == sent[-1])
    assert came == sent[1:]


def test_probes_do_not_wait_behind_what_is_limited(quiet: Row) -> None:
    quiet.start(rate_limiter(8000, 1518))
    left, right = quiet.wires()
    for near, far, to, by in ((left, right, RIGHT_MAC, LEFT_MAC), (right, left, LEFT_MAC, RIGHT_MAC)):
        for number in range(200):
            near.send(frame(number.to_bytes(2, "big") + bytes(1000), DATA, to, by))
        for number in range(10):
            probe = frame(bytes([number]).ljust(50), 0x88B5, to, by)
            near.send(probe)
            # what waits, some 30 frames, takes half a minute
            assert len(far.until(lambda packet, probe=probe: packet == probe)) < 10


def test_the_ethertype_of_probes_is_no_way_round_the_limit(quiet: Row) -> None:
    quiet.start(rate_limiter(8000, 1518))
    left, right = quiet.wires()
    sent = [frame(number.to_bytes(2, "big") + bytes(1000)) for number in range(500)]
    began = time.monotonic()
    for packet in sent:
        left.send(packet)
    right.until(lambda packet: packet == sent[100])
    assert time.monotonic() - began >= (100 * 1016 - 20_000) * 8 / 1_000_000


def test_what_waits_is_not_charged_to_its_sender(quiet: Row) -> None:
    """Open vSwitch in user space sends through one socket for all ports: full, it loses their frames."""
    quiet.start(rate_limiter(800, 1518))
    left, _ = quiet.wires()
    left.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel's least, some frames
    left.sock.settimeout(5)  # a frame leaves each ten seconds
    for _ in range(20):
        left.send(frame(bytes(1000), DATA))
