"""Fragments go where their datagram goes: properties over generated labs, found by evaluating the tables."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.compiler.compile import compile_topology
from controller.simulate.network import Fabric, symmetric, wire
from controller.simulate.tracking import Connections
from tests.properties.controller.test_compiled_chains import pairs, some_packet
from tests.unit.controller.made_chains import (
    Asked,
    Frame,
    chain,
    chain_labs,
    flow_hops_that_pass_everything,
    packet,
    routed,
    tap_ports,
    with_functions,
)
from tests.unit.controller.made_frames import pieces
from tests.unit.controller.made_labs import lab
from topologies.model.attachment import InlineInstance
from topologies.model.topology import Host, Port, Topology

__all__ = ["flow_hops_that_pass_everything"]


def followed(fabric: Fabric, frames: list[tuple[Frame, Host]]) -> tuple[Counter[Port], Counter[object]]:
    """Function ports that frames went into, and what arrived where, of all these frames in order."""
    visited, arrived = Counter[Port](), Counter[object]()
    for frame, source in frames:
        (outcome,) = fabric.outcomes(frame, source.port)
        assert not outcome.loop and not outcome.punted
        visited += Counter(outcome.visited)
        arrived += Counter((arrival.at, arrival.fields) for arrival in outcome.delivered)
    return visited, arrived


def by_function(topology: Topology, ports: Counter[Port]) -> Counter[tuple[str, bool]]:
    """How often each function was entered at either side."""
    entered = Counter[tuple[str, bool]]()
    for function in topology.functions:
        for instance in function.instances:
            entered[function.name, True] += ports[instance.inward]
            if isinstance(instance, InlineInstance):
                entered[function.name, False] += ports[instance.outward]
    return entered


@settings(max_examples=60)
@given(chain_labs(), st.data())
def test_the_fragments_of_a_datagram_go_where_it_would_go_whole(
    topology: Topology, data: st.DataObject
) -> None:
    tables = compile_topology(topology)
    ways = (
        data.draw(st.lists(st.sampled_from(pairs(topology)), min_size=1, max_size=3))
        if pairs(topology)
        else []
    )
    sent: list[tuple[Frame, Host]] = []
    visited, arrived = Counter[Port](), Counter[object]()
    taps = tap_ports(topology)
    for number, (a, b) in enumerate(ways, 1):
        frame = some_packet(data, a, b)
        for port, times in followed(Fabric(topology, tables, chooser=symmetric), [(frame, a)])[0].items():
            visited[port] += 3 * times
        parts = pieces(frame, number)
        arrived += Counter((b.port, wire(routed(fragment, b))) for fragment in parts)
        sent += [(fragment, a) for fragment in parts]
    mixed = data.draw(st.permutations(sent))
    fabric = Fabric(topology, tables, chooser=symmetric, connections=Connections())
    entered, arrivals = followed(fabric, mixed)
    # fragments are spread by addresses alone: maybe to another instance, but all of a datagram to one
    assert by_function(topology, entered) == by_function(topology, visited)
    assert all(times % 3 == 0 for times in entered.values())
    assert Counter({arrival: n for arrival, n in arrivals.items() if arrival[0] not in taps}) == arrived  # type: ignore[index]


def two_chains(instances: int = 1) -> Topology:
    """h1 and h2 on s1 and s2; UDP to port 53 through f1, to port 514 through f2, which are on s2."""
    topology = with_functions(lab(2, [(0, 1)], [0, 1]), [Asked("inline", 1, instances), Asked("inline", 1)])
    h1, h2 = topology.hosts
    topology = chain(topology, h1, h2, ("f1",), path=1, protocol="udp", ports=((53, 53),))
    return chain(topology, h1, h2, ("f2",), path=2, protocol="udp", ports=((514, 514),))


def test_nothing_of_a_datagram_passes_before_all_of_it_is_there() -> None:
    topology = two_chains()
    h1, h2 = topology.hosts
    tables = compile_topology(topology)
    for six in (False, True):
        for port in (53, 514, 99):
            first, *later = pieces(packet(h1, h2, "udp", (40000, port), six), 1)
            for some in ([first], later, [first, later[0]], [first, later[0], later[0]], [later[0]] * 3):
                fabric = Fabric(topology, tables, chooser=symmetric, connections=Connections())
                visited, arrived = followed(fabric, [(fragment, h1) for fragment in some])
                assert not visited and not arrived


def test_datagrams_of_two_tenants_are_not_taken_for_one() -> None:
    """Both use the same addresses and identification: tracking tells them apart by the zone alone."""
    from tests.unit.controller.made_overlays import overlay_lab

    base = overlay_lab([1], [], [(0, 0), (0, 0), (0, 1), (0, 1)], [], "kernel")
    same = {host.name: {"ipv4": other.ipv4, "ipv6": other.ipv6}
            for host, other in zip(base.hosts[2:], base.hosts[:2], strict=True)}  # fmt: skip
    hosts = tuple(host.model_copy(update=same.get(host.name, {})) for host in base.hosts)
    topology = with_functions(base.model_copy(update={"hosts": hosts}), [Asked("inline", 0)])
    for path, (a, b) in enumerate((topology.hosts[:2], topology.hosts[2:]), 1):
        topology = chain(topology, a, b, ("f1",), path=path, protocol="udp", ports=((53, 53),))
    a, b, other, _ = topology.hosts
    fabric = Fabric(topology, compile_topology(topology), chooser=symmetric, connections=Connections())
    mine, foreign = (
        pieces(packet(one, two, "udp", (40000, 53)), 7)
        for one, two in (topology.hosts[:2], topology.hosts[2:])
    )
    # two of the one and one of the other are three of nobody
    visited, arrived = followed(fabric, [(mine[0], a), (mine[1], a), (foreign[2], other)])
    assert not visited and not arrived
    visited, arrived = followed(fabric, [(mine[2], a)])
    assert set(arrived) == {(b.port, wire(fragment)) for fragment in mine}
