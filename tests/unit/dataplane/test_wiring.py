"""Cutting and failing, in any order, is the difference of two states."""

from __future__ import annotations

from dataplane.plan.lab import plan
from dataplane.plan.wiring import link_states, wiring, with_near_ends
from tests.unit.dataplane.labs import line

NONE: frozenset[str] = frozenset()


def ports(links: frozenset[str], switches: frozenset[str], domains: int = 1) -> dict[str, set[int]]:
    state = wiring(plan(line(3, domains)), links, switches)
    return {
        switch: {port.number for port in ports_of_switch} for switch, ports_of_switch in state.ports.items()
    }


def test_a_cut_patch_link_loses_both_its_ports() -> None:
    assert ports(NONE, NONE) == {"s1": {1, 3}, "s2": {1, 2, 3}, "s3": {1, 2}}
    assert ports(frozenset({"s1-s2"}), NONE) == {"s1": {1}, "s2": {1, 3}, "s3": {1, 2}}


def test_a_failed_switch_takes_its_neighbours_patch_ports() -> None:
    assert ports(NONE, frozenset({"s2"})) == {"s1": {1}, "s3": {1}}


def test_a_cut_veth_link_keeps_its_ports_and_has_both_ends_down() -> None:
    state = wiring(plan(line(3, 3)), frozenset({"s1-s2"}), NONE)
    assert {port.number for port in state.ports["s1"]} == {1, 3}
    assert state.down == {("domain-d1", "s1-eth3"), ("domain-d2", "s2-eth2")}


def test_at_a_failed_switch_only_its_own_ends_are_down() -> None:
    state = wiring(plan(line(3, 3)), NONE, frozenset({"s2"}))
    assert state.down == {("domain-d2", f"s2-eth{n}") for n in (1, 2, 3)}


def test_a_hosts_wire_is_unplugged_at_the_switch() -> None:
    state = wiring(plan(line(2)), frozenset({"h1-s1"}), NONE)
    assert state.down == {("domain-d1", "s1-eth1")}


def test_a_far_end_that_gets_a_carrier_gives_one_to_the_near_end() -> None:
    ends = frozenset({("domain-d1", "s1-eth1"), ("domain-d2", "s2-eth2")})
    assert with_near_ends(plan(line(3, 3)), ends) == ends | {("h1", "h1-eth0")}


def test_link_states_tell_cut_links_and_those_of_failed_switches() -> None:
    planned = plan(line(3))
    states = link_states(planned, frozenset({"s1-s2"}), frozenset({"s3"}))
    assert states == {"s1-s2": False, "s2-s3": False, "h1-s1": True, "h2-s2": True, "h3-s3": False}
