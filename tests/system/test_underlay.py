"""The data plane of overlays by itself: tunnels and moves with switches that forward as ordinary ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

import topologies
from dataplane.fabric.fabric import Fabric
from tests.system.dataplane_lab import (
    ORDINARY,
    as_user,
    forward_normally,
    inside,
    loosened_tun,
    reaches,
    run,
    why_no_lab,
)
from tests.waiting import until
from topologies.edit import move

# one network: ordinary switches know nothing of several
CROSSING = topologies.loads(
    b"""
domains: [d1, d2]
networks:
  blue: {vni: 100, subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}
switches: {s1: {domain: d1}, s2: {domain: d2}}
hosts: {h1: s1, h2: s2}
underlay: {routers: [r1, r2], links: [d1 -- r1, d1 -- r2, d2 -- r1, d2 -- r2]}
""",
    "crossing.yaml",
)
_WHY = why_no_lab(CROSSING)
pytestmark = pytest.mark.skipif(bool(_WHY), reason=_WHY or "labs can run")


def pings(_fabric: Fabric) -> list[bool]:
    return [reaches("h1", "10.0.0.2", 2), reaches("h2", "fd00::1", 2)]


def test_two_domains_are_one_segment() -> None:
    assert inside(CROSSING, pings) == [True, True]


@pytest.fixture
def loose_tun() -> Iterator[None]:
    with loosened_tun():
        yield


@pytest.mark.skipif(os.geteuid() != 0, reason="is the ordinary case for a test run by an ordinary user")
def test_an_ordinary_user_has_tunnels_and_a_routed_underlay(loose_tun: None) -> None:
    def body(fabric: Fabric) -> Any:
        before = pings(fabric)
        fabric.set_link("d1-r1", False)
        return before, run("ip netns exec underlay-d1 ip route show 198.19.0.2")

    reached, route = as_user(ORDINARY, lambda: inside(CROSSING, body))
    assert reached == [True, True]
    assert "d1-r1" not in route.replace("nexthop via 198.19.128.1 dev d1-r1 weight 1 dead linkdown", "")


def test_the_kernel_forwards_what_the_plan_says() -> None:
    def body(fabric: Fabric) -> dict[str, str]:
        return {
            device.netns: run(f"ip netns exec {device.netns} bridge fdb show dev {device.device}")
            for device in fabric.plan.underlay.devices
        }

    entries = inside(CROSSING, body)
    assert set(entries) == {"domain-d1", "domain-d2"}
    lines = sorted(entries["domain-d1"].split("\n"))
    assert [line.split(" self")[0].split(" link-netnsid")[0] for line in lines if line] == [
        "00:00:00:00:00:00 dst 198.19.0.2",
        "02:00:00:00:00:02 dst 198.19.0.2",
    ]


def test_a_host_that_moves_keeps_its_interface_and_its_cut_wire() -> None:
    def body(fabric: Fabric) -> Any:
        def addresses() -> str:  # the kernel calls a new link-local address tentative for a second
            return run("ip netns exec h1 ip -o address").replace(" tentative", "")

        before = addresses()
        fabric.replace(move(fabric.topology, "h1", "s2"))
        forward_normally(fabric, "s2")
        there = reaches("h1", "10.0.0.2", 2)
        fabric.set_link("h1-s2", False)
        fabric.replace(move(fabric.topology, "h1", "s1"))
        cut = fabric.link_states()["h1-s1"], reaches("h1", "10.0.0.2")
        fabric.set_link("h1-s1", True)
        until(lambda: reaches("h1", "10.0.0.2"), "the mended wire carries")
        back = reaches("h1", "10.0.0.2", 2)
        return there, cut, back, addresses() == before

    assert inside(CROSSING, body) == [True, [False, False], True, True]
