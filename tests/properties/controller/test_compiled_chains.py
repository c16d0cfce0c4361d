"""Properties of service chains over generated labs, found by evaluating the compiled tables."""

from __future__ import annotations

from itertools import permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.compiler.compile import compile_topology
from controller.flow.tables import ToGroup
from controller.simulate.network import Fabric, Outcome, symmetric, wire
from tests.unit.controller.made_chains import (
    Expected,
    Frame,
    chain_labs,
    expected,
    expected_chain,
    flow_hops_that_pass_everything,
    joined,
    packet,
    routed,
    tap_ports,
    without_mirrors,
)
from tests.unit.controller.made_frames import (
    BROADCAST,
    arp_request,
    multicast,
    router_solicitation,
    solicitation,
)
from tests.unit.strategies import one_of, pick, some_of
from topologies.model.attachment import InlineInstance
from topologies.model.overlay import islands
from topologies.model.service_paths import service
from topologies.model.topology import Host, Port, Topology
from wire.mac import mac_number

PACKETS = st.sampled_from(
    [
        *product(
            ("udp", "tcp", "icmp"),
            (80, 53, 1000, 1500, 1999, 2000, 3500, 65535, 40000),
            (40000, 80, 53, 1024, 65535),
            (False, True),
        )
    ]
)
"""Protocol, destination and source port, and whether it is IPv6."""

__all__ = ["flow_hops_that_pass_everything"]


def check(topology: Topology, outcome: Outcome, target: Host, frame: Frame, wanted: Expected) -> None:
    """One outcome is what was expected."""
    assert not outcome.loop and not outcome.punted
    assert len(outcome.visited) == len(wanted.ways), (outcome.visited, wanted.ways)
    for port, ways in zip(outcome.visited, wanted.ways, strict=True):
        assert port in ways
    taps = tap_ports(topology)
    arrived = [arrival for arrival in outcome.delivered if arrival.at not in taps]
    whole = wire(routed(frame, target))
    assert [(arrival.at, arrival.fields) for arrival in arrived] == (
        [(target.port, whole)] if wanted.arrives else []
    )
    copies = [arrival for arrival in outcome.delivered if arrival.at in taps]
    assert all(copy.fields == wire(frame) for copy in copies), "a tap saw another frame"
    assert len(copies) == len(wanted.taps)
    left = [copy.at for copy in copies]
    for ports in wanted.taps:
        (one,) = [port for port in left if port in ports]
        left.remove(one)


def pairs(topology: Topology) -> list[tuple[Host, Host]]:
    return [(a, b) for a, b in permutations(topology.hosts, 2) if joined(topology, a, b)]


def some_packet(data: st.DataObject, a: Host, b: Host) -> Frame:
    protocol, target, source, six = data.draw(PACKETS)
    if protocol == "icmp" and six:
        protocol = "icmpv6"
    return packet(a, b, protocol, (source, target), six)


@settings(max_examples=40)
@given(chain_labs(), st.data())
def test_every_packet_passes_exactly_its_chains_functions_in_order(
    topology: Topology, data: st.DataObject
) -> None:
    fabric = Fabric(topology, compile_topology(topology))
    for a, b in pairs(topology):
        frame = some_packet(data, a, b)
        wanted = expected(topology, a, b, frame)
        for outcome in fabric.outcomes(frame, a.port):
            check(topology, outcome, b, frame, wanted)


def reply(frame: Frame, source: Host, target: Host) -> Frame:
    """The answer that ``target`` sends to ``source``."""
    name = {6: "tcp", 17: "udp"}.get(frame["ip_proto"])
    six = frame["eth_type"] == 0x86DD
    if name is None:
        return packet(target, source, "icmpv6" if six else "icmp", six=six)
    return packet(target, source, name, (frame[f"{name}_dst"], frame[f"{name}_src"]), six)


@settings(max_examples=40)
@given(chain_labs(modes=("inline",), most_chains=1, instances=4), st.data())
def test_both_directions_of_a_connection_pass_the_same_instances(
    topology: Topology, data: st.DataObject
) -> None:
    fabric = Fabric(topology, compile_topology(topology), chooser=symmetric)
    other = {
        port: far
        for function in topology.functions
        for instance in function.instances
        if isinstance(instance, InlineInstance)
        for port, far in ((instance.inward, instance.outward), (instance.outward, instance.inward))
    }
    for a, b in pairs(topology):
        frame = some_packet(data, a, b)
        if not all(chain.symmetric for chain in topology.chains) or overlapping(topology, a, b, frame):
            continue
        (there,) = visited(fabric, frame, a)
        (back,) = visited(fabric, reply(frame, a, b), b)
        assert back == tuple(other[port] for port in reversed(there))


def overlapping(topology: Topology, a: Host, b: Host, frame: Frame) -> bool:
    """Whether the chain takes one direction only: all that goes to a host, but not what comes from all."""
    there, back = (
        expected_chain(topology, a.network, frame),
        expected_chain(topology, b.network, reply(frame, a, b)),
    )
    return there is None or back is None or there[1] == back[1]


def visited(fabric: Fabric, frame: Frame, source: Host) -> set[tuple[Port, ...]]:
    return {outcome.visited for outcome in fabric.outcomes(frame, source.port)}


@settings(max_examples=40)
@given(chain_labs(), st.data())
def test_failed_instances_are_passed_by_or_stop_traffic_as_the_policy_says(
    topology: Topology, data: st.DataObject
) -> None:
    names = [instance.name for function in topology.functions for instance in function.instances]
    failed = data.draw(some_of(*names))
    fabric = Fabric(topology, compile_topology(topology, failed=failed), failed=failed)
    for a, b in pairs(topology):
        frame = some_packet(data, a, b)
        wanted = expected(topology, a, b, frame, failed)
        for outcome in fabric.outcomes(frame, a.port):
            check(topology, outcome, b, frame, wanted)


@settings(max_examples=40)
@given(chain_labs(one_island=True, modes=("inline", "inline", "flows")), st.data())
def test_a_dead_link_alone_is_repaired_on_the_way_to_functions_as_to_hosts(
    topology: Topology, data: st.DataObject
) -> None:
    if not topology.links:
        return
    dead = data.draw(st.sampled_from(topology.links)).name
    fabric = Fabric(topology, compile_topology(topology), frozenset((dead,)))
    for a, b in pairs(topology):
        frame = some_packet(data, a, b)
        wanted = expected(topology, a, b, frame)
        for outcome in fabric.outcomes(frame, a.port):
            assert not outcome.loop
            # lost: only where the last switch had just one way, and no group to choose another
            ends = [step for step in outcome.steps if not step.ports]
            if not ends:
                check(topology, outcome, b, frame, wanted)
            for step in ends:
                done = [action for flow in step.flows for action in flow.actions]
                stopped = any("dropped" in flow.why for flow in step.flows)
                assert stopped or not any(isinstance(action, ToGroup) for action in done), step


@settings(max_examples=40)
@given(chain_labs(one_island=True, modes=("inline", "tap", "flows")), st.data())
def test_whatever_dies_at_once_nothing_circles_or_arrives_twice(
    topology: Topology, data: st.DataObject
) -> None:
    names = [link.name for link in topology.links]
    dead = data.draw(some_of(*names, most=4))
    fabric = Fabric(topology, compile_topology(topology), dead)
    for a, b in pairs(topology):
        frame = some_packet(data, a, b)
        wanted = expected(topology, a, b, frame)
        taps = frozenset(port for ports in wanted.taps for port in ports)
        for outcome in fabric.outcomes(frame, a.port):
            assert not outcome.loop and not outcome.punted
            # what arrives has been everywhere, and what does not has been there in order
            assert all(port in ways for port, ways in zip(outcome.visited, wanted.ways, strict=False))
            hosts = [arrival for arrival in outcome.delivered if arrival.at not in taps]
            assert len(hosts) <= 1 and len(outcome.visited) <= len(wanted.ways)
            if hosts:
                assert (hosts[0].at, hosts[0].fields) == (b.port, wire(routed(frame, b)))
                assert len(outcome.visited) == len(wanted.ways)


@settings(max_examples=40)
@given(chain_labs(), st.data())
def test_recompiled_without_some_links_chains_use_what_is_left(
    topology: Topology, data: st.DataObject
) -> None:
    names = [link.name for link in topology.links]
    down = data.draw(some_of(*names, most=2))
    island = islands(
        topology.model_copy(update={"links": tuple(e for e in topology.links if e.name not in down)})
    )
    if down and len(set(island.values())) > len(set(islands(topology).values())):
        return  # an island has fallen apart: nothing is promised
    fabric = Fabric(topology, compile_topology(topology, down_links=down), down)
    for a, b in pairs(topology):
        frame = some_packet(data, a, b)
        wanted = expected(topology, a, b, frame)
        for outcome in fabric.outcomes(frame, a.port):
            check(topology, outcome, b, frame, wanted)


def inward_ports(topology: Topology) -> set[Port]:
    return {
        port for function in topology.functions for instance in function.instances for port in instance.ports
    }


@settings(max_examples=40)
@given(chain_labs(modes=("inline", "tap")))
def test_arp_discovery_and_multicast_pass_no_function(topology: Topology) -> None:
    unwatched = without_mirrors(topology)
    fabric = Fabric(unwatched, compile_topology(unwatched))
    functions = inward_ports(topology)
    for a in topology.hosts:
        assert a.ipv4 and a.ipv6
        for b in topology.hosts:
            assert b.ipv4 and b.ipv6
            for frame in (
                arp_request(a, int(b.ipv4.ip)),
                solicitation(a, int(b.ipv6.ip)),
                solicitation(a, int(b.ipv6.ip), mac_number(b.mac)),
                multicast(a),
                router_solicitation(a),
            ):
                for outcome in fabric.outcomes(frame, a.port):
                    assert not outcome.visited
                    assert not {arrival.at for arrival in outcome.delivered} & functions


@st.composite
def hostile(draw: st.DrawFn, topology: Topology, source: Host) -> Frame:
    """A frame that a host may try: tagged or in NSH, with numbers of hops that there are; or a probe."""
    target = pick(draw, topology.hosts)
    frame = packet(source, target, "udp", (draw(one_of(1, 80)), 80))
    hops = service(topology).hops
    hop = hops[pick(draw, sorted(hops))]
    kind = draw(one_of("vlan", "nsh", "both", "probe"))
    if kind in ("nsh", "both"):
        frame = {"eth_src": frame["eth_src"], "eth_dst": frame["eth_dst"], "eth_type": 0x894F}
        frame |= {"nsh_spi": hop.spi, "nsh_si": hop.si}
    if kind in ("vlan", "both"):
        frame["vlan_vid"] = 0x1000 | hop.number
    if kind == "probe":
        frame = {"eth_src": frame["eth_src"], "eth_dst": frame["eth_dst"], "eth_type": 0x88B5}
    return frame


@settings(max_examples=40)
@given(chain_labs(), st.data())
def test_no_host_gets_a_frame_into_a_function_by_claiming_a_place_in_a_chain(
    topology: Topology, data: st.DataObject
) -> None:
    if not service(topology).hops:
        return
    free = without_mirrors(topology).model_copy(
        update={
            "hosts": tuple(
                h.model_copy(update={"allow_spoofing": data.draw(st.booleans())}) for h in topology.hosts
            ),
        }
    )
    if not service(free).hops:
        return
    fabric = Fabric(free, compile_topology(free))
    functions = inward_ports(free)
    network = {host.port: host.network for host in free.hosts}
    for a in free.hosts:
        frame = data.draw(hostile(free, a))
        for outcome in fabric.outcomes(frame, a.port):
            assert not outcome.visited and not outcome.loop
            assert not {arrival.at for arrival in outcome.delivered} & functions
            assert {network[arrival.at] for arrival in outcome.delivered} <= {a.network}


@settings(max_examples=40)
@given(chain_labs(modes=("inline",)), st.data())
def test_nothing_that_a_function_sends_leaves_the_networks_of_its_chains(
    topology: Topology, data: st.DataObject
) -> None:
    """A function of bad will: any addresses, tags, NSH."""
    fabric = Fabric(topology, compile_topology(topology))
    hops = service(topology).hops.values()
    for function in topology.functions:
        mine = {
            network for hop in hops if hop.function == function.name for network in (hop.network, hop.leaves)
        }
        routers = [set(router.networks) for router in topology.routers]
        mine |= {name for joined in routers if joined & mine for name in joined}
        for instance in function.instances:
            a, b = data.draw(st.sampled_from(topology.hosts)), data.draw(st.sampled_from(topology.hosts))
            frame = packet(a, b, "udp", (data.draw(st.sampled_from((80, 1))), 80))
            change = data.draw(
                st.sampled_from(
                    (
                        {},
                        {"vlan_vid": 0x1001},
                        {"eth_dst": BROADCAST},
                        {"eth_src": 1 << 40 | 5},
                        {"nw_ttl": 9},
                    )
                )
            )
            for port in instance.ports:
                for outcome in fabric.outcomes({**frame, **change}, port):
                    assert not outcome.loop
                    for arrival in outcome.delivered:
                        hosts = {host.port: host.network for host in topology.hosts}
                        assert hosts[arrival.at] in mine
                        assert "vlan_vid" not in dict(arrival.fields)


@settings(max_examples=40)
@given(chain_labs(most_chains=3))
def test_tables_are_sound(topology: Topology) -> None:
    """No flow hides another; what flows lead to exists; cookies are distinct; all say why."""
    for tables in compile_topology(topology).values():
        keys = [(one.table, one.priority, one.match) for one in tables.flows]
        assert len(set(keys)) == len(keys)
        assert len({one.cookie for one in tables.flows}) == len(tables.flows)
        assert all(one.why for one in tables.flows)
        used = {one.table for one in tables.flows}
        assert {one.goto for one in tables.flows if one.goto is not None} <= used
        wanted = {a.group for one in tables.flows for a in one.actions if isinstance(a, ToGroup)}
        assert wanted == {group.id for group in tables.groups}
