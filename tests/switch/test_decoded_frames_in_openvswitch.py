"""Octets decoded by us, and by Open vSwitch: the same fields.

``ofproto/trace`` takes a packet as octets, and prints its fields as a flow.
"""

from __future__ import annotations

import random
import re

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, LLC, STP, Dot1Q, Dot3, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from controller.flow.text import value_text
from controller.simulate.decode import frame_of
from tests.switch.ovs import Vswitch

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="10.0.0.1", dst="10.0.0.2", ttl=63)
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=62)
ND = IPv6(src="fe80::1", dst="ff02::1:ff00:2", hlim=255)

FRAMES: dict[str, Packet] = {
    "tcp": ETHER / V4 / TCP(sport=1234, dport=80, flags="SA"),
    "tcp with options": ETHER / V4 / TCP(sport=1, dport=2, flags="S", options=[("MSS", 1460)]),
    "udp": ETHER / V4 / UDP(sport=53, dport=5353),
    "sctp": ETHER / V4 / SCTP(sport=7, dport=9),
    "icmp": ETHER / V4 / ICMP(id=77),
    "other protocol": ETHER / IP(src="10.0.0.1", dst="10.0.0.2", proto=89, ttl=1) / Raw(b"x" * 20),
    "ip options": ETHER / IP(src="10.0.0.1", dst="10.0.0.2", options=b"\x94\x04\0\0") / UDP(sport=1, dport=2),
    "tagged": ETHER / Dot1Q(vlan=77) / V4 / UDP(sport=1, dport=2),
    "arp": Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff")
    / ARP(hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", pdst="10.0.0.2"),
    "arp reply": ETHER / ARP(op=2, hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", hwdst="02:00:00:00:00:02"),
    "tcp6": ETHER / V6 / TCP(sport=1234, dport=80, flags="F"),
    "udp6": ETHER / V6 / UDP(sport=1, dport=2),
    "icmpv6": ETHER / V6 / ICMPv6EchoRequest(id=9),
    "behind an extension header": ETHER / V6 / IPv6ExtHdrHopByHop() / UDP(sport=1, dport=2),
    "solicitation": ETHER
    / ND
    / ICMPv6ND_NS(tgt="fe80::2")
    / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01"),
    "advertisement": ETHER
    / ND
    / ICMPv6ND_NA(tgt="fe80::2")
    / ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:01"),
    "first fragment": fragment(ETHER / V4 / UDP(sport=1, dport=2) / Raw(b"x" * 600), 200)[0],
    "later fragment": fragment(ETHER / V4 / UDP(sport=1, dport=2) / Raw(b"x" * 600), 200)[1],
    "first fragment 6": ETHER / V6 / IPv6ExtHdrFragment(m=1, id=5) / UDP(sport=1, dport=2) / Raw(b"x" * 64),
    "later fragment 6": ETHER / V6 / IPv6ExtHdrFragment(offset=9, id=5, nh=17) / Raw(b"x" * 64),
    "spanning tree": Dot3(src="02:00:00:00:00:01", dst="01:80:c2:00:00:00") / LLC() / STP(),
}
FLAGS = {1: "fin", 2: "syn", 4: "rst", 8: "psh", 16: "ack"}
NAMES = {
    "dl_src": "eth_src",
    "dl_dst": "eth_dst",
    "nw_src": "ip_src",
    "nw_dst": "ip_dst",
    "dl_vlan": "vlan_vid",
    "nw_proto": "ip_proto",
}
TYPES = {
    "tcp": (0x0800, 6, "tcp"), "udp": (0x0800, 17, "udp"), "sctp": (0x0800, 132, "sctp"),
    "ip": (0x0800, None, ""),
    "icmp": (0x0800, 1, "icmp"), "arp": (0x0806, None, ""), "ipv6": (0x86DD, None, ""),
    "tcp6": (0x86DD, 6, "tcp"),
    "udp6": (0x86DD, 17, "udp"), "sctp6": (0x86DD, 132, "sctp"), "icmp6": (0x86DD, 58, "icmpv6"),
}  # fmt: skip


def as_openvswitch_says(flow: str) -> dict[str, str]:
    """The fields of ``ofproto/trace``'s line, by the names that we use; values as its text."""
    words = re.sub(r"\([^)]*\)", "", flow).split(",")
    kind, protocol, ports = TYPES.get(words[0], (None, None, ""))
    fields = {} if kind is None else {"eth_type": f"{kind:#06x}"}
    fields |= {} if protocol is None else {"ip_proto": str(protocol)}
    for word in words[1:]:
        name, _, value = word.partition("=")
        if name in ("tp_src", "tp_dst") and words[0] not in ("icmp", "icmp6"):
            name = f"{ports}_{name.removeprefix('tp_')}"
        if name == "dl_type":
            name = "eth_type"
        if words[0] == "arp":
            name = {"nw_src": "arp_spa", "nw_dst": "arp_tpa"}.get(name, name)
        if words[0] == "icmp6" and name in ("icmp_type", "icmp_code"):
            name = name.replace("icmp", "icmpv6")
        fields[NAMES.get(name, name)] = value
    return fields


@pytest.mark.parametrize("name", FRAMES)
def test_the_same_fields(vswitch: Vswitch, name: str) -> None:
    bridge = "decoded"
    vswitch.vsctl("--may-exist", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=dummy")
    vswitch.vsctl(
        "--may-exist", "add-port", bridge, "p1", "--", "set", "interface", "p1", "type=dummy",
        "ofport_request=1", wait=True,
    )  # fmt: skip
    data = bytes(FRAMES[name])
    said = vswitch.appctl("ofproto/trace", bridge, "in_port=1", data.hex())
    theirs = as_openvswitch_says(re.findall(r"^Flow: (.*)$", said, re.M)[0])
    ours = frame_of(data)
    frag = {"no": 0, "first": 1, "later": 3}.get(theirs.get("nw_frag", "no"))
    assert ours.get("ip_frag", 0) == frag
    if "nd_target" in ours:
        # the trace prints neither, unless a flow matches them
        assert ours["nd_options_type"] in (1, 2) and "nd_reserved" in ours
    pure = ("ip_frag", "icmp_id", "nd_options_type", "nd_reserved")
    for field, value in ours.items():
        if field in pure:
            continue
        if field == "vlan_vid":
            assert theirs[field] == str(value & 0xFFF)
        elif field == "tcp_flags":
            assert theirs[field] == "|".join(name for bit, name in FLAGS.items() if value & bit)
        elif field == "ip_proto" and field not in theirs:
            assert value == 44 and theirs["eth_type"] == "0x86dd"
        else:
            assert theirs[field] == value_text(field, value), (field, theirs)


def test_octets_of_any_sort_are_no_error() -> None:
    chooser = random.Random(7)
    with pytest.raises(ValueError, match="no Ethernet frame"):
        frame_of(b"x" * 13)
    for packet in FRAMES.values():
        data = bytes(packet)
        for _ in range(200):
            cut = bytearray(data[: chooser.randint(14, len(data))])
            for _ in range(chooser.randint(0, 4)):
                cut[chooser.randrange(12, len(cut))] = chooser.randrange(256)
            assert frame_of(bytes(cut))["eth_src"] == 0x020000000001
