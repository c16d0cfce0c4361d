"""A rate limiter: what passes is bounded, nothing is stuck, and the rate changes while packets wait."""

from __future__ import annotations

import time

from programs import rate_limiter
from spaces import Row, bulk, frame


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
    sent = frame(bytes(1500))
    left.send(sent)
    assert right.receive() == sent


def test_what_is_too_much_is_counted(quiet: Row) -> None:
    running = quiet.start(rate_limiter(8000, 1518))
    left, right = quiet.wires()
    for number in range(200):
        left.send(frame(number.to_bytes(2, "big") + bytes(1000)))
    counters = running.event("counters")
    while not counters["dropped"]:
        counters = running.event("counters")
    assert counters["packets"] >= 200
    assert 150 < counters["dropped"] < 200
    assert right.receive() == frame(bytes(2) + bytes(1000))  # in order, from the first


def test_a_changed_rate_applies_to_what_waits(quiet: Row) -> None:
    running = quiet.start(rate_limiter(8000, 1518))
    left, right = quiet.wires()
    sent = [frame(number.to_bytes(2, "big") + bytes(1000)) for number in range(10)]
    for each in sent:
        left.send(each)
    assert right.receive() == sent[0]
    # at the old rate the last would come after ten seconds
    assert "message" not in running.replace(rate_limiter(1_000_000_000))
    came = right.until(lambda each: each == sent[-1], 4)
    assert came == sent[1:]
