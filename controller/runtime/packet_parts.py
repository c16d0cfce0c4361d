"""An IP packet's connection, and the packet with another destination: octets in, octets out."""

from __future__ import annotations

import struct
from typing import NamedTuple

from wire import ethertype, ip, tcp
from wire.checksum import checksum
from wire.protocol import TCP, UDP

_CHECKSUM = {TCP: tcp.CHECKSUM, UDP: 6}
"""Where the checksum is in each protocol's header (RFC 9293, 3.1; RFC 768)."""


class Parts(NamedTuple):
    """A whole TCP or UDP packet. ``at``, ``end``: where in the frame it is, without its IP header."""

    version: int
    source: int
    destination: int
    protocol: int
    tp_src: int
    tp_dst: int
    at: int
    end: int


def parts(frame: bytes) -> Parts | None:
    """The TCP or UDP packet in an Ethernet frame; None: it is not whole, or has IPv6 extension headers."""
    packet = ip.read(frame[14:])
    if packet is None or frame[12:14] != ethertype.octets(ethertype.OF_VERSION[packet.version]):
        return None
    least = {TCP: 20, UDP: 8}.get(packet.protocol)
    if least is None or packet.fragment or packet.ports is None:
        return None
    if len(packet.body) < packet.length or packet.length < least or (packet.version == 6 and packet.at > 40):
        return None
    source, destination = (int.from_bytes(address, "big") for address in (packet.source, packet.destination))
    at = 14 + packet.at
    return Parts(packet.version, source, destination, packet.protocol, *packet.ports, at, at + packet.length)


def sent_to(frame: bytes, what: Parts, mac: bytes, address: int, port: int) -> bytes:
    """The frame with another destination, and with new checksums.

    The old checksums are not adjusted: on virtual wires a checksum may be left to hardware (see
    ``topologies.model.transit.without_offloads``).
    """
    width = 4 if what.version == 4 else 16
    head = bytearray(frame[: what.at])
    body = bytearray(frame[what.at : what.end])
    head[0:6] = mac
    where = 30 if what.version == 4 else 38
    head[where : where + width] = address.to_bytes(width, "big")
    body[2:4] = port.to_bytes(2, "big")
    if what.version == 4:
        head[24:26] = bytes(2)
        head[24:26] = checksum(bytes(head[14:])).to_bytes(2, "big")
    place = _CHECKSUM[what.protocol]
    body[place : place + 2] = bytes(2)
    source, target = bytes(head[where - width : where]), bytes(head[where : where + width])
    total = checksum(ip.pseudo(source, target, what.protocol, len(body)) + bytes(body))
    # RFC 768: 0 means that there is no checksum
    body[place : place + 2] = (total or 0xFFFF if what.protocol == UDP else total).to_bytes(2, "big")
    return bytes(head + body)


def reset_onward(frame: bytes, what: Parts) -> bytes:
    """A reset for the receiver of a TCP segment, in place of the segment, as if from its sender.

    It has the segment's sequence number. A receiver that expects another number answers with an
    acknowledgement (RFC 5961, 3.2), which tells the number.
    """
    (sequence,) = struct.unpack_from("!I", frame, what.at + 4)
    width = 4 if what.version == 4 else 16
    source, destination = what.source.to_bytes(width, "big"), what.destination.to_bytes(width, "big")
    segment = tcp.bare(what.tp_src, what.tp_dst, sequence, 0, tcp.RST)
    return frame[:14] + tcp.in_ip(source, destination, segment)
