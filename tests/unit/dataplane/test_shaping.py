"""What a shaped wire takes at once, and what may be sent over it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.netlink.shaping import LARGEST, burst_of, largest_packet, token_bucket
from dataplane.plan.lab import plan
from tests.unit.dataplane.labs import line
from topologies.model.topology import Shaping

rates = st.integers(1, 40_000_000_000)


@given(st.lists(rates, max_size=4))
def test_no_packet_is_larger_than_any_bucket_on_its_way(wires: list[int]) -> None:
    largest = largest_packet(Shaping(bandwidth=bandwidth) for bandwidth in wires)
    assert 10_000 < largest <= LARGEST
    frames = -(-largest // 1448)
    assert all(largest + frames * 136 <= burst_of(bandwidth) for bandwidth in wires)  # IPv6 and TCP in VXLAN


@given(rates)
def test_a_bucket_and_its_queue_hold_several_of_the_largest_packets(rate: int) -> None:
    limit = struct.unpack_from("=I", token_bucket(Shaping(bandwidth=rate)), 4 + 24)[0]
    assert limit >= 2 * largest_packet([Shaping(bandwidth=rate)])


@pytest.mark.parametrize(
    ("bandwidth", "limited"), [(10_000_000, True), (1_000_000_000, False), (None, False)]
)
def test_every_host_of_a_lab_with_a_slow_wire_sends_smaller_packets(
    bandwidth: int | None, limited: bool
) -> None:
    planned = plan(line(2, shaping=Shaping(bandwidth=bandwidth)))
    for key, wire in planned.wires.items():
        assert (wire.largest < LARGEST) is (limited and key[0] != "link")


def test_a_rate_limiters_bucket_counts_as_a_wires() -> None:
    assert largest_packet([], [20_000, 65_536]) == 18_000
    assert largest_packet([Shaping(bandwidth=10_000_000)], [200_000]) < 16_384
    assert largest_packet([], [100]) == 1514  # which is no packet of several frames
