"""Learning stations that the file does not have, with limits for each port and station.

This module only decides: packet-ins and the time go in, frames to send and stations to compile come out.
The switches themselves take questions for unknown addresses, and announcements, to all members of a network
(``controller.compiler.broadcast``): the answer of a station that nobody knows comes here as a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from itertools import zip_longest

from controller.compiler.stations import Learned
from controller.flow.tables import Table
from controller.messages import Event, StationAged, StationLearned
from controller.runtime import packets
from controller.runtime.address_plan import address_plan
from controller.runtime.bucket import Bucket
from controller.runtime.commands import Send
from controller.runtime.limit_reports import LimitReports
from controller.runtime.packets import Packet
from controller.runtime.stations import Facts, Station, Stations, address_text, facts, without
from topologies.model.topology import Host, Port, Topology
from wire.mac import CONTROLLER, GROUP_BIT, mac_text


@dataclass(frozen=True, slots=True)
class Limits:
    """How much work a host may cause. Rates per second; bursts in packets; times in seconds."""

    port_rate: float = 50.0
    port_burst: float = 50.0
    stations_per_port: int = 32
    addresses_per_station: int = 32
    idle: float = 300.0
    complain_interval: float = 10.0


Outcome = Send | Event


class Learning:
    """Stations learned from packet-ins. ``changed`` says that the tables must be compiled anew."""

    def __init__(self, topology: Topology, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.index = Stations()
        self.reports = LimitReports(self.limits.complain_interval)
        self._buckets: dict[Port, Bucket] = {}
        self._known = address_plan(topology)

    @property
    def changed(self) -> bool:
        """Whether the tables must be compiled anew, since the last time that this was set to False."""
        return self.index.changed

    @changed.setter
    def changed(self, changed: bool) -> None:
        self.index.changed = changed

    @property
    def stations(self) -> tuple[Station, ...]:
        """All learned stations, sorted (so that equal knowledge compiles to equal tables)."""
        return tuple(self.index.by_key[key] for key in sorted(self.index.by_key))

    def replace(self, topology: Topology) -> None:
        """A new intent: stations stay where their port still belongs to their network."""
        self._known = address_plan(topology)
        for key, station in list(self.index.by_key.items()):
            port = self._known.macs.get(key)
            if port is not None and port != station.port:  # a host of the file has moved
                station = replace(station, port=port)
                self.index.put(key, station)
            host = self._known.ports.get(station.port)
            if not _may_be_learned(station, host) or self._is_elsewhere(station):
                self.index.forget(key)

    def learned(self) -> tuple[Learned, ...]:
        """The stations for the compiler, sorted: one element with the first address of each family, and one
        more for each further pair of addresses."""
        return tuple(
            Learned(
                station.network,
                station.mac,
                station.port,
                None if four is None else IPv4Address(four),
                None if six is None else IPv6Address(six),
            )
            for station in self.stations
            for four, six in zip_longest(station.ipv4 or (None,), station.ipv6)
        )

    def restore(self, stations: Iterable[Station], now: float) -> None:
        """The stations that an earlier controller had learned, if the intent still allows them.

        They count as heard at the time ``now``.
        """
        for station in stations:
            host = self._known.ports.get(station.port)
            key = (station.network, station.mac)
            if _may_be_learned(station, host) and not self._is_elsewhere(station):
                self.index.put(key, station)
                self.index.seen[key] = now
        self.index.restored(now, self.limits.idle)

    def facts(self) -> list[Facts]:
        """The stations in words."""
        return [facts(station) for station in self.stations]

    def packet(self, port: Port, table: int, frame: bytes, now: float) -> list[Outcome]:
        """A packet-in from ``port``: frames to send, and events.

        From CLASSIFY it is a copy of a frame with an unknown sender (the frame itself goes on through the
        tables). From ROUTE it is a packet whose TTL runs out.
        """
        host = self._known.ports.get(port)
        if host is None:
            return []  # a link's port: the controller has seen the frame at its host's port
        limits = self.limits
        bucket = self._buckets.setdefault(
            port, Bucket(limits.port_rate, limits.port_burst, limits.port_burst, now)
        )
        if not bucket.take(now):
            words = _exceeded("packets to the controller", f"{limits.port_rate:g}/s")
            return [*self.reports.report(port, "packets", words, now)]
        packet = packets.read(frame)
        if packet is None:
            return []
        network = host.network
        if table == Table.ROUTE:
            return self._expired(port, network, frame)
        out = self._learn(network, port, packet, now)
        if out is None:
            return self._report_refused(network, port, packet, now)
        return out + self._report_outside(network, port, packet, now)

    def _is_elsewhere(self, station: Station) -> bool:
        """Whether the file gives the station's MAC address to somebody at another port."""
        key = (station.network, station.mac)
        return key in self._known.macs and self._known.macs[key] != station.port

    def due(self, now: float) -> list[Station]:
        """Stations that were silent for the idle time: ask their switch, then call `heard` or `age`."""
        return self.index.due(now, self.limits.idle)

    def next_due(self) -> float | None:
        """When to call `due` again (sometimes too early, never too late); None without stations."""
        return self.index.next_due()

    def heard(self, network: str, mac: int, now: float) -> None:
        """The station's flows have counted packets since the last question."""
        if (network, mac) in self.index.seen:
            self.index.seen[network, mac] = now

    def age(self, network: str, mac: int) -> list[Outcome]:
        """Forget a station that was silent for the idle time."""
        station = self.index.by_key.get((network, mac))
        if station is None:
            return []
        self.index.forget((network, mac))
        return [StationAged(*facts(station))]

    def _learn(self, network: str, port: Port, packet: Packet, now: float) -> list[Outcome] | None:
        """Learn the sender; None when its claim is refused."""
        mac, key = packet.eth_src, (network, packet.eth_src)
        if mac == 0 or mac & GROUP_BIT or mac == CONTROLLER:
            return None
        old = self.index.by_key.get(key)
        if key in self._known.macs:
            if self._known.macs[key] != port:
                return None
            if self._speaks_as_the_host(port, network, packet) == mac:
                return self._give_back(port, network, mac)
            if packet.kind == "data" or not self._known.ports[port].allow_spoofing:
                return []  # a host that forwards for others claims no addresses by that
            if old is None and not self._may_claim(network, packet):
                return []
        here = len(self.index.at.get(port, ()))
        if (old is None or old.port != port) and here >= self.limits.stations_per_port:
            return None
        station = old or Station(network, port, mac)
        if station.port != port:
            station = replace(station, port=port)
        host = self._speaks_as_the_host(port, network, packet)
        if host is None:
            station = self._address(station, packet)
        else:
            for family, address in self._of_host(port, network, host):
                station = self._given(station, family, address)
        self.index.hear(key, now, self.limits.idle)
        if station == old:
            return []
        self.index.put(key, station)
        was = str(old.port) if old is not None and old.port != port else None
        out: list[Outcome] = [StationLearned(*facts(station), was=was)]
        if host is not None:
            out += self._told_of(port, network, host, mac)
        return out

    def _address(self, station: Station, packet: Packet) -> Station:
        """The station with the packet's source address added, if it may have that address."""
        family, address, network = packet.family, packet.sender, station.network
        if not self._may_claim(network, packet):
            return station
        have = station.ipv4 if family == 4 else station.ipv6
        if address in have or len(have) >= self.limits.addresses_per_station:
            return station
        return self._given(station, family, address)

    def _given(self, station: Station, family: int, address: int) -> Station:
        """The station with an address, which any other learned station loses."""
        network, have = station.network, station.ipv4 if family == 4 else station.ipv6
        if address in have:
            return station
        owner = self.index.owners.get((network, family, address))
        if owner is not None:  # the address moved to this station
            other = without(self.index.by_key[network, owner], family, address)
            if (network, owner) in self._known.macs and not other.ipv4 + other.ipv6:
                self.index.forget((network, owner))
            else:
                self.index.put((network, owner), other)
        more = tuple(sorted((*have, address)))
        return replace(station, ipv4=more) if family == 4 else replace(station, ipv6=more)

    def _speaks_as_the_host(self, port: Port, network: str, packet: Packet) -> int | None:
        """The file's MAC address of the host at ``port``, if the packet tells or asks in the name of one of
        its addresses, and it may send from any: by its source one sees which MAC address it has now."""
        key = (network, packet.family, packet.sender)
        mac, at = self._known.addresses.get(key, (0, None))
        if packet.kind == "data" or at != port or not self._known.ports[port].allow_spoofing:
            return None
        return mac

    def _of_host(self, port: Port, network: str, mac: int) -> list[tuple[int, int]]:
        """(IP version, address) of all that the host with this MAC address has at ``port`` by the file."""
        return [
            (family, address)
            for (where, family, address), owner in self._known.addresses.items()
            if owner == (mac, port) and where == network
        ]

    def _give_back(self, port: Port, network: str, mac: int) -> list[Outcome]:
        """The host has the MAC address of the file again: no learned station has its addresses."""
        lost = False
        for family, address in self._of_host(port, network, mac):
            owner = self.index.owners.get((network, family, address))
            if owner is not None:
                lost = True
                self.index.put((network, owner), without(self.index.by_key[network, owner], family, address))
        return self._told_of(port, network, mac, mac) if lost else []

    def _told_of(self, port: Port, network: str, host: int, mac: int) -> list[Outcome]:
        """Announcements to all others of the network: the addresses of ``host`` (its MAC address by the file)
        are at ``mac`` now (RFC 5227, 3; RFC 4861, 7.2.6)."""
        frames = [
            packets.arp_request(mac, address, address)
            if family == 4
            else packets.advertisement(mac, address, 0, 0)
            for family, address in self._of_host(port, network, host)
        ]
        return [Send(o, frame) for o in self._known.members[network] if o != port for frame in frames]

    def _may_claim(self, network: str, packet: Packet) -> bool:
        """Whether a learned station may have the packet's source address."""
        family, address = packet.family, packet.sender
        if not address or not self._in_subnet(network, family, address):
            return False
        return (network, family, address) not in self._known.addresses  # those have an owner by the file

    def _in_subnet(self, network: str, family: int, address: int) -> bool:
        net = self._known.networks[network]
        if family == 4:
            subnet4 = net.subnet4
            return subnet4 is not None and int(subnet4.network_address) < address < int(
                subnet4.broadcast_address
            )
        if address >> 118 == 0xFE80 >> 6:
            return True
        subnet6 = net.subnet6
        return subnet6 is not None and int(subnet6.network_address) < address <= int(
            subnet6.broadcast_address
        )

    def _report_refused(self, network: str, port: Port, packet: Packet, now: float) -> list[Outcome]:
        if self._known.macs.get((network, packet.eth_src), port) != port:
            mac = mac_text(packet.eth_src)
            words = f"a frame from {mac}, which belongs elsewhere, was dropped"
            return [*self.reports.report(port, "forged", words, now)]
        if packet.eth_src == 0 or packet.eth_src & GROUP_BIT or packet.eth_src == CONTROLLER:
            return []
        words = _exceeded("addresses learned", self.limits.stations_per_port)
        return [*self.reports.report(port, "learned", words, now)]

    def _report_outside(self, network: str, port: Port, packet: Packet, now: float) -> list[Outcome]:
        """Why an address that a host announces or asks with stays unknown."""
        family, address = packet.family, packet.sender
        if packet.kind == "data" or not address or not self._known.ports[port].allow_spoofing:
            return []
        if self._in_subnet(network, family, address):
            return []
        subnets = self._known.networks[network].subnets
        words = (
            f"{address_text(family, address)} is outside the subnets of network {network} "
            f"({', '.join(map(str, subnets))}): it is not learned, and who asks for it gets no answer"
        )
        return [*self.reports.report(port, "outside", words, now)]

    def _expired(self, port: Port, network: str, frame: bytes) -> list[Outcome]:
        """A packet's TTL has run out at the network's router: tell its sender, as any router does."""
        gateway = self._known.gateways.get(network)
        answer = packets.time_exceeded(frame, *gateway) if gateway is not None else None
        return [Send(port, answer)] if answer is not None else []


def _may_be_learned(station: Station, host: Host | None) -> bool:
    """Whether the station's port is (still) a port of its network that takes any source."""
    return host is not None and host.network == station.network and host.allow_spoofing


def _exceeded(what: str, limit: object) -> str:
    return f"{what} exceed the limit of {limit}; what is above it is dropped"
