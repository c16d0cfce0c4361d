"""Fragments that Open vSwitch's tracking lets out beside a packet of somebody else, with real packets.

What waited in vain for the rest of its datagram comes out, a quarter of a minute later, in the batch of any
other packet that is tracked; so do fragments of whole datagrams that a batch of 32 has no room for.  Nothing
that a firewall has dropped may reach anybody that way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.cases.frames import fragments
from tests.switch.ovs import Vswitch
from tests.switch.test_fragments_in_openvswitch import Lab, head
from topologies import loads
from topologies.model.kinds import AddressTranslator, LoadBalancer
from topologies.model.topology import Topology

WEB = "{name: web, action: accept, protocol: tcp, ports: [80], source: h1}"
HOSTS = """
networks: {lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}}
switches: [s1]
hosts: {h1: s1, h2: s1, h3: s1}
"""
AT_PORTS = loads(f"""{HOSTS}
functions:
  wall: {{kind: firewall, engine: openflow, networks: [lan], default: drop, rules: [{WEB}]}}
""")
IN_A_CHAIN = loads(f"""{HOSTS}
functions:
  wall: {{kind: firewall, engine: openflow, switch: s1, default: drop, rules: [{WEB}]}}
chains: {{c: {{destination: h2, functions: [wall]}}}}
""")
BESIDE_OTHERS = loads("""
networks: {lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}, out: {subnet4: 203.0.113.0/24}}
switches: [s1]
routers: {gw: [lan, out]}
hosts:
  h1: {switch: s1, network: lan}
  h2: {switch: s1, network: lan}
  h3: {switch: s1, network: lan}
  web: {switch: s1, network: lan}
  far: {switch: s1, network: out}
functions:
  wall: {kind: firewall, engine: openflow, switch: s1, default: drop}
  lb: {kind: load-balancer, switch: s1, ipv4: 10.0.0.100, ipv6: "fd00::100", port: 80, backends: ["web:80"]}
  gate:
    {kind: nat, switch: s1, network: out, ipv4: 203.0.113.1,
     forwards: [{port: 53, to: "web:5353", protocol: udp}]}
chains:
  guarded: {network: lan, source: h3, destination: h2, functions: [wall]}
  outside: {network: lan, destination: out, functions: [gate]}
""")
LOST = b"lost"


def allowed(lab: Lab, number: int, six: bool) -> tuple[str, Packet]:
    return "h1", head(lab.topology, "h1", "h2", six) / TCP(sport=number, dport=80, flags="S")


def balanced(lab: Lab, number: int, six: bool) -> tuple[str, Packet]:
    service = next(
        function.balancer for function in lab.topology.functions if isinstance(function, LoadBalancer)
    )
    asked = head(lab.topology, "h1", "web", six)
    asked.dst, asked[IPv6 if six else IP].dst = service.mac, str(service.ipv6.ip if six else service.ipv4.ip)  # type: ignore[union-attr]
    return "h1", asked / TCP(sport=number, dport=80, flags="S")


def masqueraded(lab: Lab, number: int, six: bool) -> tuple[str, Packet]:
    asked = head(lab.topology, "h1", "web", False)
    asked.dst, asked[IP].dst = lab.topology.routers[0].mac, str(lab.hosts["far"].ipv4.ip)  # type: ignore[union-attr]
    return "h1", asked / UDP(sport=number, dport=53)


def forwarded(lab: Lab, number: int, six: bool) -> tuple[str, Packet]:
    nat = next(function.nat for function in lab.topology.functions if isinstance(function, AddressTranslator))
    far = lab.hosts["far"]
    assert far.ipv4
    return "far", Ether(src=far.mac, dst=nat.mac) / IP(src=str(far.ipv4.ip), dst=str(nat.ipv4.ip)) / UDP(
        sport=number, dport=53
    )


CASES: dict[str, tuple[Topology, Callable[[Lab, int, bool], tuple[str, Packet]], bool]] = {
    "firewall at ports": (AT_PORTS, allowed, False),
    "firewall at ports, IPv6": (AT_PORTS, allowed, True),
    "firewall in a chain": (IN_A_CHAIN, allowed, False),
    "firewall in a chain, IPv6": (IN_A_CHAIN, allowed, True),
    "balancer": (BESIDE_OTHERS, balanced, False),
    "balancer, IPv6": (BESIDE_OTHERS, balanced, True),
    "translator, out": (BESIDE_OTHERS, masqueraded, False),
    "translator, in": (BESIDE_OTHERS, forwarded, False),
}


@pytest.fixture(scope="module")
def labs(vswitch: Vswitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Lab]]:
    """By their topology."""
    labs_by_topology = {
        id(topology): Lab(vswitch, topology, f"beside{number}", tmp_path_factory.mktemp("beside"))
        for number, topology in enumerate((AT_PORTS, IN_A_CHAIN, BESIDE_OTHERS))
    }
    yield labs_by_topology
    for lab in labs_by_topology.values():
        lab.bridge.close()


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, labs: dict[int, Lab]) -> tuple[Lab, str]:
    return labs[id(CASES[request.param][0])], request.param


def dropped(lab: Lab, six: bool, idents: range, size: int) -> list[list[bytes]]:
    """Datagrams of h3 in fragments, which the firewall before h2 drops."""
    wholes = (
        head(lab.topology, "h3", "h2", six) / UDP(sport=ident, dport=53) / Raw(LOST * (size // 4))
        for ident in idents
    )
    return [[*fragments(bytes(one), 1240, ident)] for one, ident in zip(wholes, idents, strict=True)]


def test_what_waited_in_vain_reaches_nobody(case: tuple[Lab, str]) -> None:
    lab, name = case
    _, beside, six = CASES[name]
    lab.bridge.forget()
    lost = [part for parts in dropped(lab, six, range(7000, 7004), 3600) for part in parts[1:]]
    arrived, _ = lab.send(lost, "h3")
    assert not arrived
    lab.bridge.vswitch.appctl("time/warp", "20000")
    was = expired(lab, six)
    for number in range(5000, 5016):
        host, packet = beside(lab, number, six)
        arrived, _ = lab.send([bytes(packet)], host)
        assert len(arrived) == 1 and LOST not in arrived[0]
    assert expired(lab, six) >= was + 8, "they are out"


def expired(lab: Lab, six: bool) -> int:
    said = lab.bridge.vswitch.appctl("dpctl/ipf-get-status")
    (line,) = (line for line in said.splitlines() if f"v{6 if six else 4} frags expired" in line)
    return int(line.split()[-1])


def test_what_a_batch_has_no_room_for_reaches_nobody(case: tuple[Lab, str]) -> None:
    lab, name = case
    _, beside, six = CASES[name]
    lab.bridge.forget()
    for number, parts in enumerate(dropped(lab, six, range(8000, 8002), 46000), 6000):
        arrived, _ = lab.send(parts, "h3")
        assert len(parts) > 32 and not arrived
        host, packet = beside(lab, number, six)
        arrived, _ = lab.send([bytes(packet)], host)
        assert len(arrived) == 1 and LOST not in arrived[0]
    # what waits there is not to be in other tests' way
    lab.bridge.vswitch.appctl("time/warp", "40000")
