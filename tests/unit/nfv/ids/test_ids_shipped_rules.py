"""The rules that come with sdnlab: each finds what it is for, and everyday traffic sets none off."""

from __future__ import annotations

from pathlib import Path

from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import nfv.ids
from tests.unit.nfv.ids.ids_values import MACS, Talk, run, sids

RULES = (Path(nfv.ids.__file__).parent / "rules/sdnlab.rules").read_text()


def frame(*layers: object) -> bytes:
    packet = Ether(src=MACS[0], dst=MACS[1]) / IP(src="10.0.0.1", dst="10.0.0.2")
    for layer in layers:
        packet = packet / layer
    return bytes(packet)


def alerting_rules(frames: list[bytes]) -> set[int]:
    return set(sids(run(RULES, frames)))


def test_port_scans() -> None:
    scan = [frame(TCP(sport=40000, dport=port, flags="S")) for port in range(1, 60)]
    assert alerting_rules(scan) == {9000001}
    assert alerting_rules([frame(TCP(flags="SF"))]) == {9000002}
    assert alerting_rules([frame(TCP(flags="", ack=0))]) == {9000003}
    assert alerting_rules([frame(TCP(flags="FPU"))]) == {9000004}
    again = [frame(TCP(sport=port, dport=80, flags="S")) for port in range(1000, 1100)]
    assert not alerting_rules(again), "many connections to one port are no scan"


def test_reverse_shells() -> None:
    shell = b"bash: cannot set terminal process group (812): Inappropriate ioctl for device\n"
    shell += b"bash: no job control in this shell\n"
    assert alerting_rules(Talk(dp=4444).exchange(shell, b"id\n")) == {9000011}
    windows = (
        b"Microsoft Windows [Version 10.0.19045.3803]\r\n(c) Microsoft Corporation. All rights reserved."
    )
    assert alerting_rules(Talk(dp=4444).exchange(windows, b"dir\r\n")) == {9000012}
    assert alerting_rules(Talk(dp=4444).exchange(b"uid=0(root) gid=0(root) groups=0(root)\n", b"id\n")) == {
        9000013
    }


def request(uri: bytes) -> list[bytes]:
    return Talk().exchange(
        b"GET " + uri + b" HTTP/1.1\r\nHost: shop\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )


def test_sql_injection() -> None:
    assert alerting_rules(request(b"/item?id=1%20UNION%20ALL%20SELECT%20user,password%20FROM%20users")) == {
        9000021
    }
    assert alerting_rules(request(b"/login?user=admin'%20or%20'1'='1")) == {9000022}
    assert alerting_rules(request(b"/login?user=x'+or+1=1--")) == {9000022}
    assert alerting_rules(request(b"/item?id=1%3bDROP%20TABLE%20users")) == {9000023}


def query(name: str, port: int = 5000) -> bytes:
    return frame(UDP(sport=port, dport=53), DNS(rd=1, qd=DNSQR(qname=name)))


def test_dns_tunnels() -> None:
    long = ".".join("a" * 50 for _ in range(3)) + ".t.example.org"
    assert alerting_rules([query(long)]) == {9000031}
    assert alerting_rules([query(f"{at:040x}.d.t.example.org", 5000 + at) for at in range(40)]) == {9000032}


def test_icmp_tunnels() -> None:
    large = [frame(ICMP(type=8, id=7, seq=at), Raw(b"x" * 900)) for at in range(20)]
    assert alerting_rules(large) == {9000041}
    inner = bytes(IP(src="172.16.0.1", dst="172.16.0.2") / TCP())
    assert alerting_rules([frame(ICMP(type=8), Raw(inner))]) == {9000042}
    assert alerting_rules([frame(ICMP(type=0), Raw(b"SSH-2.0-OpenSSH_9.2"))]) == {9000043}


def test_everyday_traffic_sets_nothing_off() -> None:
    frames = request(b"/search?q=select+a+union+representative&page=2")
    frames += [
        query(name, 6000 + at)
        for at, name in enumerate(("example.org", "www.debian.org", "a.b.c.d.e.f.example"))
    ]
    frames += [frame(ICMP(type=8, id=1, seq=at), Raw(bytes(range(56)))) for at in range(30)]
    frames += Talk(dp=22, sp=4100).exchange(b"SSH-2.0-OpenSSH_9.2\r\n", b"SSH-2.0-OpenSSH_8.4\r\n")
    assert not alerting_rules(frames)
