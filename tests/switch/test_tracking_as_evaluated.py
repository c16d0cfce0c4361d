"""Random traffic through flow functions: Open vSwitch sends what the evaluator says, frame by frame."""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from controller.flow.tables import CONTROLLER
from controller.simulate.switch import Lookup, at_switch, wire
from controller.simulate.tracking import Connections
from tests.cases.fields import read
from tests.cases.firewall_cases import rule, rules
from tests.switch.ovs import Vswitch
from tests.switch.traffic import Bridge
from tests.unit.controller.made_service import chain_lab, host, surrounded
from topologies.model.functions import Backend, Balancer, Forward, Nat
from topologies.model.topology import Port, Topology

VIP, VMAC, OUTSIDE, NMAC = "10.9.0.100", "02:00:00:00:09:64", "10.9.0.200", "02:00:00:00:09:c8"
SOME_RULES = rules(
    rule("accept", name="web", protocol="tcp", destination_ports=[(80, 81)]),
    rule("drop", name="odd", source="10.9.0.3/32"),
    rule("accept", name="dns", protocol="udp", destination_ports=[53], log=True),
    rule("accept", name="back", destination="10.9.0.1/32", protocol="udp", source_ports=[81]),
)
OTHER_RULES = rules(rule("drop", name="web", protocol="tcp", destination_ports=[80]), default="accept")
HOSTS = (host(1), host(3), host(2, port=2))


def firewall() -> list[Topology]:
    return [chain_lab("firewall", hosts=HOSTS, firewall=rules) for rules in (SOME_RULES, OTHER_RULES)]


def balancer() -> list[Topology]:
    backend = Backend(host="h2", mac=host(2).mac, ipv4=host(2).ipv4, port=8080)
    service = Balancer(network="n", at=Port(switch="s", number=9), mac=VMAC, ipv4=IPv4Interface(f"{VIP}/24"),
                       port=80, backends=(backend,))  # fmt: skip
    topology = chain_lab("load-balancer", hosts=HOSTS, balancer=service)
    return [topology, topology]


def nat() -> list[Topology]:
    forward = Forward(protocol="tcp", port=8080, host="h3", ipv4=IPv4Interface("10.9.0.3/24"), to_port=22)
    translator = Nat(network="n", mac=NMAC, ipv4=IPv4Interface(f"{OUTSIDE}/24"), forwards=(forward,))
    topology = chain_lab("nat", hosts=HOSTS, nat=translator)
    return [topology, topology]


LABS = {"firewall": firewall, "load balancer": balancer, "nat": nat}
ADDRESSES = {
    "10.9.0.1": host(1).mac,
    "10.9.0.3": host(3).mac,
    "10.9.0.2": host(2).mac,
    VIP: VMAC,
    OUTSIDE: NMAC,
}


def begun(dice: random.Random, there: bool) -> bytes:
    """Any packet from one side to an address of the other."""
    near, far = (
        (["10.9.0.1", "10.9.0.3"], ["10.9.0.2", VIP]) if there else (["10.9.0.2"], ["10.9.0.1", OUTSIDE])
    )
    a, b = dice.choice(near), dice.choice(far)
    # each host has ports of its own: who gets which when two want the same is the switch's choice
    own = {"10.9.0.1": (1030, 81), "10.9.0.3": (2030, 2081), "10.9.0.2": (80, 81, 3030)}[a]
    ports = {"sport": dice.choice(own), "dport": dice.choice([53, 80, 81, 1030, 8080])}
    body: Packet = dice.choice(
        [UDP(**ports) / Raw(b"data"), TCP(**ports, flags="S", seq=1), TCP(**ports, flags="SA", seq=1, ack=1),
         ICMP(type=8, id=int(a[-1])), ICMP(type=0, id=7)]
    )  # fmt: skip
    return bytes(Ether(src=ADDRESSES[a], dst=ADDRESSES[b]) / IP(src=a, dst=b) / body)


def answered(dice: random.Random, frame: bytes) -> bytes | None:
    """What the receiver of a frame may say to it: an answer, or an error."""
    got = Ether(frame)
    back = Ether(src=got.dst, dst=got.src) / IP(src=got[IP].dst, dst=got[IP].src)
    if UDP in got and dice.random() < 0.3:
        return bytes(back / ICMP(type=3, code=3) / Raw(bytes(got[IP])))
    if UDP in got:
        return bytes(back / UDP(sport=got[UDP].dport, dport=got[UDP].sport) / Raw(b"answer"))
    if TCP in got:
        return bytes(back / TCP(sport=got[TCP].dport, dport=got[TCP].sport, flags="SA", seq=9, ack=2))
    return bytes(back / ICMP(type=0, id=got[ICMP].id)) if got[ICMP].type == 8 else None


@pytest.fixture
def bridge(vswitch: Vswitch, tmp_path: Path) -> Iterator[Bridge]:
    opened = Bridge(vswitch, "any", (1, 2), tmp_path)
    opened.forget()
    yield opened
    opened.close()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", LABS)
def test_open_vswitch_sends_what_was_evaluated(bridge: Bridge, kind: str, seed: int) -> None:
    dice, connections = random.Random(seed), Connections()
    labs = [surrounded(topology) for topology in LABS[kind]()]
    known: list[tuple[int, bytes]] = []
    passed = 0
    for step in range(150):
        if step % 75 == 0:
            tables = labs[step // 75]
            bridge.program(tables)
            lookup = Lookup(tables)
        port, frame = dice.choice((1, 2)), b""
        if known and dice.random() < 0.5:
            port, before = dice.choice(known)
            frame = answered(dice, before) or b""
        frame = frame or begun(dice, port == 1)
        out = bridge.send(port, [frame], 3 - port)
        got = [(number, wire(read(received))) for number, some in out.items() for received in some]
        chosen = [
            fields.get("tcp_src", fields.get("udp_src", 0)) for _, some in got for fields in (dict(some),)
        ]
        connections.pick = (lambda _, port=chosen[0]: port) if chosen else None
        ((sent, _),) = at_switch(lookup, read(frame), port, connections=connections)
        wanted = [(output.port, wire(output.frame)) for output in sent if output.port != CONTROLLER]
        assert got == wanted, (step, port, Ether(frame).summary())
        known += [(number, received) for number, some in out.items() for received in some]
        passed += bool(got)
    assert passed > 20
