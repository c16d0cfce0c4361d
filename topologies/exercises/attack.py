"""Attacks made with scapy, for the exercise ids.yaml: those of attack.sh, and some that need crafted packets.

usage: python attack.py NAME ADDRESS    python attack.py list
What is sent is harmless: it only looks like the real thing.
"""

from __future__ import annotations

import random
import socket
import string
import sys
from collections.abc import Callable, Iterable

from scapy.config import conf
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.http import HTTP, HTTPRequest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Packet, Raw
from scapy.sendrecv import send
from scapy.supersocket import StreamSocket


def send_packets(crafted: Packet | Iterable[Packet], pause: float = 0.01) -> None:
    """Send packets of layer 3."""
    conf.verb = 0
    send(crafted, inter=pause)


def flags(which: str) -> Callable[[str], None]:
    """A scan of one port with these TCP flags."""

    def attack(target: str) -> None:
        send_packets(IP(dst=target) / TCP(sport=40000, dport=80, flags=which, ack=0))

    return attack


def scan(target: str) -> None:
    """A SYN to each of 60 ports."""
    send_packets([IP(dst=target) / TCP(sport=41000, dport=port, flags="S") for port in range(8001, 8061)])


def request(path: str) -> Callable[[str], None]:
    """A request with this path and query."""

    def attack(target: str) -> None:
        with socket.create_connection((target, 80), 3) as connection:
            stream = StreamSocket(connection, HTTP)
            stream.send(HTTP() / HTTPRequest(Host=target.encode(), Path=path.encode(), Connection=b"close"))
            connection.settimeout(3)
            while connection.recv(65536):
                pass

    return attack


def letters(number: int) -> str:
    """So many random letters and digits, like encoded data."""
    return "".join(random.choices(string.ascii_lowercase + string.digits, k=number))


def question(name: str, target: str) -> Packet:
    """A DNS query for the TXT record of a name."""
    port = random.randrange(30000, 60000)
    return IP(dst=target) / UDP(sport=port, dport=53) / DNS(rd=1, qd=DNSQR(qname=name, qtype="TXT"))


def long_name(target: str) -> None:
    """Data in one long name."""
    send_packets(question(f"{letters(60)}.{letters(55)}.example", target))


def many_names(target: str) -> None:
    """Data in many shorter names."""
    send_packets([question(f"{letters(56)}.t.example", target) for _ in range(30)])


def echoes(payload: bytes, count: int = 1) -> Callable[[str], None]:
    """Echo requests with this payload."""

    def attack(target: str) -> None:
        send_packets([IP(dst=target) / ICMP(id=7, seq=n) / Raw(payload) for n in range(count)])

    return attack


def echoes6(target: str) -> None:
    """The same with IPv6."""
    send_packets([IPv6(dst=target) / ICMPv6EchoRequest(id=7, seq=n, data=b"d" * 800) for n in range(14)])


def ip_in_echo(target: str) -> None:
    """A whole IP packet in an echo request."""
    inner = IP(src="192.168.9.1", dst="192.168.9.2") / UDP(sport=1, dport=2) / Raw(b"through the tunnel")
    send_packets(IP(dst=target) / ICMP() / inner)


def says(text: bytes) -> Callable[[str], None]:
    """A connection to the attacker's port 4444 that sends this text and ends."""

    def attack(target: str) -> None:
        with socket.create_connection((target, 4444), 3) as connection:
            StreamSocket(connection, Raw).send(Raw(text))

    return attack


ATTACKS: dict[str, Callable[[str], None]] = {
    "scan": scan,
    "syn-fin": flags("SF"),
    "null": flags(""),
    "xmas": flags("FPU"),
    "union": request("/items?id=1+UNION+ALL+SELECT+name,password+FROM+users"),
    "always-true": request("/login?user=admin'+or+'1'='1"),
    "second-statement": request("/items?id=1;drop+table+users"),
    "long-name": long_name,
    "many-names": many_names,
    "large-echoes": echoes(b"d" * 800, 14),
    "large-echoes6": echoes6,
    "ip-in-echo": ip_in_echo,
    "ssh-in-echo": echoes(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "shell": says(b"bash: cannot set terminal process group (7): Inappropriate ioctl for device\n"),
    "windows-shell": says(b"Microsoft Windows [Version 10.0.19045.3693]\r\n(c) Microsoft Corporation.\r\n"),
    "id": says(b"uid=0(root) gid=0(root) groups=0(root)\n"),
}


def main() -> int:
    """Run one attack."""
    if len(sys.argv) != 3 or sys.argv[1] not in ATTACKS:
        print(f"usage: attack.py NAME ADDRESS\nnames: {' '.join(ATTACKS)}")
        return 0 if sys.argv[1:] == ["list"] else 2
    ATTACKS[sys.argv[1]](sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
