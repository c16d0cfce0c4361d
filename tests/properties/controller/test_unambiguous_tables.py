"""No table ever holds two flows of one key: whoever claims whatever, and whatever changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.compiler.compile import Learned, compile_topology
from controller.compiler.stations import owners
from controller.flow.tables import SwitchTables, Table
from controller.runtime.learning import Learning
from controller.update.consistent_update import stages
from tests.unit.controller.made_chains import chain_labs
from tests.unit.controller_runtime import made_packets
from topologies import loads
from topologies.model.topology import Topology
from wire.mac import link_local, mac_number

compiled = lru_cache(maxsize=200)(compile_topology)
"""Examples often compile the same again."""
LAB = loads("""
networks:
  lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}
  wan: {subnet4: 192.0.2.0/24, subnet6: "fd01::/64"}
switches: [s1, s2]
links: [s1 -- s2]
routers: {r: [lan, wan]}
hosts:
  a: {switch: s1, network: lan, allow-spoofing: true}
  b: {switch: s2, network: lan, allow-spoofing: true}
  c: {switch: s1, network: lan}
  w: {switch: s2, network: wan, allow-spoofing: true}
functions:
  nat: {kind: nat, switch: s2, network: wan, ipv4: 192.0.2.200}
  four: {kind: load-balancer, switch: s1, ipv4: 10.0.0.100, ipv6: "fd00::100", port: 53,
         protocol: udp, backends: [c]}
  seven: {kind: load-balancer, engine: haproxy, switch: s2, ipv4: 10.0.0.101, port: 80,
          backends: [c]}
chains:
  out: {network: lan, functions: [nat]}
""")
MACS = sorted({station.mac for station in owners(LAB)} | {0x02AA00000001, 0x02AA00000002})
FOUR = sorted({station.ipv4 for station in owners(LAB) if station.ipv4} | {0x0A0000C8, 0xC0000263})
SIX = sorted(
    {address for station in owners(LAB) for family, address in station.addresses() if family == 6}
    | {link_local(0x02AA00000001), 0xFD << 120 | 0xC8}
)


def keys_are_unique(tables: Iterable[SwitchTables]) -> None:
    for held in tables:
        known: dict[object, str] = {}
        for flow in held.flows:
            key = (flow.table, flow.priority, frozenset(flow.match))
            assert key not in known, f"{held.switch}, {flow.table.name}: {known[key]} and {flow.why}"
            known[key] = flow.why


CLAIMS = st.tuples(
    st.sampled_from([*product(["a", "b", "c", "w"], MACS, (False, True))]),
    st.sampled_from([*product((4,), FOUR, FOUR)]) | st.sampled_from([*product((6,), SIX, SIX)]),
)
"""A host, the MAC address that it claims, whether it asks; the family, its address and the other's."""


@settings(max_examples=150)
@given(st.lists(CLAIMS, max_size=12))
def test_whatever_hosts_claim_on_the_wire(
    claims: list[tuple[tuple[str, int, bool], tuple[int, int, int]]],
) -> None:
    learning = Learning(LAB)
    ports = {host.name: host.port for host in LAB.hosts}
    free = {host.port: host.allow_spoofing for host in LAB.hosts}
    for now, ((host, mac, asks), (family, sender, target)) in enumerate(claims):
        if family == 4:
            frame = (
                made_packets.arp_request(mac, sender, target)
                if asks
                else made_packets.arp_reply(mac, sender, 1, target)
            )
        else:
            make = (
                made_packets.solicitation if asks else lambda m, s, t: made_packets.advertisement(m, s, 1, t)
            )
            frame = make(mac, sender, target)
        learning.packet(ports[host], Table.CLASSIFY, frame, float(now))
    keys_are_unique(compiled(LAB, learned=learning.learned()).values())
    for station in learning.stations:
        # A host that may send from any source has its own addresses at another MAC address, nobody else has.
        others = {
            (own.network, one)
            for own in owners(LAB)
            for one in own.addresses()
            if own.port != station.port or not free[station.port]
        }
        assert not others & {(station.network, (4, one)) for one in station.ipv4}
        assert not others & {(station.network, (6, one)) for one in station.ipv6}
        for own in owners(LAB):
            if (own.network, own.mac) == (station.network, station.mac):
                assert own.port == station.port, "only further addresses of its own host"


@settings(max_examples=100)
@given(
    st.lists(
        st.builds(
            Learned,
            st.sampled_from(["lan", "wan"]),
            st.sampled_from(MACS),
            st.sampled_from([host.port for host in LAB.hosts]),
            st.none() | st.sampled_from(FOUR).map(IPv4Address),
            st.none() | st.sampled_from(SIX).map(IPv6Address),
        ),
        max_size=8,
    )
)
def test_whatever_the_compiler_is_told_was_learned(learned: list[Learned]) -> None:
    """As from an earlier controller's memory, which knew another intent."""
    keys_are_unique(compiled(LAB, learned=tuple(learned)).values())


def staged(old: Mapping[str, SwitchTables], new: Mapping[str, SwitchTables]) -> None:
    for stage in stages(old, new):
        keys_are_unique(stage.values())


@settings(max_examples=40)
@given(chain_labs(), st.data())
def test_any_chains_and_all_stages_between_them(topology: Topology, data: st.DataObject) -> None:
    old = compiled(topology)
    keys_are_unique(old.values())
    kept = [chain for chain in topology.chains if data.draw(st.booleans())]
    other = [
        chain.model_copy(update={"path": chain.path + 10, "functions": chain.functions[::-1]})
        for chain in kept
    ]
    new = compiled(topology.model_copy(update={"chains": tuple(other)}))
    staged(old, new)
    staged(new, old)


def test_a_link_local_address_of_another_mac_address_is_answered_for_by_who_has_it() -> None:
    strange = Learned("lan", 0x02AA00000001, LAB.hosts[0].port, None, IPv6Address(link_local(0x02AA00000002)))
    tables = compile_topology(LAB, learned=(strange,))["s1"]
    own = next(entry for entry in tables.flows if "02:aa:00:00:00:01 answered" in entry.why)
    pattern = [entry for entry in tables.flows if "link-local address that contains its MAC" in entry.why]
    assert pattern and all(entry.priority < own.priority for entry in pattern)
    assert mac_number("02:aa:00:00:00:01") == strange.mac
