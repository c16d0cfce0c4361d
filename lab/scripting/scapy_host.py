"""Scapy at a host: ``send``, ``sr1``, ``srp``, ``sniff`` and others, as scapy has them, from the host's port.

Namespaces, containers and virtual machines are alike here: a frame that is sent is one that the host sends,
and what is seen is what passes its switch port.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from typing import Any

from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.plist import PacketList, SndRcvList
from scapy.sendrecv import AsyncSniffer

from lab.failure import Failure
from lab.scripting import delivery
from lab.scripting.delivery import Delivery, NotDelivered
from lab.scripting.port_socket import FrameSocket, PacketSocket, completed, each_of, filled, octets
from lab.scripting.ports import Ports

PacketKey = Callable[[Packet], Hashable]
PATIENCE = 5.0
QUIET = 0.5


class ScapyHost:
    """A host as scapy sends and sees packets there.

    Packets are scapy's. What they leave out is the host's: its MAC and IP addresses as the source, and the
    next hop's MAC address, which is asked for in the lab. All other arguments are those of scapy's functions.
    """

    def __init__(self, name: str, ports: Ports) -> None:
        self.name = name
        self._ports = ports

    def __repr__(self) -> str:
        station = self._ports.station(self.name)
        addresses = ", ".join(str(part) for part in (station.ipv4, station.ipv6, station.mac) if part)
        return f"<host {self.name}: {addresses}>"

    @property
    def ip(self) -> str | None:
        """Its IPv4 address."""
        ipv4 = self._ports.station(self.name).ipv4
        return None if ipv4 is None else str(ipv4.ip)

    @property
    def ipv6(self) -> str | None:
        """Its IPv6 address."""
        ipv6 = self._ports.station(self.name).ipv6
        return None if ipv6 is None else str(ipv6.ip)

    @property
    def mac(self) -> str:
        """Its MAC address."""
        return self._ports.station(self.name).mac

    def send(self, packets: Any, **options: Any) -> PacketList | None:
        """Send packets (layer 3). ``count``, ``inter``, ``loop``, ``return_packets`` as scapy's ``send``."""
        with self.l3socket() as raw:
            return _send(raw, self._filled(packets), **options)

    def sendp(self, packets: Any, **options: Any) -> PacketList | None:
        """Send frames (layer 2), with the options of ``send``."""
        with self.l2socket() as raw:
            return _send(raw, self._filled(packets), **options)

    def sr(self, packets: Any, *, filter: str = "", **options: Any) -> tuple[SndRcvList, PacketList]:
        """Send packets, and return (pairs of packet and answer, packets without an answer)."""
        with self.l3socket(filter) as raw:
            pairs, unanswered = raw.sr(self._filled(packets), **options)
            return pairs, unanswered

    def sr1(self, packets: Any, *, filter: str = "", **options: Any) -> Packet | None:
        """Send packets, and return the first answer, or None after ``timeout`` seconds."""
        with self.l3socket(filter) as raw:
            return raw.sr1(self._filled(packets), **options)

    def srp(self, packets: Any, *, filter: str = "", **options: Any) -> tuple[SndRcvList, PacketList]:
        """``sr`` for frames."""
        with self.l2socket(filter) as raw:
            pairs, unanswered = raw.sr(self._filled(packets), **options)
            return pairs, unanswered

    def srp1(self, packets: Any, *, filter: str = "", **options: Any) -> Packet | None:
        """``sr1`` for frames."""
        with self.l2socket(filter) as raw:
            return raw.sr1(self._filled(packets), **options)

    def sniff(self, *, filter: str = "", **options: Any) -> PacketList:
        """See what the host sends and receives. ``count``, ``timeout``, ``prn``, ``lfilter`` as in scapy;
        ``filter`` as in pcap-filter(7)."""
        with self.l2socket(filter, outgoing=True) as raw:
            return raw.sniff(**options)

    def sniffer(self, *, filter: str = "", **options: Any) -> AsyncSniffer:
        """Scapy's ``AsyncSniffer`` here: it sees what passes between its ``start()`` and its ``stop()``."""
        return AsyncSniffer(opened_socket=self.l2socket(filter, outgoing=True), **options)

    def l2socket(self, filter: str = "", *, outgoing: bool = False) -> FrameSocket:
        """A supersocket for frames; close it, or use it in ``with``."""
        return FrameSocket(self._ports, self.name, outgoing=outgoing, filter=filter)

    def l3socket(self, filter: str = "") -> PacketSocket:
        """A supersocket for packets; close it, or use it in ``with``."""
        return PacketSocket(self._ports, self.name, filter=filter)

    def send_and_expect(
        self,
        packets: Any,
        at: str | Sequence[str],
        *,
        timeout: float = PATIENCE,
        key: PacketKey | None = None,
        check: bool = True,
    ) -> Delivery:
        """Send packets or frames, all at once, and expect each at a host, or at each of several, once.

        ``timeout``: seconds to wait after the last is sent. A packet is recognised by all its octets but MAC
        addresses, TTL and padding; ``key`` chooses something else, when a function changes packets on the
        way: ``key=lambda packet: packet[UDP].dport``. Raises NotDelivered, unless ``check`` is False.
        """
        told = self._deliver(packets, at, timeout, key, nothing=False)
        if check and not told:
            raise NotDelivered(f"from {self.name}: {told}", _examples(told, self._built(packets)), told)
        return told

    def send_and_expect_nothing(
        self, packets: Any, at: str | Sequence[str], *, within: float = QUIET, key: PacketKey | None = None
    ) -> Delivery:
        """Send packets, and expect none of them at a host, or at any of several, for ``within`` seconds.

        Raises NotDelivered when one arrives.
        """
        told = self._deliver(packets, at, within, key, nothing=True)
        if told.arrived:
            first = next(frame for arrived in told.frames.values() for frame in arrived)
            what = f"from {self.name}: {told}; none should"
            raise NotDelivered(what, f"the first: {Ether(first).summary()}", told)
        return told

    def _deliver(
        self, packets: Any, at: str | Sequence[str], timeout: float, key: PacketKey | None, *, nothing: bool
    ) -> Delivery:
        hosts = [at] if isinstance(at, str) else list(at)
        if not hosts:
            raise Failure("send_and_expect needs a host where the packets arrive", 'at="h2"')
        self._ports.open([self.name, *hosts])
        station = self._ports.station(self.name)
        frames = list(octets(packets, station, self._ports))
        with ExitStack() as stack:
            sender = stack.enter_context(self.l2socket())
            receivers = {
                host: stack.enter_context(FrameSocket(self._ports, host)).ins for host in dict.fromkeys(hosts)
            }
            recognise = delivery.same if key is None else _by_packet(key)
            return delivery.deliver(sender.outs, frames, receivers, timeout, recognise, nothing=nothing)

    def _built(self, packets: Any) -> list[Packet]:
        station = self._ports.station(self.name)
        return [completed(packet, station, self._ports) for packet in each_of(self._filled(packets))]

    def _filled(self, packets: Any) -> Any:
        return filled(packets, self._ports.station(self.name))


def _by_packet(key: PacketKey) -> delivery.Key:
    def by_frame(frame: bytes) -> Hashable:
        try:
            return key(Ether(frame))
        except (IndexError, AttributeError):  # another packet, without that layer
            return None

    return by_frame


def _examples(told: Delivery, packets: Sequence[Packet]) -> str:
    missing = [packets[number].summary() for numbers in told.missing.values() for number in numbers]
    return f"the first that is missing: {missing[0]}" if missing else ""


def _send(
    raw: FrameSocket,
    packets: Any,
    inter: float = 0.0,
    loop: int = 0,
    count: int | None = None,
    return_packets: bool = False,
    verbose: Any = None,
) -> PacketList | None:
    if not isinstance(packets, Packet):
        packets = list(packets)
    sent: list[Packet] = []
    try:
        for _ in itertools.count() if loop and count is None else range(count or 1):
            for packet in each_of(packets):
                raw.send(packet)
                if return_packets:
                    sent.append(packet)
                if inter:
                    time.sleep(inter)
    except KeyboardInterrupt:  # as in scapy: it ends a loop
        if not loop:
            raise
    return PacketList(sent) if return_packets else None
