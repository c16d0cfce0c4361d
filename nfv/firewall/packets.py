"""Reading an IP packet as far as a log line and a refusal need it. Pure.

Standard library only, since it runs in the function's process.
"""

from __future__ import annotations

import socket
import struct

from wire.protocol import AUTHENTICATION, ESP, EXTENSIONS, FRAGMENT, GRE, ICMP, ICMPV6, SCTP, TCP, UDP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from collections import namedtuple

NAMES = {TCP: "TCP", UDP: "UDP", SCTP: "SCTP", ICMP: "ICMP", ICMPV6: "IPv6-ICMP", GRE: "GRE", ESP: "ESP"}

if TYPE_CHECKING:

    class Packet(NamedTuple):
        """``source``, ``destination``: 4 or 16 octets. ``body``: from its protocol's header on.
        ``later``: a fragment without that header. ``ports``: None if the protocol has none."""

        version: int
        source: bytes
        destination: bytes
        protocol: int
        body: bytes
        later: bool
        ports: tuple[int, int] | None

else:
    Packet = namedtuple("Packet", "version source destination protocol body later ports")


def parse(data: bytes) -> Packet | None:
    """An IPv4 or IPv6 packet, which may be cut short; None if it is neither."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        later = struct.unpack_from("!H", data, 6)[0] & 0x1FFF != 0
        return _packet(4, data[12:16], data[16:20], data[9], data[(data[0] & 15) * 4 :], later)
    if len(data) >= 40 and data[0] >> 4 == 6:
        following, at, later = data[6], 40, False
        while following in EXTENSIONS and at + 8 <= len(data):
            if following == FRAGMENT:
                later = later or struct.unpack_from("!H", data, at + 2)[0] & 0xFFF8 != 0
                length = 8
            elif following == AUTHENTICATION:
                length = (data[at + 1] + 2) * 4
            else:
                length = (data[at + 1] + 1) * 8
            following, at = data[at], at + length
            if later:
                break
        return _packet(6, data[8:24], data[24:40], following, data[at:], later)
    return None


def _packet(
    version: int, source: bytes, destination: bytes, protocol: int, body: bytes, later: bool
) -> Packet:
    ports = None
    if protocol in (TCP, UDP, SCTP) and not later and len(body) >= 4:
        ports = struct.unpack_from("!HH", body)
    return Packet(version, source, destination, protocol, body, later, ports)


def text(address: bytes) -> str:
    """An address as people write it."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def fields(packet: Packet) -> dict[str, Any]:
    """What EVE says of a packet: ``src_ip``, ``dest_ip``, ``proto``; if it has them, the ports."""
    found: dict[str, Any] = {
        "src_ip": text(packet.source),
        "dest_ip": text(packet.destination),
        "proto": NAMES.get(packet.protocol, str(packet.protocol)),
    }
    if packet.ports is not None:
        found["src_port"], found["dest_port"] = packet.ports
    return found


def pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """The pseudo-header of RFC 9293 (3.1) and RFC 8200 (8.1)."""
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!IxxxB", length, protocol)
