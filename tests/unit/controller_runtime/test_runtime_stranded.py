"""Packets of connections whose backend has gone: what the controller does with them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

import topologies
from controller.compiler.functions.stray import Stray, strays
from controller.openflow.ct_flush import ct_flush
from controller.runtime.commands import Flush, Inject
from controller.runtime.stranded import EVERY, Stranded
from controller.runtime.verdicts import Punt
from topologies.model.functions import Balancer
from topologies.model.topology import Port, Topology

FILE = """
networks: {{lan: {{subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}}}}
switches: [s1]
hosts: {{client: s1, web1: s1, web2: s1}}
functions:
  lb:
    {{kind: load-balancer, switch: s1, ipv4: 10.0.0.100, ipv6: "fd00::100", port: 53, protocol: {protocol},
     backends: [{backends}]}}
"""
AT = Port(switch="s1", number=1)


def lab(protocol: str, backends: str = "web1:5353, web2:5353", running: Topology | None = None) -> Topology:
    text = FILE.format(protocol=protocol, backends=backends)
    return topologies.loads(text, "lab.yaml", running=running)


def balancer(topology: Topology) -> Balancer:
    (function,) = topology.functions
    return function.balancer


def cookie(topology: Topology, action: str, version: int = 4) -> tuple[int, Stray]:
    address = topology.hosts[1].ipv4 if version == 4 else topology.hosts[1].ipv6
    assert address is not None
    return next(
        (number, what)
        for number, what in strays(topology).items()
        if (what.action, what.backend) == (action, int(address.ip))
    )


def translated(topology: Topology, transport: Packet, version: int = 4) -> Packet:
    """A packet of the client's to web1, as the switch sends it to the controller."""
    client, web1, _ = topology.hosts
    assert client.ipv4 and client.ipv6 and web1.ipv4 and web1.ipv6
    head: Packet = IP(src=str(client.ipv4.ip), dst=str(web1.ipv4.ip))
    if version == 6:
        head = IPv6(src=str(client.ipv6.ip), dst=str(web1.ipv6.ip))
    return Ether(src=client.mac, dst=balancer(topology).mac) / head / transport


def right(frame: bytes) -> Packet:
    """The frame decoded; its checksums are those that scapy computes."""
    got = Ether(frame)
    again = Ether(frame)
    for layer in (IP, TCP, UDP):
        if layer in again:
            del again[layer].chksum
    assert bytes(again) == frame
    return got


def done(stranded: Stranded, number: int, frame: bytes, now: float) -> list[Any]:
    commands = stranded.packet(Punt(AT, number, frame, {}), now)
    assert commands is not None
    return commands


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_packet_for_a_failed_backend_is_balanced_again(protocol: str, version: int) -> None:
    topology = lab(protocol)
    number, stray = cookie(topology, "again", version)
    transport: Packet = UDP(sport=4000, dport=5353)
    if protocol == "tcp":
        transport = TCP(sport=4000, dport=5353, flags="S")
    packet = translated(topology, transport / Raw(b"odd"), version)
    # a checksum that was left to hardware, and spoilt by the translation
    packet[TCP if protocol == "tcp" else UDP].chksum = 0x1234
    stranded = Stranded(topology)
    flush, inject = done(stranded, number, bytes(packet), 5.0)
    got = right(inject.frame)
    head = got[IP if version == 4 else IPv6]
    assert (got.dst, head.dst) == (balancer(topology).mac, "10.0.0.100" if version == 4 else "fd00::100")
    assert (got.sport, got.dport, bytes(got[Raw].load)) == (4000, 53, b"odd")
    assert inject == Inject("s1", stray.network, inject.frame, stray.hop)
    exact = {"source": head.src, "destination": head.dst, "tp_src": 4000, "tp_dst": 53}
    assert isinstance(flush, Flush) and (flush.switch, flush.zone) == ("s1", stray.zone)
    if protocol == "udp":
        # all of the service's with it at once, not those past the service; and then one by one for a while
        assert flush.original == {"destination": stray.virtual}
        assert flush.reply == {"source": stray.backend, "tp_src": 5353}
        flush, _ = done(stranded, number, bytes(packet), 5.0 + EVERY / 2)
    assert flush.original == {name: value if name.startswith("tp_") else int(ip_address(value))
                              for name, value in exact.items()}  # fmt: skip
    assert not flush.reply


def test_a_later_fragment_for_a_failed_backend_only_has_the_connection_forgotten() -> None:
    topology = lab("udp")
    number, _ = cookie(topology, "again")
    packet = translated(topology, Raw(bytes(64)))
    packet[IP].frag, packet[IP].proto = 100, 17
    (flush,) = done(Stranded(topology), number, bytes(packet), 1.0)
    assert isinstance(flush, Flush) and flush.reply


def test_former_backends_are_those_of_the_running_lab_that_the_file_has_not() -> None:
    old = lab("tcp")
    assert not balancer(old).former
    new = lab("tcp", "web2:5353", old)
    assert [backend.host for backend in balancer(new).former] == ["web1"]
    assert lab("tcp", "web2:5353", new) == new, "once more the same"
    assert not balancer(lab("tcp", running=new)).former, "it is one again"
    moved = lab("tcp", "web1:5353, web2:99", old)
    assert [(backend.host, backend.port) for backend in balancer(moved).former] == [("web2", 5353)]


@pytest.mark.parametrize("version", [4, 6])
def test_both_ends_of_a_former_backends_connection_are_reset(version: int) -> None:
    topology = lab("tcp", "web2:5353", lab("tcp"))
    stranded = Stranded(topology)
    number, stray = cookie(topology, "reset", version)
    said = TCP(sport=4000, dport=5353, flags="A", seq=100, ack=900)
    packet = translated(topology, said / Raw(b"more"), version)
    (inject,) = done(stranded, number, bytes(packet), 1.0)
    got, head = right(inject.frame), IP if version == 4 else IPv6
    # as if from the backend: the way back translates it
    assert (got[head].src, got[head].dst) == (packet[head].dst, packet[head].src)
    assert (got[TCP].flags, got[TCP].seq, got.sport, got.dport) == ("R", 900, 5353, 4000)
    assert inject.hop == stray.hop
    number, stray = cookie(topology, "reset-both", version)
    client, web1, _ = topology.hosts
    back = Ether(src=web1.mac, dst=client.mac) / head(src=packet[head].dst, dst=packet[head].src)
    back /= TCP(sport=5353, dport=4000, flags="PA", seq=900, ack=104) / Raw(b"answer")
    to_client, to_server = done(stranded, number, bytes(back), 1.0)
    got = right(to_client.frame)
    assert (got[TCP].flags, got[TCP].seq, got[head].dst) == ("R", 900, back[head].dst)
    assert (to_client.hop, got.dst) == (stray.hop, client.mac)
    got = right(to_server.frame)
    assert (got[TCP].flags, got[TCP].seq, got.dst, to_server.hop) == ("R", 104, web1.mac, 0)
    assert got[head].dst == back[head].src
    back[TCP].flags = "R"
    assert done(stranded, number, bytes(back), 1.0) == [], "a reset is never answered"


def test_packets_of_other_flows_are_left_to_others_and_old_flows_are_known_for_a_change() -> None:
    old = lab("udp")
    number, _ = cookie(old, "again")
    stranded = Stranded(old)
    assert stranded.packet(Punt(AT, 77, b"", {}), 1.0) is None
    stranded.replace(lab("udp", "web2:5353"))
    packet = bytes(translated(old, UDP(sport=1, dport=5353)))
    assert done(stranded, number, packet, 1.0)
    stranded.replace(lab("udp", "web2:5353"))
    assert stranded.packet(Punt(AT, number, packet, {}), 1.0) is None


def test_the_message_is_what_open_vswitch_sends_itself() -> None:
    """As ``ovs-ofctl -O OpenFlow15 ct-flush`` of 3.1.0 sends these, the transaction identifier aside."""
    both = (
        "06040090000000020000232000000020110000000000000000000028000000000000001400000000000000000000ffff"
        "0a01010100000000000200080035000000010048000000000000001400000000000000000000ffff0a02020200000000"
        "0001001400000000000000000000ffff09090909000000000002000814e9000000030008006300000002000800050000"
    )
    reply = {"source": 0x0A020202, "destination": 0x09090909, "tp_src": 5353, "tp_dst": 99}
    assert ct_flush(5, 4, 17, {"source": 0x0A010101, "tp_src": 53}, reply, 2).hex() == both
    six = (
        "060400480000000200002320000000200600000000000000000000280000000000000014fd000000000000000000000"
        "0000000010000000000020008003500000002000800050000"
    )
    assert ct_flush(5, 6, 6, {"source": (0xFD << 120) + 1, "tp_src": 53}, {}, 2).hex() == six
