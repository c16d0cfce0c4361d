"""Verification against brute force: every frame of a small space, evaluated one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.compiler.compile import compile_topology
from controller.flow.tables import Output, SwitchTables
from controller.simulate.network import Fabric
from controller.verify.lab import Lab, packets_of
from controller.verify.lookup import SwitchIndex
from controller.verify.outcomes import Fabric as Classes
from controller.verify.outcomes import Outcome
from controller.verify.packets import Packets, Store
from controller.verify.states import ANY, Space
from controller.verify.values import Known, decided, narrowed, some_value, without
from tests.unit.controller.made_labs import lab
from topologies.model.topology import Topology
from wire.ethertype import ARP, IPV4
from wire.mac import mac_number


def holds(known: Store, frame: dict[str, int]) -> bool:
    """Whether a frame is of a class; of fields that it does not have nothing is asked."""
    return all(
        frame[name] & values.mask == values.value
        and all(frame[name] & mask not in left_out for mask, left_out in values.not_in)
        for name, values in known.items()
        if name in frame
    )


def frames(topology: Topology) -> list[dict[str, int]]:
    """The small space: all source, destination and target addresses, of hosts and of nobody."""
    macs = [mac_number(host.mac) for host in topology.hosts]
    addresses = [int(host.ipv4.ip) for host in topology.hosts if host.ipv4 is not None]
    space = []
    for source, target in product(macs, [*macs, 0x02FFFFFFFFFF, 0xFFFFFFFFFFFF]):
        ends = {"eth_src": source, "eth_dst": target, "vlan_vid": 0, "ip_frag": 0}
        for sender, asked in product(addresses, addresses):
            space.append({**ends, "eth_type": IPV4, "ip_src": sender, "ip_dst": asked, "ip_proto": 17})
            if target == 0xFFFFFFFFFFFF:
                more = {"arp_op": 1, "arp_spa": sender, "arp_tpa": asked, "arp_sha": source, "arp_tha": 0}
                space.append({**ends, "eth_type": ARP, **more})
        space.append({**ends, "eth_type": 0x88B5})
    return space


def verdict(outcome: Outcome) -> tuple[object, ...]:
    return sorted((one.at.switch, one.at.number) for one in outcome.delivered), outcome.loop


@st.composite
def broken_labs(draw: st.DrawFn) -> tuple[Topology, dict[str, SwitchTables], frozenset[str]]:
    """A small lab, its tables with some faults, and a cut."""
    count = draw(st.integers(2, 3))
    edges = draw(st.lists(st.sampled_from([(0, 1), (1, count - 1), (0, count - 1)]), min_size=1, max_size=3))
    edges = [edge for edge in edges if edge[0] != edge[1]] or [(0, 1)]
    hosts = draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=3))
    topology = lab(count, edges, hosts, draw(st.integers(1, 2)))
    tables = compile_topology(topology)
    for _ in range(draw(st.integers(0, 2))):
        switch = draw(st.sampled_from(sorted(tables)))
        held = tables[switch]
        at = draw(st.integers(0, len(held.flows) - 1))
        flow = held.flows[at]
        change = draw(st.sampled_from(["drop", "port", "silence"]))
        kept = [*held.flows[:at], *held.flows[at + 1 :]]
        if change == "port":
            port = draw(st.integers(1, 4))
            kept.insert(at, replace(flow, actions=(Output(port),), goto=None, cookie=at + 1))
        elif change == "silence":
            kept.insert(at, replace(flow, actions=(), goto=None, cookie=at + 1))
        tables[switch] = replace(held, flows=tuple(kept))
    cut = draw(st.frozensets(st.sampled_from([link.name for link in topology.links]), max_size=1))
    return topology, tables, cut


@settings(max_examples=12, deadline=None)
@given(broken_labs())
def test_classes_do_what_each_of_their_frames_does(
    broken: tuple[Topology, dict[str, SwitchTables], frozenset[str]],
) -> None:
    topology, tables, cut = broken
    single = Fabric(topology, tables, cut)
    indexes = {name: SwitchIndex(held) for name, held in tables.items()}
    dead: dict[str, frozenset[int]] = {}
    for link in topology.links:
        if link.name in cut:
            for end in (link.a, link.b):
                dead[end.switch] = dead.get(end.switch, frozenset()) | {end.number}
    classes = Classes(Space(topology, indexes), indexes, dead)
    for host in topology.hosts:
        start = classes.space.from_port(host.port)
        outcomes = classes.outcomes(start)
        for frame in frames(topology):
            wire = {name: value for name, value in frame.items() if name != "vlan_vid"}
            expected = {
                (tuple(sorted((one.at.switch, one.at.number) for one in outcome.delivered)), outcome.loop)
                for outcome in single.outcomes(wire, host.port)
            }
            mine = [outcome for outcome in outcomes if holds(outcome.known, frame)]
            assert {(tuple(verdict(outcome)[0]), outcome.loop) for outcome in mine} == expected, frame  # type: ignore[arg-type]


def test_the_class_of_a_pair_is_all_of_its_packets() -> None:
    topology = lab(2, [(0, 1)], [0, 1])
    a, b = topology.hosts
    way = Lab(topology).reached(a, b)
    assert way is not None
    known = packets_of(a, b, way, 4)
    assert known is not None
    for number in (0, 1, 3):
        frame = {"eth_src": way.by, "eth_dst": way.to, "eth_type": IPV4, "ip_frag": number, "vlan_vid": 0}
        assert holds(known, frame)
    assert not holds(ANY, {"ip_frag": 2}) and not holds(ANY, {"vlan_vid": 5})
    assert holds(ANY, {"vlan_vid": 0x1005}) and holds(ANY, {"vlan_vid": 0})


SMALL = st.integers(0, 15)
EXCLUDED = st.lists(st.tuples(SMALL, SMALL), max_size=5)


@given(SMALL, SMALL, EXCLUDED, SMALL, SMALL)
def test_sets_of_values(value: int, mask: int, excluded: list[tuple[int, int]], ask: int, bits: int) -> None:
    """Against the sixteen values of a field of four bits."""
    known: Known | None = Known(value & mask, mask)
    values = {x for x in range(16) if x & mask == value & mask}
    for left_out, at in excluded:
        if known is not None and at:
            known = without(known, frozenset((left_out & at,)), at, 4)
            values = {x for x in values if x & at != left_out & at}
            assert (known is None) == (not values)
    if known is None or not bits:
        return
    assert some_value(known, 4) in values
    wanted = ask & bits
    inside = {x for x in values if x & bits == wanted}
    answer = decided(known, wanted, bits)
    assert answer is not False or not inside
    assert answer is not True or inside == values
    narrow = narrowed(known, wanted, bits, 4)
    assert (narrow is None) == (not inside)
    assert narrow is None or some_value(narrow, 4) in inside


def test_packets_copy_what_is_known_of_a_field() -> None:
    packets = Packets({"ct_nw_src": "ip_src"}, {})
    some = packets.where("ct_nw_src", 7, 0xFFFFFFFF)
    assert some is not None and some.decide("ip_src", 7, 0xFFFFFFFF) is True
    assert some.where_not("ip_src", (7,), 0xFFFFFFFF) is None
