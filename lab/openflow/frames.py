"""The frame in a packet-in or packet-out in a line, as a student reads it. Pure."""

from __future__ import annotations

from lab.checks.frames import in_words, ip_text
from wire import arp, ethertype, ip

_LLDP = 0x88CC
_NAMES = {_LLDP: "LLDP", ethertype.MPLS: "MPLS", ethertype.PROBE: "sdnlab's probe", 0x88BF: "MikroTik RoMON"}
_BPDU = bytes.fromhex("0180c2000000")
_LEAST = 14


def frame_text(frame: bytes) -> str:
    """``ARP who has 10.0.0.2? tell 10.0.0.1 (MAC > MAC)``; says so when there is too little of it."""
    if len(frame) < _LEAST:
        return f"{len(frame)} bytes, too short for a frame" if frame else ""
    macs = f"({frame[6:12].hex(':')} > {frame[:6].hex(':')})"
    kind, body, vlan = int.from_bytes(frame[12:14], "big"), frame[14:], ""
    while kind in (ethertype.VLAN, ethertype.QINQ) and len(body) >= 4:
        vlan += f"VLAN {int.from_bytes(body[:2], 'big') & 0xFFF} "
        kind, body = int.from_bytes(body[2:4], "big"), body[4:]
    return f"{vlan}{_inner(kind, body, frame[:6])} {macs}"


def _inner(kind: int, body: bytes, target: bytes) -> str:
    if kind == ethertype.ARP:
        return _arp(body)
    if kind in (ethertype.IPV4, ethertype.IPV6):
        packet = ip.read(body)
        return in_words(packet) if packet is not None else "IP, cut off"
    if kind < 0x600:
        return "spanning tree" if target == _BPDU else "IEEE 802.3"
    return _NAMES.get(kind, f"EtherType {kind:#06x}")


def _arp(body: bytes) -> str:
    message = arp.read(body)
    if message is None:
        return "ARP"
    operation, mac, sender, target = message
    if operation == arp.REQUEST:
        return f"ARP who has {ip_text(target)}? tell {ip_text(sender)}"
    return f"ARP {ip_text(sender)} is at {mac.hex(':')}"
