"""Isolation by packets: whatever a host forges, no other network sees it, and nobody believes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

import topologies
from tests.system.command_line import CommandLine
from tests.system.tenants_lab import TOPOLOGIES, capturing, packets, running, send
from tests.waiting import until

GATEWAY = "00:00:5e:00:01:01"
GATEWAY6 = "fd01:1::ffff:ffff:ffff:ffff"
"""Of network web in multi-domain.yaml: the last address of its subnet."""

MARK = b"sdnlab-forged"


def forged() -> list[Packet]:
    """What red1 might try: every frame carries the mark."""
    red1, red3, blue1, blue3 = (f"02:00:00:00:00:0{n}" for n in (3, 4, 1, 2))
    data = Raw(MARK)
    good = IP(src="10.0.0.1", dst="10.0.0.3")
    return [
        Ether(src=red1, dst=blue3) / good / UDP() / data,
        Ether(src=red1, dst=blue1) / good / UDP() / data,
        Ether(src=blue1, dst=blue3) / good / UDP() / data,
        Ether(src=blue1, dst="ff:ff:ff:ff:ff:ff") / good / UDP() / data,
        Ether(src=red1, dst=red3) / IP(src="10.0.0.77", dst="10.0.0.3") / UDP() / data,
        Ether(src=red1, dst=red3) / IPv6(src="fd00::77", dst="fd00::3") / UDP() / data,
        *(Ether(src=red1, dst=to) / Dot1Q(vlan=100) / good / UDP() / data for to in (blue3, red3)),
        *(
            Ether(src=red1, dst=to) / Dot1Q(vlan=1) / Dot1Q(vlan=100) / good / UDP() / data
            for to in (blue3, red3)
        ),
        Ether(src=GATEWAY, dst=red3) / good / UDP() / data,
        Ether(src=red1, dst=red3) / ARP(op=2, hwsrc=red1, psrc="10.0.0.3", pdst="10.0.0.3") / data,
        Ether(src=red1, dst=red3) / ARP(op=2, hwsrc=GATEWAY, psrc="10.0.0.1", pdst="10.0.0.3") / data,
        Ether(src=red1, dst=red3)
        / IPv6(src="fd00::1", dst="fd00::3", hlim=255)
        / ICMPv6ND_NA(tgt="fd00::99", O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=red1)
        / data,
    ]


def to_a_vtep() -> list[Packet]:
    """A tunnelled frame for blue3, sent by red1 as if it was a VTEP."""
    inner = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    inner /= IP(src="10.0.0.1", dst="10.0.0.3") / UDP() / Raw(MARK)
    frames = []
    for source in ("10.0.0.1", "198.19.0.1"):
        for to in ("ff:ff:ff:ff:ff:ff", GATEWAY, "02:00:00:00:00:02"):
            tunnel = IP(src=source, dst="198.19.0.2") / UDP(dport=4789) / VXLAN(vni=100) / inner
            frames.append(Ether(src="02:00:00:00:00:03", dst=to) / tunnel)
    return frames


@pytest.fixture(scope="module")
def two() -> Iterator[CommandLine]:
    """A running two-domains lab."""
    with running(TOPOLOGIES / "two-domains.yaml") as line:
        yield line


def seen(
    line: CommandLine,
    watched: list[str],
    folder: Path,
    sender: str,
    frames: list[Packet],
    last: Packet,
    where: str,
) -> dict[str, list[Packet]]:
    """What the ``watched`` saw of the frames that ``sender`` sent; ``last``, honest, ends it at ``where``."""
    files = {name: folder / f"{name}.pcap" for name in watched}
    with ExitStack() as stack:
        for name, file in files.items():
            stack.enter_context(capturing(line, name, file))
        send(line, sender, [*frames, last / Raw(b"honest")])
        until(lambda: any(b"honest" in bytes(p) for p in packets(files[where])), "the honest frame came")
    return {name: [p for p in packets(file) if MARK in bytes(p)] for name, file in files.items()}


def from_red1() -> Packet:
    honest = Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")
    return honest / IP(src="10.0.0.1", dst="10.0.0.3") / UDP()


def test_nothing_that_a_host_forges_leaves_its_port_or_its_network(two: CommandLine, tmp_path: Path) -> None:
    watched = ["blue1", "blue3", "red3"]
    received = seen(two, watched, tmp_path, "red1", [*forged(), *to_a_vtep()], from_red1(), "red3")
    assert not received["blue1"] and not received["blue3"]
    # in its own network, only what has its own source, to whomever (nobody has that address in there)
    for packet in received["red3"]:
        assert (packet.src, packet[IP].src) == ("02:00:00:00:00:03", "10.0.0.1")


def test_a_host_that_may_spoof_still_stays_in_its_network(tmp_path: Path) -> None:
    file = tmp_path / "spoofing.yaml"
    text = (TOPOLOGIES / "two-domains.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("red1: {", "red1: {allow-spoofing: true, "), encoding="utf-8")
    with running(file) as line:
        watched = ["blue1", "blue3", "red3"]
        received = seen(line, watched, tmp_path, "red1", [*forged(), *to_a_vtep()], from_red1(), "red3")
        assert not received["blue1"] and not received["blue3"]
        # they did go out: what is forged in there is the lesson
        assert {"10.0.0.77", "198.19.0.1"} <= {p[IP].src for p in received["red3"] if IP in p}
        line("ping", "blue1", "blue3")


def as_the_gateway() -> list[Packet]:
    """What web1 might try as the router of its tenant: to be it, and to be routed to other tenants."""
    web1, web2 = macs("web1", "web2")
    data = Raw(MARK)
    claims = [
        ARP(op=2, hwsrc=web1, psrc="10.1.1.254", hwdst=web2, pdst="10.1.1.2"),
        ARP(op=2, hwsrc=GATEWAY, psrc="10.1.1.254", hwdst=web2, pdst="10.1.1.2"),
        ARP(op=1, hwsrc=web1, psrc="10.1.1.254", pdst="10.1.1.254"),
        IPv6(src=GATEWAY6, dst="fd01:1::2", hlim=255)
        / ICMPv6ND_NA(tgt=GATEWAY6, R=1, S=0, O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=web1),
        IPv6(src="fd01:1::1", dst="fd01:1::2", hlim=255)
        / ICMPv6ND_NA(tgt=GATEWAY6, R=1, S=0, O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=web1),
        IP(src="10.1.1.254", dst="10.1.1.2") / UDP(),
    ]
    frames = [
        Ether(src=source, dst=to) / claim / data
        for claim in claims
        for source in (web1, GATEWAY)
        for to in (web2, "ff:ff:ff:ff:ff:ff")
    ]
    # routed: with a source of the other network, of another tenant, and to another tenant's networks
    for source, to in (
        ("10.1.2.1", "10.1.2.2"),
        ("192.168.7.1", "10.1.2.2"),
        ("10.1.1.1", "192.168.7.2"),
        ("10.1.1.1", "198.19.0.3"),
        ("10.1.1.1", "198.18.0.1"),
    ):
        frames.append(Ether(src=web1, dst=GATEWAY) / IP(src=source, dst=to) / UDP() / data)
    return frames


def macs(*names: str) -> list[str]:
    """MAC addresses of hosts of multi-domain.yaml, as numbered in the order of names."""
    hosts = topologies.load(TOPOLOGIES / "multi-domain.yaml").hosts
    return [next(host.mac for host in hosts if host.name == name) for name in names]


def test_nobody_becomes_the_gateway_and_no_tenant_is_routed_to_another(tmp_path: Path) -> None:
    with running(TOPOLOGIES / "multi-domain.yaml") as five:
        watched = ["web2", "db1", "db2", "shop1", "shop2", "stock2", "lab1", "lab2"]
        web1, web2 = macs("web1", "web2")
        last = Ether(src=web1, dst=web2) / IP(src="10.1.1.1", dst="10.1.1.2") / UDP()
        received = seen(five, watched, tmp_path, "web1", as_the_gateway(), last, "web2")
        assert not any(received.values()), {
            name: [p.summary() for p in some] for name, some in received.items()
        }
        # to 10.1.2.2 it is routed: to its own tenant's, not to the one of the same address
        routed = Ether(src=web1, dst=GATEWAY) / IP(src="10.1.1.1", dst="10.1.2.2", ttl=9) / UDP() / Raw(MARK)
        received = seen(five, watched, tmp_path, "web1", [routed], last, "web2")
        ways = {name: [p[IP].ttl for p in some if UDP in p] for name, some in received.items() if some}
        assert ways == {"db2": [8]}
        for family, gateway in (("-4", "10.1.1.254"), ("-6", GATEWAY6)):
            five("exec", "web2", "--", "ping", family, "-c1", "db2")
            assert GATEWAY in five("exec", "web2", "--", "ip", family, "neighbour", "show", gateway).stdout
