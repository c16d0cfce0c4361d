"""Options of TCP (RFC 9293, 7323, 2018, 7413) and IPv4 (RFC 791) headers."""

from __future__ import annotations

from nfv.ids.decode.packet import Packet

IPV4_OPTIONS = {
    "rr": 7,
    "lsrr": 131,
    "eol": 0,
    "nop": 1,
    "ts": 68,
    "sec": 130,
    "esec": 133,
    "ssrr": 137,
    "satid": 136,
}
"""The names for the keyword ``ipopts``, in addition to ``any``."""


def tcp_options(packet: Packet, data: bytes, at: int, end: int) -> None:
    """Read the options of a SYN into the packet. A malformed option gives an event and ends the reading."""
    while at < end:
        kind = data[at]
        if kind == 0:
            return
        if kind == 1:
            at += 1
            continue
        if at + 1 >= end:
            packet.event("decoder.tcp.opt_invalid_len")
            return
        length = data[at + 1]
        if length < 2 or at + length > end:
            packet.event("decoder.tcp.opt_invalid_len")
            return
        if kind == 2 and length == 4:
            packet.mss = data[at + 2] << 8 | data[at + 3]
        elif kind == 3 and length == 3:
            packet.wscale = min(data[at + 2], 14)
        elif kind == 4 and length == 2:
            packet.sack = True
        elif kind == 8 and length == 10:
            packet.tsval = int.from_bytes(data[at + 2 : at + 6], "big")
        elif kind == 34 or (kind == 254 and data[at + 2 : at + 4] == b"\xf9\x89"):
            packet.tfo = True
        at += length


def ipv4_options(packet: Packet) -> set[int]:
    """The option numbers in an IPv4 header."""
    if packet.version != 4:
        return set()
    data, at, numbers = packet.data, packet.l3 + 20, set()
    end = packet.l3 + (data[packet.l3] & 15) * 4
    while at < end:
        kind = data[at]
        numbers.add(kind)
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        if at + 1 >= end or data[at + 1] < 2:
            break
        at += data[at + 1]
    return numbers
