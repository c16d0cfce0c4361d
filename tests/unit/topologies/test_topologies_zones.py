"""Zones of connection tracking, and how long each remembers a silent UDP connection."""

from __future__ import annotations

import pytest

import topologies
from topologies.model.functions import UDP_TIMEOUT
from topologies.model.zones import FUNCTION_ZONES, PORT_ZONES, function_zones, udp_timeouts

FILE = """
domains: [d1, d2]
networks: [home, outside]
routers: {gw: [home, outside]}
switches: {s1: {domain: d1}, s2: {domain: d2}}
hosts: {h1: {switch: s1, network: home}, h2: {switch: s2, network: home}, out: {switch: s2, network: outside}}
functions:
  wall: {kind: firewall, engine: openflow, networks: [home], udp-timeout: 5min}
  fw: {kind: firewall, engine: openflow, switch: s1}
  lb: {kind: load-balancer, switch: s2, port: 53, protocol: udp, backends: [h2], udp-timeout: 1h}
  gate: {kind: nat, switch: s2, network: outside, udp-timeout: 130s}
chains:
  out: {network: home, functions: [gate]}
"""


def test_each_function_and_each_guarded_port_has_a_zone_with_its_timeout() -> None:
    """RFC 4787, REQ-5: two minutes at least, unless the file says otherwise."""
    topology = topologies.loads(FILE)
    zones = function_zones(topology)
    timeouts = udp_timeouts(topology)
    assert timeouts["d1"][zones["fw"]] == UDP_TIMEOUT >= 120
    assert (timeouts["d2"][zones["lb"]], timeouts["d2"][zones["gate"]]) == (3600, 130)
    ports = {domain: [z for z in some if z in PORT_ZONES] for domain, some in timeouts.items()}
    assert {domain: len(some) for domain, some in ports.items()} == {"d1": 1, "d2": 1}
    assert all(timeouts[domain][zone] == 300 for domain, some in ports.items() for zone in some)
    assert set(zones.values()) <= set(FUNCTION_ZONES)


@pytest.mark.parametrize("engine", ["nftables", "openflow"])
def test_both_engines_take_the_key_and_remember_as_long_without_it(engine: str) -> None:
    text = "switches: [s1]\nhosts: {h1: s1}\nfunctions:\n  fw: {kind: firewall, engine: %s, switch: s1%s}\n"
    for more, seconds in (("", UDP_TIMEOUT), (", udp-timeout: 90s", 90)):
        (function,) = topologies.loads(text % (engine, more)).functions
        assert function.firewall.udp_timeout == seconds
