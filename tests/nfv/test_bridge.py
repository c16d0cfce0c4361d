"""A function that does nothing, like a wire."""

from __future__ import annotations

import pytest

from tests.nfv.programs import bridge
from tests.nfv.spaces import LEFT4, RIGHT4, Row, bulk, frame

GROUPS = [f"01:80:c2:00:00:0{last}" for last in "023e"]
"""Spanning tree, LACP, 802.1X, LLDP."""


@pytest.mark.parametrize(
    "to", ["02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01", "01:00:5e:00:00:fb", *GROUPS]
)
def test_passes_every_frame_unchanged_both_ways(to: str, quiet: Row) -> None:
    quiet.start(bridge())
    left, right = quiet.wires()
    for near, far in ((left, right), (right, left)):
        for ethertype in (0x88B5, 0x0800, 0x86DD, 0x0806, 0x88CC):
            sent = frame(b"anything".ljust(100), ethertype, to=to)
            near.send(sent)
            assert far.receive() == sent


def test_an_address_that_changes_sides_is_followed(quiet: Row) -> None:
    quiet.start(bridge())
    left, right = quiet.wires()
    there, back = frame(b"there".ljust(50)), frame(b"back".ljust(50))  # the same addresses
    for _ in range(3):
        left.send(there)
        assert right.receive() == there
        right.send(back)
        assert left.receive() == back


def test_says_nothing_by_itself(quiet: Row) -> None:
    left, right = quiet.wires()
    running = quiet.start(bridge())
    running.event("counters")
    running.event("counters")
    assert (left.receive(0.01), right.receive(0.01)) == (None, None)


def test_tcp_in_super_packets(row: Row) -> None:
    running = row.start(bridge())
    bulk(row, 20_000_000)
    counters = running.event("counters")
    while counters["bytes"] < 20_000_000:
        counters = running.event("counters")
    assert counters["dropped"] == 0
    assert counters["packets"] < 20_000_000 / 1514 / 2  # they stayed large
    assert row.left.run("ping", "-c1", "-W5", "-I", LEFT4, RIGHT4)


def test_ends_with_its_input(quiet: Row) -> None:
    running = quiet.start(bridge())
    assert running.replace(bridge())["state"] == "running"
    assert running.close() == 0


def test_without_its_devices_it_is_failed_with_a_message(quiet: Row) -> None:
    quiet.middle.run("ip", "link", "delete", "out")
    started = quiet.start(bridge(), running=False)
    state = started.event("state")
    assert state["state"] == "failed"
    assert "out" in state["message"]
    assert started.process.wait(10) == 1
