"""Broadcasts and multicasts in a running lab full of loops: each member gets one copy, also after cuts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import capturing, packets, running, send
from tests.waiting import until

TOPOLOGY = """\
name: broadcasts
switches: [s1, s2, s3, s4]
links: [s1 -- s2, s2 -- s3, s3 -- s4, s4 -- s1, s1 -- s3, s2 -- s4]
networks:
  lan: {subnet4: 10.0.0.0/24, subnet6: "fd00::/64"}
  other: {subnet4: 10.1.0.0/24, subnet6: "fd01::/64"}
  closed: {subnet4: 10.2.0.0/24}
hosts:
  a: {switch: s1, network: lan, mac: "02:00:00:00:00:0a", ipv4: 10.0.0.1}
  b: {switch: s2, network: lan}
  c: {switch: s3, network: lan}
  d: {switch: s4, network: lan}
  e: {switch: s1, network: lan}
  x: {switch: s3, network: other}
  y: {switch: s1, network: other, mac: "02:00:00:00:00:0b"}
  p: {switch: s1, network: closed, mac: "02:00:00:00:00:0c", ipv4: 10.2.0.1}
  q: {switch: s3, network: closed}
functions:
  wall:
    kind: firewall
    engine: openflow
    networks: [closed]
    default: drop
    rules: [{action: accept, protocol: udp, destination: 239.1.1.1, ports: 5000}]
"""
A, P = "02:00:00:00:00:0a", "02:00:00:00:00:0c"
ALL = "ff:ff:ff:ff:ff:ff"


def said(text: str, mac: str = A, address: str = "10.0.0.1") -> list[Packet]:
    """What hosts say to all, each with a text that tells it."""
    local = "fe80::ff:fe00:a"
    asked = ARP(op=1, hwsrc=mac, psrc=address, pdst=f"{address.rsplit('.', 1)[0]}.99")
    return [
        Ether(src=mac, dst=ALL, type=0x88B5) / Raw(f"{text} ethernet".encode()),
        Ether(src=mac, dst=ALL)
        / IP(src="0.0.0.0", dst="255.255.255.255")
        / UDP(sport=68, dport=67)
        / BOOTP(op=1, chaddr=bytes.fromhex(mac.replace(":", "")), sname=f"{text} dhcp".encode())
        / DHCP(options=[("message-type", "discover"), "end"]),
        Ether(src=mac, dst="01:00:5e:00:00:fb")
        / IP(src=address, dst="224.0.0.251")
        / UDP(sport=5353, dport=5353)
        / Raw(f"{text} mdns".encode()),
        Ether(src=mac, dst="01:00:5e:01:02:03")
        / IP(src=address, dst="239.1.2.3")
        / UDP(sport=9, dport=9)
        / Raw(f"{text} group".encode()),
        Ether(src=mac, dst="33:33:00:00:00:fb")
        / IPv6(src=local, dst="ff02::fb")
        / UDP(sport=5353, dport=5353)
        / Raw(f"{text} mdns6".encode()),
        Ether(src=mac, dst=ALL) / asked / Raw(f"{text} stranger".encode()),
    ]


SORTS = ("ethernet", "dhcp", "mdns", "group", "mdns6", "stranger")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    file = tmp_path_factory.mktemp("broadcasts") / "broadcasts.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    with running(file) as line:
        yield line


def heard(file: Path, text: str) -> list[str]:
    """The sorts of the frames with this text, sorted."""
    whole = [bytes(packet) for packet in packets(file)]
    return sorted(sort for data in whole for sort in SORTS if f"{text} {sort}\0".encode() in data + b"\0")


def all_say(line: CommandLine, tmp_path: Path, text: str, hosts: str = "bcdexy") -> dict[str, list[str]]:
    """What each host hears when ``a`` says all of it."""
    with ExitStack() as stack:
        files = {name: tmp_path / f"{text}-{name}.pcap" for name in hosts}
        for name, file in files.items():
            stack.enter_context(capturing(line, name, file))
        send(line, "a", said(text))
        # what comes after it is heard after it: so nothing more is on its way
        after = Ether(src=A, dst=ALL, type=0x88B6) / Raw(f"after {text}".encode())
        send(line, "a", [after])
        last = f"after {text}".encode()
        for name in set(hosts) - set("xy"):
            until(
                lambda name=name: any(last in bytes(p) for p in packets(files[name])),  # type: ignore[misc]
                f"{name} heard the last",
            )
        line("ping", "x", "y")
        for name in set(hosts) & set("xy"):
            until(lambda name=name: packets(files[name]), f"{name} hears anything")  # type: ignore[misc]
    return {name: heard(file, text) for name, file in files.items()}


def test_each_member_gets_one_copy_also_when_links_of_the_tree_are_cut(
    lab: CommandLine, tmp_path: Path
) -> None:
    wanted = {name: sorted(SORTS) for name in "bcde"} | {"x": [], "y": []}
    assert all_say(lab, tmp_path, "whole") == wanted
    cut = []
    try:
        for ends in (("s1", "s2"), ("s1", "s3")):
            lab("link", "down", *ends)
            cut.append(ends)
            lab("ping", "a", "b")
            assert all_say(lab, tmp_path, f"without{len(cut)}") == wanted
    finally:
        for ends in cut:
            lab("link", "up", *ends)
    lab("ping", "a", "b")
    assert all_say(lab, tmp_path, "again") == wanted


def test_a_firewall_at_ports_decides_about_broadcasts(lab: CommandLine, tmp_path: Path) -> None:
    file, local = tmp_path / "q.pcap", tmp_path / "x.pcap"
    with capturing(lab, "q", file), capturing(lab, "x", local):
        send(lab, "p", said("closed", P, "10.2.0.1"))
        admitted = (
            Ether(src=P, dst="01:00:5e:01:01:01")
            / IP(src="10.2.0.1", dst="239.1.1.1")
            / UDP(sport=9, dport=5000)
            / Raw(b"admitted")
        )
        send(lab, "p", [admitted])
        until(lambda: any(b"admitted" in bytes(p) for p in packets(file)), "what is admitted")
    # neither IPv4 nor IPv6: it passes every firewall at ports
    assert heard(file, "closed") == ["ethernet", "stranger"]
    assert sum(b"admitted" in bytes(packet) for packet in packets(file)) == 1
    assert not heard(local, "closed")


def test_no_forged_sender_and_no_tag_is_carried(lab: CommandLine, tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.pcap" for name in "bx"}
    forged = [
        Ether(src="02:00:00:00:00:0b", dst=ALL, type=0x88B5) / Raw(b"forged mac"),
        Ether(src=A, dst="01:00:5e:00:00:fb")
        / IP(src="10.0.0.9", dst="224.0.0.251")
        / UDP()
        / Raw(b"forged ip"),
        Ether(src=A, dst=ALL) / ARP(op=1, hwsrc=A, psrc="10.0.0.9", pdst="10.0.0.99") / Raw(b"forged arp"),
        *(
            Ether(src=A, dst=ALL) / Dot1Q(vlan=vid, prio=prio, type=0x88B5) / Raw(b"forged tag")
            for vid in (0, 1, 2, 3, 65, 129)
            for prio in range(8)
        ),
    ]
    with capturing(lab, "b", files["b"]), capturing(lab, "x", files["x"]):
        send(lab, "a", [*forged, *said("honest")])
        until(lambda: heard(files["b"], "honest") == sorted(SORTS), "what is honest")
        lab("ping", "x", "y")
        until(lambda: packets(files["x"]), "x hears anything")
    for file in files.values():
        assert not [packet for packet in packets(file) if b"forged" in bytes(packet)]
