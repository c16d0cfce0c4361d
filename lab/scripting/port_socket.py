"""Scapy's supersockets at the port of a host: frames (layer 2) and packets (layer 3).

Scapy itself fills in what a packet leaves out from the machine's interfaces and routes. Here it is the host
that sends, so its addresses are filled in, and a next hop's MAC address is asked for in the lab.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6ND_NA, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import NoPayload, Packet
from scapy.plist import PacketList
from scapy.supersocket import SuperSocket

from lab.probe import frames
from lab.scripting.ports import Ports, Station
from linux.readiness import readable
from wire.mac import BROADCAST, mac_octets, mac_text

TRIES, PATIENCE = 3, 0.3
"""How often a next hop is asked for its MAC address, and the seconds until it is asked again."""
BIGGEST = 1 << 16
_log = logging.getLogger("scapy.runtime")


def filled(packets: Any, station: Station) -> Any:
    """Packets, as scapy takes them, with the host's addresses where they have no source; copies."""
    if isinstance(packets, Packet):
        return _filled(packets.copy(), station)
    if isinstance(packets, (list, tuple, PacketList)):
        return [filled(packet, station) for packet in packets]
    return packets if not isinstance(packets, Iterable) else (filled(packet, station) for packet in packets)


def _filled(packet: Packet, station: Station) -> Packet:
    ipv4 = None if station.ipv4 is None else str(station.ipv4.ip)
    ipv6 = None if station.ipv6 is None else str(station.ipv6.ip)
    layer = packet
    while not isinstance(layer, NoPayload):
        if isinstance(layer, Ether):
            _default(layer, "src", station.mac)
        elif isinstance(layer, IP):
            _default(layer, "src", ipv4)
        elif isinstance(layer, IPv6):
            _default(layer, "src", ipv6)
        elif isinstance(layer, ARP):
            _default(layer, "hwsrc", station.mac)
            _default(layer, "psrc", ipv4)
        layer = layer.payload
    return packet


def _default(layer: Packet, field: str, value: str | None) -> None:
    if field not in layer.fields and value is not None:
        setattr(layer, field, value)


class FrameSocket(SuperSocket):  # type: ignore[misc]
    """Frames at a host's port: sends as the host does, sees what the host receives (``outgoing``: also what
    it sends)."""

    desc = "frames at the port of a host in a lab"
    closed: bool

    def __init__(self, ports: Ports, host: str, *, outgoing: bool = False, filter: str = "") -> None:
        self._ports, self._host = ports, host
        self._station = ports.station(host)
        self.ins, self.iface = ports.take(host, outgoing=outgoing, filter=filter)
        self.outs = self.ins
        self.promisc = True

    def send(self, x: Packet) -> int:
        """Send a frame, or a packet without a frame; what it leaves out is filled in."""
        frame = completed(x, self._station, self._ports) if isinstance(x, Packet) else x
        octets = bytes(frame)
        if isinstance(x, Packet):
            x.sent_time = time.time()
        return self.outs.send(octets)

    def recv_raw(self, x: int = BIGGEST) -> tuple[type[Packet] | None, bytes | None, float | None]:
        """A frame, as scapy wants it: class, octets, time."""
        return Ether, self.ins.recv(x), time.time()

    def close(self) -> None:
        """Give the socket back."""
        if not self.closed:
            self.closed = True
            if hasattr(self, "ins"):  # else it was refused
                self._ports.give_back(self._host, self.ins)


class PacketSocket(FrameSocket):
    """Packets at a host's port, without their frames."""

    desc = "packets at the port of a host in a lab"

    def recv(self, x: int = BIGGEST, **more: Any) -> Packet | None:
        """The packet in the next frame."""
        frame = super().recv(x, **more)
        if frame is None:
            return None
        packet = frame.payload
        packet.time = frame.time
        return packet


def completed(packet: Packet, station: Station, ports: Ports) -> Packet:
    """The frame of a packet, or the frame itself, with both its addresses. ``ports`` finds the next hop."""
    if not isinstance(packet, Ether):
        return Ether(src=station.mac, dst=_target(packet, station, ports)) / packet
    if "dst" not in packet.fields:
        packet.dst = _target(packet.payload, station, ports)
    return packet


def each_of(packets: Any) -> Iterator[Packet]:
    """All packets, each an object of its own: one may stand for many, and several may stand together."""
    if isinstance(packets, Packet):
        yield from packets
    else:
        for some in packets:
            yield from each_of(some)


def octets(packets: Any, station: Station, ports: Ports) -> Iterator[bytes]:
    """The frames of packets as octets, faster than scapy puts a frame around each."""
    headers: dict[str, bytes] = {}
    for packet in each_of(packets):
        _filled(packet, station)
        packet.explicit = (
            1  # it stands for itself alone: else scapy goes through its fields once more, as a copy
        )
        kind = _ETHERTYPES.get(type(packet))
        if kind is None:
            yield bytes(completed(packet, station, ports))
            continue
        to = str(packet.dst)
        if to not in headers:
            headers[to] = mac_octets(_target(packet, station, ports)) + mac_octets(station.mac) + kind
        yield headers[to] + bytes(packet)


_ETHERTYPES = {IP: b"\x08\x00", IPv6: b"\x86\xdd"}


def _target(packet: Packet, station: Station, ports: Ports) -> str:
    """The MAC address for a packet's destination."""
    if not isinstance(packet, (IP, IPv6)):
        return mac_text(BROADCAST)
    address = ip_address(str(packet.dst))
    if (group := _group(address, station)) is not None:
        return group
    hop = station.next_hop(str(address))
    mac = ports.remembered(station.name, hop) or _asked(hop, station, ports)
    if mac is None:
        _log.warning("nobody answers for %s at %s; it is sent to all", hop, station.name)
        return mac_text(BROADCAST)
    ports.remember(station.name, hop, mac)
    return mac


def _group(address: IPv4Address | IPv6Address, station: Station) -> str | None:
    """The MAC address of a multicast or broadcast address (RFC 1112, 6.4; RFC 2464, 7); None for others."""
    octets = address.packed
    if isinstance(address, IPv6Address):
        return _text(b"\x33\x33" + octets[-4:]) if address.is_multicast else None
    if address.is_multicast:
        return _text(b"\x01\x00\x5e" + bytes([octets[1] & 0x7F]) + octets[2:])
    broadcast = station.ipv4 is not None and address == station.ipv4.network.broadcast_address
    return mac_text(BROADCAST) if broadcast or octets == b"\xff" * 4 else None


def _text(mac: bytes) -> str:
    return mac_text(int.from_bytes(mac, "big"))


def _asked(hop: str, station: Station, ports: Ports) -> str | None:
    """Ask in the lab, by ARP or neighbour discovery, for an address's MAC address; None: nobody answers."""
    address = ip_address(hop)
    own = station.ipv4 if address.version == 4 else station.ipv6
    if own is None:
        return None
    asks = frames.station(
        station.name,
        station.mac,
        station.ipv4.ip if station.ipv4 else None,
        station.ipv6.ip if station.ipv6 else None,
    )
    build = frames.arp_request if address.version == 4 else frames.neighbour_solicitation
    question = build(asks, address.packed)
    raw, _ = ports.take(station.name, filter="arp" if address.version == 4 else "icmp6")
    try:
        for _ in range(TRIES):
            raw.send(question)
            until = time.monotonic() + PATIENCE
            while readable([raw], max(0.0, until - time.monotonic())):
                if (mac := _answer(Ether(raw.recv(BIGGEST)), hop)) is not None:
                    return mac
    finally:
        ports.give_back(station.name, raw)
    return None


def _answer(frame: Packet, hop: str) -> str | None:
    """The MAC address that a frame tells about an address; None when it tells nothing."""
    if ARP in frame and frame[ARP].op == 2 and frame[ARP].psrc == hop:
        return str(frame[ARP].hwsrc)
    if ICMPv6ND_NA in frame and ip_address(frame[ICMPv6ND_NA].tgt) == ip_address(hop):
        option = frame[ICMPv6ND_NA].payload
        return str(getattr(option, "lladdr", frame.src))
    return None
