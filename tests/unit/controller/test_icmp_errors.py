"""Where the controller sends ICMP errors: the way of an answer to the packet that they are about."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from controller.compiler.compile import compile_topology
from controller.flow.builders import HOP, NETWORK, flow, miss
from controller.flow.tables import CONTROLLER, Field, Output, Resubmit, SetField, SwitchTables, Table
from controller.origin import ByChain, Origin
from controller.simulate.icmp_errors import answer_to, onward, without_errors
from tests.unit.controller.made_chains import Asked, chain, with_functions
from tests.unit.controller.made_labs import lab
from topologies.model.service_paths import service
from topologies.model.topology import Topology


def made() -> Topology:
    """UDP to port 53 of h2 from h1 passes f1, UDP to 514 passes f2; both on s2, as h2 is."""
    topology = with_functions(lab(2, [(0, 1)], [0, 1]), [Asked("inline", 1), Asked("inline", 1)])
    h1, h2 = topology.hosts
    topology = chain(topology, h1, h2, ("f1",), path=1, protocol="udp", ports=((53, 53),))
    return chain(topology, h1, h2, ("f2",), path=2, protocol="udp", ports=((514, 514),))


LAB = made()
TABLES = compile_topology(LAB)
H1, H2 = LAB.hosts


def addresses(six: bool) -> tuple[str, str]:
    assert H1.ipv4 and H2.ipv4 and H1.ipv6 and H2.ipv6
    return (str(H1.ipv6.ip), str(H2.ipv6.ip)) if six else (str(H1.ipv4.ip), str(H2.ipv4.ip))


def error(about: Packet, six: bool = False, to: str | None = None) -> bytes:
    """h2 tells h1 (or ``to``) that what it sent can't be delivered."""
    h1, h2 = addresses(six)
    head = IPv6(src=h2, dst=to or h1) if six else IP(src=h2, dst=to or h1)
    message = ICMPv6DestUnreach(code=4) if six else ICMP(type=3, code=3)
    return bytes(Ether(src=H2.mac, dst=H1.mac) / head / message / about)


def sent(port: int, six: bool = False, source: str | None = None) -> Packet:
    h1, h2 = addresses(six)
    head = IPv6(src=source or h1, dst=h2) if six else IP(src=source or h1, dst=h2)
    return head / UDP(sport=40000, dport=port) / Raw(b"data")


def goes(frame: bytes) -> tuple[object, ...]:
    return onward(
        without_errors(TABLES["s2"], Table.CHAIN), Table.CHAIN, H2.port.number, {NETWORK: 1, HOP: 0}, frame
    )


def back_hop(function: str) -> int:
    return next(hop.number for hop in service(LAB).hops.values()
                if hop.function == function and not hop.forward)  # fmt: skip


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(("port", "function"), [(53, "f1"), (514, "f2")])
def test_an_error_takes_the_way_back_of_its_packets_chain(port: int, function: str, six: bool) -> None:
    actions = goes(error(sent(port, six), six))
    hop = SetField(HOP, back_hop(function))
    assert actions == (SetField(NETWORK, 1), hop, Resubmit(Table.STEER))


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_an_error_about_a_packet_of_no_chain_is_in_none(six: bool) -> None:
    actions = goes(error(sent(99, six), six))
    assert actions == (SetField(NETWORK, 1), Resubmit(Table.RESOLVE))
    h1, h2 = addresses(six)
    ping = IPv6(src=h1, dst=h2) / ICMPv6EchoRequest() if six else IP(src=h1, dst=h2) / ICMP()
    assert goes(error(ping, six)) == actions


UNTELLING = {
    "about another's packet": error(sent(99, source="10.0.0.77")),
    "about another's packet, IPv6": error(sent(99, True, source="fd00::77"), True),
    "about a later fragment": error(IP(src=addresses(False)[0], dst=addresses(False)[1], frag=9, proto=17)),
    "about a fragment, IPv6": error(
        IPv6(src=addresses(True)[0], dst=addresses(True)[1]) / IPv6ExtHdrFragment(nh=17, offset=9), True
    ),
    "that ends in the header": error(sent(53))[: 14 + 20 + 8 + 12],
    "that ends before the ports": error(sent(53))[: 14 + 20 + 8 + 20 + 3],
    "that is a first fragment": bytes(
        Ether(src=H2.mac, dst=H1.mac)
        / IP(src=addresses(False)[1], dst=addresses(False)[0], flags="MF")
        / ICMP(type=3) / sent(99)
    ),
    "that is no error": bytes(
        Ether(src=H2.mac, dst=H1.mac) / IP(src=addresses(False)[1], dst=addresses(False)[0]) / ICMP()
    ),
    "no IP": bytes(Ether(src=H2.mac, dst=H1.mac, type=0x0800)),
    "too short for anything": b"\0" * 13,
}  # fmt: skip


@pytest.mark.parametrize("name", UNTELLING)
def test_an_error_that_says_nothing_of_use_is_dropped(name: str) -> None:
    assert goes(UNTELLING[name]) == ()


@pytest.mark.parametrize(
    "headers", [(), (IPv6ExtHdrFragment(),)], ids=["options", "a fragment that is whole"]
)
def test_what_it_is_about_is_found_past_extension_headers(headers: tuple[Packet, ...]) -> None:
    """A fragment that is the whole datagram counts as none (RFC 6946)."""
    h1, h2 = addresses(True)
    about = IPv6(src=h1, dst=h2) / IPv6ExtHdrHopByHop()
    for header in headers:
        about = about / header
    about = about / TCP(sport=40000, dport=80)
    head = Ether(src=H2.mac, dst=H1.mac) / IPv6(src=h2, dst=h1)
    answer = answer_to(bytes(head / ICMPv6PacketTooBig(mtu=1280) / about))
    assert answer is not None
    assert (answer["ip_proto"], answer["tcp_src"], answer["tcp_dst"]) == (6, 80, 40000)


def test_only_errors_between_a_chains_addresses_come_to_the_controller() -> None:
    asked = [
        entry
        for entry in TABLES["s2"].flows
        if entry.table is Table.CHAIN and Output(CONTROLLER) in entry.actions
    ]
    assert asked
    for entry in asked:
        names = {field.name for field in entry.match}
        assert names & {"ip_src", "ipv6_src"} and names & {"icmp_type", "icmpv6_type"}
    assert TABLES["s2"].meters, "and they are limited"


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_a_chain_of_icmp_takes_what_is_about_packets_of_no_other(six: bool) -> None:
    kind = "icmpv6" if six else "icmp"
    topology = with_functions(LAB, [Asked("inline", 1) for _ in range(3)])
    h1, h2 = topology.hosts
    topology = chain(topology, h2, h1, ("f3",), path=3, protocol=kind, priority=-1, symmetric=False)
    lookup = without_errors(compile_topology(topology)["s2"], Table.CHAIN)
    (own,) = (hop.number for hop in service(topology).hops.values() if hop.function == "f3")
    for port, wanted in ((99, own), (53, back_hop("f1"))):
        actions = onward(lookup, Table.CHAIN, H2.port.number, {NETWORK: 1}, error(sent(port, six), six))
        assert SetField(HOP, wanted) in actions


@pytest.mark.parametrize(("origin", "hop"), [(ByChain("its chain"), 1), (Origin("for all that is left"), 2)])
def test_what_a_flow_is_for_tells_whether_an_error_follows_it_and_not_its_priority(
    origin: Origin, hop: int
) -> None:
    """Stages of a change raise the priority of flows."""
    every = flow(Table.CHAIN, 20_200, (Field("ip_proto", 17),), (SetField(HOP, 1),), Table.STEER, why=origin)
    icmp = (Field("ip_proto", 1),)
    other = flow(Table.CHAIN, 1_000, icmp, (SetField(HOP, 2),), Table.STEER, why=ByChain("ICMP"))
    flows = (every, other, miss(Table.CHAIN, Table.RESOLVE, "in no chain"))
    lookup = without_errors(SwitchTables("s2", 2, flows, ()), Table.CHAIN)
    actions = onward(lookup, Table.CHAIN, H2.port.number, {NETWORK: 1}, error(sent(53)))
    assert SetField(HOP, hop) in actions
