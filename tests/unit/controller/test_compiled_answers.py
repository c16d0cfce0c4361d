"""ARP and neighbour discovery are answered where they are asked; all else to a group goes to the network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from controller.compiler.compile import Learned, compile_topology
from controller.flow.tables import CONTROLLER
from controller.simulate.network import Fabric, Outcome, wire
from tests.unit.controller.made_frames import arp_request, ipv4, multicast, router_solicitation, solicitation
from tests.unit.controller.made_labs import lab, leaf_spine
from topologies.model.topology import Host, Port, Topology
from wire.mac import mac_number


@pytest.fixture(scope="module")
def topology() -> Topology:
    return leaf_spine(3, 2, hosts_per_leaf=2, networks=2)


@pytest.fixture(scope="module")
def fabric(topology: Topology) -> Fabric:
    return Fabric(topology, compile_topology(topology))


def only(outcomes: frozenset[Outcome]) -> Outcome:
    (one,) = outcomes
    return one


def same_network(topology: Topology) -> list[tuple[Host, Host]]:
    return [(a, b) for a in topology.hosts for b in topology.hosts if a is not b and a.network == b.network]


def test_arp_is_answered_with_the_right_mac(topology: Topology, fabric: Fabric) -> None:
    for source, target in same_network(topology):
        assert source.ipv4 and target.ipv4
        one = only(fabric.outcomes(arp_request(source, int(target.ipv4.ip)), source.port))
        (answer,) = one.delivered
        assert answer.at == source.port and not one.punted
        assert dict(answer.fields) == {
            "eth_src": mac_number(target.mac),
            "eth_dst": mac_number(source.mac),
            "eth_type": 0x0806,
            "arp_op": 2,
            "arp_sha": mac_number(target.mac),
            "arp_spa": int(target.ipv4.ip),
            "arp_tha": mac_number(source.mac),
            "arp_tpa": int(source.ipv4.ip),
        }


@pytest.mark.parametrize("unicast", [False, True])
def test_solicitations_are_answered_with_the_right_mac(
    topology: Topology, fabric: Fabric, unicast: bool
) -> None:
    for source, target in same_network(topology):
        assert source.ipv6 and target.ipv6
        mac = mac_number(target.mac)
        frame = solicitation(source, int(target.ipv6.ip), mac if unicast else None)
        one = only(fabric.outcomes(frame, source.port))
        (answer,) = one.delivered
        assert answer.at == source.port and not one.punted
        assert dict(answer.fields) == {
            **frame,
            "eth_src": mac,
            "eth_dst": mac_number(source.mac),
            "ipv6_src": int(target.ipv6.ip),
            "ipv6_dst": int(source.ipv6.ip),
            "icmpv6_type": 136,
            "nd_options_type": 2,
            "nd_reserved": 0x60000000,
            "nd_tll": mac,
        }


@pytest.mark.parametrize(
    ("address", "mac"),
    [("fe80::ff:fe00:3", 0x020000000003), ("fe80::5054:ff:fe12:3456", 0x525400123456),
     ("fe80::21b:21ff:feaa:bbcc", 0x001B21AABBCC)],
)  # fmt: skip
def test_link_local_addresses_made_from_a_mac_are_answered(
    topology: Topology, fabric: Fabric, address: str, mac: int
) -> None:
    source = topology.hosts[0]
    one = only(fabric.outcomes(solicitation(source, int(IPv6Address(address))), source.port))
    fields = dict(one.delivered[0].fields)
    assert fields["nd_tll"] == fields["eth_src"] == mac
    assert fields["ipv6_src"] == int(IPv6Address(address))


def test_who_asks_for_a_stranger_is_heard_by_all_of_its_network_and_answered_by_no_switch(
    topology: Topology, fabric: Fabric
) -> None:
    source, other = topology.hosts[0], topology.hosts[1]
    assert source.network != other.network and other.ipv4 and other.ipv6
    members = sorted(
        str(host.port) for host in topology.hosts if host.network == source.network and host is not source
    )
    for frame in (arp_request(source, int(other.ipv4.ip)), solicitation(source, int(other.ipv6.ip))):
        one = only(fabric.outcomes(frame, source.port))
        assert sorted(str(arrival.at) for arrival in one.delivered) == members and not one.punted
        assert {arrival.fields for arrival in one.delivered} == {wire(frame)}


def test_nobody_answers_a_host_about_its_own_address(topology: Topology, fabric: Fabric) -> None:
    host = topology.hosts[0]
    assert host.ipv4 and host.ipv6
    detection = {**solicitation(host, int(host.ipv6.ip)), "ipv6_src": 0}
    for frame in (arp_request(host, int(host.ipv4.ip)), detection):
        assert only(fabric.outcomes(frame, host.port)) == Outcome()


def test_multicast_reaches_the_others_of_its_network(topology: Topology, fabric: Fabric) -> None:
    host = topology.hosts[0]
    members = sorted(
        str(other.port) for other in topology.hosts if other.network == host.network and other is not host
    )
    for frame in (multicast(host), router_solicitation(host)):
        one = only(fabric.outcomes(frame, host.port))
        assert sorted(str(arrival.at) for arrival in one.delivered) == members and not one.punted


def test_an_unknown_sender_who_may_spoof_is_copied_to_the_controller_and_still_forwarded() -> None:
    strict = leaf_spine(3, 2, hosts_per_leaf=2, networks=2)
    free = strict.hosts[0].model_copy(update={"allow_spoofing": True})
    topology = strict.model_copy(update={"hosts": (free, *strict.hosts[1:])})
    fabric = Fabric(topology, compile_topology(topology))
    host, target = topology.hosts[0], topology.hosts[2]
    frame = {**ipv4(host, target), "eth_src": 0x02AAAAAAAAAA}
    for outcome in fabric.outcomes(frame, host.port):
        assert [one.at.number for one in outcome.punted] == [CONTROLLER]
        assert [one.at for one in outcome.delivered] == [target.port]


def test_a_learned_station_is_like_a_host() -> None:
    topology = lab(2, [(0, 1)], [0, 1])
    h1, h2 = topology.hosts
    mac, address = 0x02AAAAAAAAAA, IPv4Address("10.1.0.99")
    learned = Learned(h2.network, mac, h2.port, address)
    fabric = Fabric(topology, compile_topology(topology, learned=(learned,)))
    one = only(fabric.outcomes(arp_request(h1, int(address)), h1.port))
    assert dict(one.delivered[0].fields)["arp_sha"] == mac
    one = only(fabric.outcomes({**ipv4(h1, h2), "eth_dst": mac}, h1.port))
    assert [frame_out.at for frame_out in one.delivered] == [h2.port]
    spoofed = {**ipv4(h2, h1), "eth_src": mac, "ip_src": int(address)}
    one = only(fabric.outcomes(spoofed, h2.port))
    assert not one.punted and [frame_out.at for frame_out in one.delivered] == [h1.port]


def test_what_the_file_says_beats_what_was_learned() -> None:
    topology = lab(2, [(0, 1)], [0, 1])
    h1, h2 = topology.hosts
    assert h1.ipv4
    plain = compile_topology(topology)
    moved = Learned("n1", mac_number(h1.mac), h2.port)
    elsewhere = Learned("n1", 0x02AAAAAAAAAA, Port(switch="s1", number=2))
    assert compile_topology(topology, learned=(moved, elsewhere)) == plain
    thief = Learned("n1", 0x02AAAAAAAAAB, h2.port, h1.ipv4.ip)
    fabric = Fabric(topology, compile_topology(topology, learned=(thief,)))
    one = only(fabric.outcomes(arp_request(h2, int(h1.ipv4.ip)), h2.port))
    assert dict(one.delivered[0].fields)["arp_sha"] == mac_number(h1.mac)


def announcing(topology: Topology, learned: tuple[Learned, ...] = ()) -> Fabric:
    """h1 and h2 may claim addresses, h3 may not."""
    free = tuple(host.model_copy(update={"allow_spoofing": True}) for host in topology.hosts[:2])
    claiming = topology.model_copy(update={"hosts": (*free, *topology.hosts[2:])})
    return Fabric(claiming, compile_topology(claiming, learned=learned))


def test_claims_of_further_addresses_are_told_to_the_controller_and_go_on() -> None:
    topology = lab(2, [(0, 1)], [0, 1, 1])
    h1, _, h3 = topology.hosts
    fabric = announcing(topology)
    other = int(IPv4Address("10.1.0.200"))
    claim = {**arp_request(h1, 1), "arp_spa": other}
    reply = {**claim, "arp_op": 2, "eth_dst": mac_number(h3.mac), "arp_tpa": int(h3.ipv4.ip)}  # type: ignore[union-attr]
    one = only(fabric.outcomes(reply, h1.port))
    assert [punt.at.number for punt in one.punted] == [CONTROLLER]
    assert [frame_out.at for frame_out in one.delivered] == [h3.port]
    own = {**reply, "arp_spa": int(h1.ipv4.ip)}  # type: ignore[union-attr]
    one = only(fabric.outcomes(own, h1.port))
    assert not one.punted and [frame_out.at for frame_out in one.delivered] == [h3.port]
    one = only(fabric.outcomes({**reply, "eth_src": mac_number(h3.mac)}, h3.port))
    assert not one.punted and not one.delivered, "not everybody may claim"


def test_who_announces_an_address_that_somebody_had_is_not_told_that_it_is_taken() -> None:
    topology = lab(2, [(0, 1)], [0, 1, 1])
    h1, h2, h3 = topology.hosts
    address = IPv4Address("10.1.0.200")
    fabric = announcing(topology, (Learned("n1", mac_number(h1.mac), h1.port, address),))
    one = only(fabric.outcomes(arp_request(h3, int(address)), h3.port))
    assert dict(one.delivered[0].fields)["arp_sha"] == mac_number(h1.mac)
    announced = {**arp_request(h2, int(address)), "arp_spa": int(address)}
    one = only(fabric.outcomes(announced, h2.port))
    assert [punt.at.number for punt in one.punted] == [CONTROLLER]
    assert sorted(str(frame_out.at) for frame_out in one.delivered) == sorted(map(str, (h1.port, h3.port)))
    # one that only asks whether it is free is told (RFC 5227, 2.1.1)
    one = only(fabric.outcomes({**announced, "arp_spa": 0}, h2.port))
    assert [frame_out.at for frame_out in one.delivered] == [h2.port]
