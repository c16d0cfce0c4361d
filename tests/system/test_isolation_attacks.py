"""A tenant's host against its own domain: nothing of it hears, answers or forwards, whatever is aimed at it.

So it is with the functions that tenants' frames pass: their namespaces take nothing for themselves, one that
serves two tenants leads from neither to the other, and one with an address believes no host's routes.

The attacker speaks as the kernel does (VXLAN with the flags that it accepts), knows every MAC and IP address
of the domain, and is in the file as one that may spoof.  Five points are watched: the other tenant at
both sites, the domains (what their kernels counted and learned), the underlay, the management network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import TOPOLOGIES, capturing, packets, running, send_all
from tests.waiting import until

MARK = b"sdnlab-attack"
HONEST = b"sdnlab-honest"
RED1, RED3, BLUE1, BLUE3 = (f"02:00:00:00:00:0{n}" for n in (3, 4, 1, 2))
TO_FUNCTION = (1 << 24) - 1
"""VNI of the transport to d1, where the function of red's chain is."""
SHOP = "02:00:01:00:00:01"
EVERYBODY = "ff:ff:ff:ff:ff:ff"
AIMS = {
    "own VTEP": "198.19.0.1",
    "other VTEP": "198.19.0.2",
    "domain in the management network": "198.18.1.1",
    "controller": "198.18.0.1",
    "own end in the underlay": "198.19.128.0",
    "router": "198.19.128.1",
    "all": "255.255.255.255",
    "all systems": "224.0.0.1",
}
SOURCES = ("10.0.0.1", "198.18.0.1", "198.19.0.2", "198.19.128.1", "0.0.0.0")
FUNCTIONS = """
functions:
  fw: {kind: firewall, engine: nftables, switch: s1, default: accept}
  eye: {kind: ids, switch: s1, mirrors: [red1]}
  shop:
    {kind: load-balancer, engine: haproxy, switch: s1, ipv4: 10.0.0.200, ipv6: "fd00::200", port: 80,
     backends: [red3]}
chains:
  reds: {network: red, destination: red3, functions: [fw]}
  blues: {network: blue, destination: blue3, functions: [fw]}
"""
PASSIVE = ("fw.1", "eye")
LINK_LOCAL = ("01:80:c2:00:00:00", "01:80:c2:00:00:0e", "01:00:5e:00:00:01")


def tunnelled() -> Packet:
    """A frame for blue3 or blue1, in VXLAN and in what is like it."""
    inner = Ether(src=BLUE1, dst=BLUE3) / IP(src="10.0.0.1", dst="10.0.0.3") / UDP(dport=9) / Raw(MARK)
    return VXLAN(vni=100, flags=8) / inner


def attacks(devices: dict[str, str]) -> dict[str, Packet]:
    """Name of an attack -> its frame. ``devices``: MAC by name of those in the namespace of the port."""
    frames: dict[str, Packet] = {}
    by = {"broadcast": EVERYBODY, **{f"MAC of {name}": mac for name, mac in devices.items()}}
    by |= {f"group {mac}": mac for mac in LINK_LOCAL}
    for (aim, to), source, (way, mac) in product(AIMS.items(), SOURCES, by.items()):
        if source != SOURCES[0] and way not in ("broadcast", "MAC of s1-eth2"):
            continue
        ip = IP(src=source, dst=to)
        kinds: dict[str, Packet] = {
            "VXLAN": ip / UDP(sport=5000, dport=4789) / tunnelled(),
            "ping": ip / ICMP() / Raw(MARK),
            "OpenFlow": ip / TCP(dport=6653, flags="S") / Raw(MARK),
            "OVSDB": ip / TCP(dport=6640, flags="S") / Raw(MARK),
            "GRE": ip / GRE(proto=0x6558) / Ether(src=BLUE1, dst=BLUE3) / Raw(MARK),
            "Geneve": ip / UDP(dport=6081) / Raw(b"\0\0\x65\x58\0\0\x64\0") / Raw(MARK),
            "ARP": ARP(op=1, hwsrc=RED1, psrc=source, pdst=to) / Raw(MARK),
        }
        for kind, payload in kinds.items():
            frames[f"{kind} to the {aim} from {source} by {way}"] = Ether(src=RED1, dst=mac) / payload
            if source == SOURCES[0] and way == "broadcast":
                for vlan in (0, 1):
                    tagged = Ether(src=RED1, dst=mac) / Dot1Q(vlan=vlan) / payload
                    frames[f"{kind} to the {aim} tagged {vlan}"] = tagged
    for way, mac in by.items():
        octets = bytes.fromhex(mac.replace(":", ""))
        fe80 = f"fe80::{octets[0] ^ 2:02x}{octets[1]:02x}:{octets[2]:02x}ff:fe{octets[3]:02x}:" + (
            f"{octets[4]:02x}{octets[5]:02x}"
        )
        for to in (fe80, "ff02::1", "ff02::2"):
            six = IPv6(src="fe80::3", dst=to, hlim=255)
            frames[f"ping to {to} by {way}"] = Ether(src=RED1, dst=mac) / six / ICMPv6EchoRequest(data=MARK)
            asked = ICMPv6ND_NS(tgt=fe80) / ICMPv6NDOptSrcLLAddr(lladdr=RED1) / Raw(MARK)
            frames[f"solicitation of {fe80} at {to} by {way}"] = Ether(src=RED1, dst=mac) / six / asked
            through = UDP(sport=5000, dport=4789, chksum=0) / tunnelled()
            frames[f"VXLAN to {to} by {way}"] = Ether(src=RED1, dst=mac) / six / through
    # where both tenants' chains pass the same firewall, and the destination tells a tap of all that is sent
    for (way, mac), source, to in product(
        {"broadcast": EVERYBODY, "blue3": BLUE3, "red3": RED3}.items(),
        (BLUE1, BLUE3, RED1),
        ("10.0.0.3", "255.255.255.255", "224.0.0.1", "127.0.0.1"),
    ):
        ip = IP(src="10.0.0.1", dst=to)
        for kind, payload in (("UDP", UDP(dport=9)), ("TCP", TCP(dport=80, flags="S")), ("ping", ICMP())):
            frames[f"{kind} to {to} by {way} from {source}"] = (
                Ether(src=source, dst=mac) / ip / payload / Raw(MARK)
            )
    for way, mac in (("all nodes", "33:33:00:00:00:01"), ("shop", SHOP)):
        frames[f"router advertisement by {way}"] = (
            Ether(src=RED1, dst=mac)
            / IPv6(src="fe80::ff:fe00:3", dst="ff02::1", hlim=255)
            / ICMPv6ND_RA(routerlifetime=1800)
            / ICMPv6NDOptPrefixInfo(prefix="2001:db8::", prefixlen=64, L=1, A=1)
            / ICMPv6NDOptSrcLLAddr(lladdr=RED1)
            / Raw(b"\xfd\x02" + MARK + b"!")  # an unknown option: what is no option makes it void
        )
    return frames


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A running two-domains lab in which red1 may spoof."""
    file = tmp_path_factory.mktemp("attacks") / "spoofing.yaml"
    text = (TOPOLOGIES / "two-domains.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("red1: {", "red1: {allow-spoofing: true, ") + FUNCTIONS, encoding="utf-8")
    with running(file) as line:
        yield line


def devices_of(line: CommandLine, place: str) -> dict[str, str]:
    links = json.loads(line("exec", place, "--", "ip", "-j", "link").stdout)
    return {link["ifname"]: link["address"] for link in links if link["ifname"] != "lo"}


ANSWERED = {"Icmp: InMsgs", "Udp: NoPorts", "Udp: InErrors", "Tcp: OutRsts"}
HEARD = ANSWERED | {"Udp: InDatagrams", "Ip: ForwDatagrams"}
"""The underlay's stacks take and forward the tunnels' own datagrams; those of switches nothing at all."""


def heard(line: CommandLine, place: str) -> dict[str, int]:
    """What the kernel's stack of a place took for itself, or passed on, so far (/proc/net/snmp)."""
    rows = line("exec", place, "--", "cat", "/proc/net/snmp").stdout.splitlines()
    counters = {}
    for names, values in zip(rows[::2], rows[1::2], strict=True):
        kind = names.split(":")[0]
        counted = zip(names.split()[1:], values.split()[1:], strict=True)
        counters |= {f"{kind}: {name}": int(value) for name, value in counted}
    wanted = HEARD if place.startswith("s") else ANSWERED
    if place in PASSIVE:
        wanted = HEARD | {"Ip: InDelivers", "Ip: OutRequests"}
    return {name: value for name, value in counters.items() if name in wanted}


def control(packet: Packet) -> bool:
    """Is it the OpenFlow connection of domain d1?"""
    return {packet[IP].src, packet[IP].dst} == {"198.18.0.1", "198.18.1.1"} and 6653 in (
        packet[TCP].sport,
        packet[TCP].dport,
    )


def test_no_attack_on_the_domain_has_any_effect(two: CommandLine, tmp_path: Path) -> None:
    devices = devices_of(two, "s1")
    frames = attacks(devices)
    assert len(frames) > 1000
    before = {place: heard(two, place) for place in ("s1", "s2", "d1", "d2", "r1", *PASSIVE)}
    files = {name: tmp_path / f"{name}.pcap" for name in ("red1", "blue1", "blue3", "red3", "d1-r1")}
    management = tmp_path / "management.pcap"
    with ExitStack() as stack:
        for name, file in files.items():
            stack.enter_context(capturing(two, name, file))
        words = ("tcpdump", "-Z", "root", "-Uni", "mgmt", "-w", str(management))
        tcpdump = two.start("exec", "s1", "--", *words)
        until(lambda: management.exists() and management.stat().st_size >= 24, "tcpdump listens")
        last = Ether(src=RED1, dst=RED3) / IP(src="10.0.0.1", dst="10.0.0.3") / UDP(dport=9) / Raw(HONEST)
        attacking = list(frames.values())
        send_all(two, "red1", attacking, last, lambda mark: mark in files["red3"].read_bytes())
        tcpdump.terminate()
        tcpdump.communicate(timeout=30)
    seen = {name: packets(file) for name, file in files.items()}
    named = {bytes(frame)[:90]: name for name, frame in frames.items()}

    def marked(some: list[Packet]) -> list[str]:
        return [named.get(bytes(p)[:90], p.summary()) for p in some if MARK in bytes(p)]

    assert marked(seen["blue1"]) == [] and marked(seen["blue3"]) == []
    # there, only the switches speak with their controller, which may be told of a frame (OpenFlow packet-in)
    theirs = [p for p in packets(management) if p.src == RED1 or MARK in bytes(p)]
    others = [p.summary() for p in theirs if TCP not in p or not control(p)]
    assert others == []
    # nobody of the domain answered: whoever sends to red1 or red3 is none of its devices
    own = set(devices.values()) - {RED1, RED3, BLUE1, BLUE3}  # bridges count from 02:00:00:00:00:01, too
    # A switch answers for any link-local address that says its MAC (RFC 4291, appendix A), and makes the
    # answer of the question: what the asker wrote behind it is in there. No device repeats that.
    answers = [
        p.summary()
        for n in ("red1", "red3")
        for p in seen[n]
        if p.src in own and not (ICMPv6ND_NA in p and MARK in bytes(p))
    ]
    assert answers == []
    # on the underlay it is the tenant's own: in its tunnel, on the way to its chain's function, or nothing
    for packet in seen["d1-r1"]:
        if MARK in bytes(packet):
            assert VXLAN in packet, packet.summary()
            inner = packet[VXLAN].payload
            chained = packet[VXLAN].vni == TO_FUNCTION and {inner.src, inner.dst} == {RED1, RED3}
            assert packet[VXLAN].vni == 200 or chained, packet.summary()
    # the stacks of both domains and of the router took nothing for themselves, and learned nobody
    assert {place: heard(two, place) for place in before} == before
    routes = two("exec", "shop", "--", "ip", "-6", "route", "show", "default").stdout
    assert [row for row in routes.splitlines() if "proto static" not in row] == []
    addresses = two("exec", "shop", "--", "ip", "-br", "-6", "address", "show", "eth0").stdout
    assert "fd00::200" in addresses and "2001:db8" not in addresses
    for place in ("s1", "s2"):
        known = two("exec", place, "--", "ip", "neighbour").stdout
        assert [row for row in known.splitlines() if " mgmt " not in row] == []


def test_a_domain_has_no_address_where_tenants_are_but_that_of_the_management(two: CommandLine) -> None:
    for place, address in (("s1", "198.18.1.1/16"), ("s2", "198.18.1.2/16")):
        rows = two("exec", place, "--", "ip", "-br", "address").stdout.split()
        assert [word for word in rows if "/" in word] == ["127.0.0.1/8", address]
        sockets = two("exec", place, "--", "ss", "-Hlntu").stdout
        assert sockets.strip() == ""
