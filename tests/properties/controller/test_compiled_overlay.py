"""Properties of overlays over generated labs: reached exactly once, isolated, never looping."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.compiler.compile import Learned, compile_topology
from controller.flow.tables import CONTROLLER
from controller.simulate.network import Fabric, Outcome, wire
from tests.unit.controller.made_frames import BROADCAST, arp_request, ipv4, ipv6, multicast, solicitation
from tests.unit.controller.made_overlays import overlay_lab, overlay_labs
from tests.unit.strategies import one_of_each, pick
from topologies.model.overlay import islands, overlay
from topologies.model.topology import Host, Port, Topology
from wire.mac import link_local, mac_number

compiled = lru_cache(maxsize=200)(compile_topology)
"""Examples often compile the same again."""
GATEWAY = 0x00005E000101
Frame = dict[str, int]


def delivered(outcomes: frozenset[Outcome]) -> list[tuple[Port, Frame]]:
    """All that arrives, in whatever way is chosen."""
    assert outcomes and not any(outcome.loop for outcome in outcomes)
    return [(arrival.at, dict(arrival.fields)) for outcome in outcomes for arrival in outcome.delivered]


def routes_between(topology: Topology) -> set[tuple[str, str]]:
    """Ordered pairs of different networks that a router joins."""
    return {pair for router in topology.routers for pair in permutations(router.networks, 2)}


def may_reach(topology: Topology) -> set[tuple[str, str]]:
    return {(n.name, n.name) for n in topology.networks} | routes_between(topology)


def joined(topology: Topology) -> Callable[[Host, Host], bool]:
    """Whether the file promises that a host reaches another: on one island, or in a network that crosses."""
    island = islands(topology)
    crosses = {uplink.network for uplink in overlay(topology).uplinks}
    return lambda a, b: island[a.port.switch] == island[b.port.switch] or b.network in crosses


@settings(max_examples=150, deadline=None)
@given(overlay_labs())
def test_every_pair_of_a_network_is_reached_exactly_once(topology: Topology) -> None:
    fabric, promised = Fabric(topology, compiled(topology)), joined(topology)
    for a, b in permutations(topology.hosts, 2):
        for frame in (ipv4(a, b), ipv6(a, b)):
            outcomes = fabric.outcomes(frame, a.port)
            got = delivered(outcomes)
            if a.network == b.network:
                assert promised(a, b)  # all domains are one underlay here
                assert [(b.port, dict(wire(frame)))] * len(outcomes) == got
            else:
                assert not [port for port, _ in got if port == b.port]


@settings(max_examples=100, deadline=None)
@given(overlay_labs())
def test_a_router_takes_one_hop_and_leads_to_its_networks_only(topology: Topology) -> None:
    fabric = Fabric(topology, compiled(topology))
    for a, b in permutations(topology.hosts, 2):
        for frame in (ipv4(a, b), ipv6(a, b)):
            frame |= {"eth_dst": GATEWAY, "nw_ttl": 9}
            outcomes = fabric.outcomes(frame, a.port)
            got = delivered(outcomes)
            if (a.network, b.network) in routes_between(topology):
                routed = {**frame, "eth_src": GATEWAY, "eth_dst": mac_number(b.mac), "nw_ttl": 8}
                assert got == [(b.port, dict(wire(routed)))] * len(outcomes)
            else:
                own = {h.port for h in topology.hosts if h.network == a.network}
                assert {port for port, _ in got} <= own
            if any(a.network in router.networks for router in topology.routers):
                for ttl in (0, 1):
                    outcomes = fabric.outcomes(frame | {"nw_ttl": ttl}, a.port)
                    assert not delivered(outcomes)
                    assert all(
                        [arrival.at.number for arrival in outcome.punted] == [CONTROLLER]
                        for outcome in outcomes
                    )


KINDS = one_of_each(
    ("ipv4", "ipv6", "vxlan", "arp", "na", "other"), (False, True), (True, False, False, False)
)
"""What a frame is, whether it claims its sender's MAC address, and whether it is tagged."""
FRAMES = 8
"""In each lab: drawing and compiling a lab takes longer than sending a frame."""
TTLS = st.sampled_from((0, 1, 2, 64))


@st.composite
def hostile(draw: st.DrawFn, topology: Topology) -> tuple[Host, Frame]:
    """A host, and a frame with addresses of its choice: of anybody, of the gateway, of a VTEP, of nobody."""
    source, other = pick(draw, topology.hosts), pick(draw, topology.hosts)
    macs = [mac_number(host.mac) for host in topology.hosts]
    macs += [GATEWAY, BROADCAST, 0x01005E0000FB, 0x02AAAAAAAAAA]
    kind, own, tagged = draw(KINDS)
    frame: Frame = {"eth_src": pick(draw, macs), "eth_dst": pick(draw, macs)}
    if own:
        frame["eth_src"] = mac_number(source.mac)
    if tagged:
        frame["vlan_vid"] = 0x1000 | draw(st.integers(0, 4095))
    assert other.ipv4 and other.ipv6 and topology.underlay
    vtep = int(pick(draw, topology.underlay.vteps).address)
    four = [*product((int(other.ipv4.ip), vtep, 0x08080808, 0), repeat=2)]
    six = [*product((int(other.ipv6.ip), link_local(mac_number(other.mac)), 0), repeat=2)]
    a, b = pick(draw, six if kind in ("ipv6", "na") else four)
    if kind in ("ipv4", "vxlan"):
        frame |= {"eth_type": 0x0800, "ip_src": a, "ip_dst": b, "ip_proto": 17, "nw_ttl": draw(TTLS)}
        if kind == "vxlan":
            frame |= {"ip_dst": vtep, "udp_dst": 4789, "udp_src": 5555}
    elif kind == "ipv6":
        frame |= {"eth_type": 0x86DD, "ipv6_src": a, "ipv6_dst": b, "ip_proto": 17, "nw_ttl": draw(TTLS)}
    elif kind == "arp":
        frame |= arp_request(source, a) | {"eth_src": frame["eth_src"], "eth_dst": frame["eth_dst"]}
        frame |= {"arp_op": pick(draw, (1, 2)), "arp_spa": b, "arp_sha": pick(draw, macs)}
    elif kind == "na":
        frame |= solicitation(source, a) | {"eth_src": frame["eth_src"], "eth_dst": frame["eth_dst"]}
        frame |= {"icmpv6_type": 136, "ipv6_src": b}
    else:
        frame["eth_type"] = 0x88B5
    return source, frame


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_frame_reaches_a_port_of_another_network(data: st.DataObject) -> None:
    """Whatever a host sends: it stays in its network, and leaves it only by the network's router."""
    topology = data.draw(overlay_labs())
    fabric = Fabric(topology, compiled(topology))
    network = {host.port: host.network for host in topology.hosts}
    for _ in range(FRAMES):
        source, frame = data.draw(hostile(topology))
        for port, fields in delivered(fabric.outcomes(frame, source.port)):
            if port == source.port:  # the switch's own answer
                continue
            assert (source.network, network[port]) in may_reach(topology)
            if network[port] != source.network:
                assert frame["eth_dst"] == GATEWAY and fields["eth_src"] == GATEWAY


def is_its_own(host: Host, frame: Frame) -> bool:
    """What a port lets through, said a second time: by what the frame claims."""
    assert host.ipv4 and host.ipv6
    mac, four = mac_number(host.mac), int(host.ipv4.ip)
    six = {int(host.ipv6.ip), link_local(mac)}
    if frame["eth_src"] != mac or "vlan_vid" in frame:
        return False
    if frame["eth_type"] == 0x0806:
        return frame["arp_sha"] == mac and frame["arp_spa"] in (four, 0)
    if frame["eth_type"] == 0x0800:
        return frame["ip_src"] == four
    if frame["eth_type"] == 0x86DD:
        if frame.get("icmpv6_type") == 136:
            return frame["ipv6_src"] == frame["nd_target"] and frame["nd_target"] in six
        return frame["ipv6_src"] in six or (frame["ipv6_src"] == 0 and bool(frame["eth_dst"] >> 40 & 1))
    return True


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_port_takes_its_hosts_own_source_addresses_only(data: st.DataObject) -> None:
    topology = data.draw(overlay_labs(free=False))
    fabric = Fabric(topology, compiled(topology))
    for _ in range(FRAMES):
        source, frame = data.draw(hostile(topology))
        outcomes = fabric.outcomes(frame, source.port)
        if not is_its_own(source, frame):
            assert outcomes == frozenset((Outcome(),)), "a forged frame went somewhere"


@settings(max_examples=100, deadline=None)
@given(overlay_labs())
def test_broadcasts_reach_every_other_member_once_and_nobody_else(topology: Topology) -> None:
    """On however many islands; and what is for an unknown address goes nowhere."""
    fabric, island = Fabric(topology, compiled(topology)), islands(topology)
    crosses = {uplink.network for uplink in overlay(topology).uplinks}
    for host in topology.hosts:
        members = sorted(
            str(other.port)
            for other in topology.hosts
            if other.network == host.network and other != host
            if other.network in crosses or island[other.port.switch] == island[host.port.switch]
        )
        unknown = {**ipv4(host, host), "eth_dst": 0x02BBBBBBBBBB}
        for frame in (multicast(host), unknown):
            (outcome,) = fabric.outcomes(frame, host.port)
            got = sorted(str(one.at) for one in outcome.delivered)
            assert got == ([] if frame is unknown else members)
            assert not outcome.punted and not outcome.loop


@settings(max_examples=60, deadline=None)
@given(overlay_labs(tunnels="kernel"))
def test_both_kinds_of_tunnels_do_the_same(topology: Topology) -> None:
    assert topology.underlay
    other = topology.model_copy(update={"underlay": topology.underlay.model_copy(update={"tunnels": "ovs"})})
    one, two = (Fabric(variant, compiled(variant)) for variant in (topology, other))
    for a, b in permutations(topology.hosts, 2):
        for frame in (ipv4(a, b), multicast(a)):
            assert one.outcomes(frame, a.port) == two.outcomes(frame, a.port)


def test_gateways_answer_arp_nd_and_ping_everywhere_alike() -> None:
    topology = overlay_lab([1, 1], [], [(0, 0), (1, 0), (1, 1)], routed=[[0, 1]])
    fabric = Fabric(topology, compiled(topology))
    gateway = topology.networks[0]
    assert gateway.gateway4 and gateway.gateway6
    for host in topology.hosts[:2]:
        assert host.ipv4 and host.ipv6
        ((port, answer),) = delivered(fabric.outcomes(arp_request(host, int(gateway.gateway4.ip)), host.port))
        assert port == host.port and answer["arp_sha"] == answer["eth_src"] == GATEWAY
        ((port, answer),) = delivered(
            fabric.outcomes(solicitation(host, int(gateway.gateway6.ip)), host.port)
        )
        assert port == host.port and answer["nd_tll"] == GATEWAY
        echo = {**ipv4(host, host), "eth_dst": GATEWAY, "ip_dst": int(gateway.gateway4.ip), "ip_proto": 1}
        echo |= {"icmp_type": 8, "icmp_code": 0, "nw_ttl": 1 + 63}
        ((port, answer),) = delivered(fabric.outcomes(echo, host.port))
        assert port == host.port and answer["icmp_type"] == 0 and answer["ip_dst"] == int(host.ipv4.ip)
        assert answer["ip_src"] == int(gateway.gateway4.ip)


def test_frames_go_to_the_vteps_that_have_members_and_to_no_others() -> None:
    """Three domains, of which the third has no member of the network: nothing is sent there."""
    topology = overlay_lab([1, 1, 1], [], [(0, 0), (1, 0), (2, 1), (0, 1)], tunnels="ovs")
    fabric = Fabric(topology, compiled(topology))
    (outcome,) = fabric.outcomes(multicast(topology.hosts[0]), topology.hosts[0].port)
    assert {step.switch for step in outcome.steps} == {"s1", "vtep-d1", "vtep-d2", "s2"}


def test_who_only_routes_into_a_network_gets_none_of_its_broadcasts() -> None:
    topology = overlay_lab([2, 1], [], [(0, 0), (1, 1), (2, 0)], routed=[[0, 1]])
    fabric = Fabric(topology, compiled(topology))
    (outcome,) = fabric.outcomes(multicast(topology.hosts[2]), topology.hosts[2].port)
    assert {step.switch for step in outcome.steps} == {"s3", "vtep-d2", "vtep-d1", "s1"}


def test_a_cut_link_inside_a_domain_is_not_passed_by_through_the_tunnel_switch() -> None:
    topology = overlay_lab([2, 1], [(0, 1)], [(0, 0), (1, 0), (2, 0)])
    tables = compiled(topology, down_links=frozenset({"l1"}))
    h1, h2, h3 = topology.hosts
    fabric = Fabric(topology, tables, frozenset({"l1"}))
    assert not delivered(fabric.outcomes(ipv4(h1, h2), h1.port))
    assert [port for port, _ in delivered(fabric.outcomes(ipv4(h1, h3), h1.port))] == [h3.port]


def test_a_learned_station_is_reached_across_the_underlay() -> None:
    topology = overlay_lab([1, 1], [], [(0, 0), (1, 0)], free=frozenset({1}))
    h1, h2 = topology.hosts
    stranger = Learned("n1", 0x02AAAAAAAAAA, h2.port)
    fabric = Fabric(topology, compiled(topology, learned=(stranger,)))
    frame = {**ipv4(h1, h2), "eth_dst": stranger.mac}
    assert delivered(fabric.outcomes(frame, h1.port)) == [(h2.port, dict(wire(frame)))]
