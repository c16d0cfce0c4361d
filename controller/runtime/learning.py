"""Learning stations that the file does not have, with limits for each port and station.

This module only decides: packet-ins and the time go in, frames to send and stations to compile come out.
Nothing is flooded: a search for an unknown address is one ARP request or neighbour solicitation to the host
ports of its network.  It goes to no link, and no other switch repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from itertools import zip_longest
from typing import Any, NamedTuple

from controller.compiler.link_local import is_link_local
from controller.compiler.stations import Learned, owners
from controller.flow.tables import Table
from controller.messages import Event, Limited, StationAged, StationLearned
from controller.runtime import packets
from controller.runtime.packets import Packet
from topologies.model.endpoints import endpoints
from topologies.model.overlay import overlay
from topologies.model.topology import Host, Network, Port, Topology
from wire.mac import CONTROLLER, GROUP_BIT, mac_number, mac_text

"""The source of the controller's own ARP requests and solicitations (locally administered)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much work a host may cause. Rates per second; bursts in packets; times in seconds."""

    port_rate: float = 50.0
    port_burst: float = 50.0
    search_interval: float = 1.0
    searches: int = 256
    stations_per_port: int = 32
    addresses_per_station: int = 32
    idle: float = 300.0
    complain_interval: float = 10.0


@dataclass(frozen=True, slots=True)
class Station:
    """An end system that the file does not have, learned from its own packets."""

    network: str
    port: Port
    mac: int
    ipv4: tuple[int, ...] = ()
    ipv6: tuple[int, ...] = ()


class Send(NamedTuple):
    """Send ``frame`` out of a port of a switch."""

    port: Port
    frame: bytes


Outcome = Send | Event


@dataclass(slots=True)
class Bucket:
    """A token bucket; ``take`` gets the time."""

    rate: float
    burst: float
    tokens: float
    at: float

    def take(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class _Known:
    """The file's hosts and networks, indexed for lookups by packets."""

    ports: dict[Port, Host] = field(default_factory=dict)
    macs: dict[tuple[str, int], Port | None] = field(default_factory=dict)  # None: no host port's
    addresses: dict[tuple[str, int, int], tuple[int, Port | None]] = field(default_factory=dict)
    gateways: dict[str, tuple[int, int | None, int | None]] = field(default_factory=dict)
    members: dict[str, list[Port]] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    flooded: frozenset[str] = frozenset()


def _index(topology: Topology) -> _Known:
    known = _Known(networks={network.name: network for network in topology.networks})
    known.flooded = frozenset(uplink.network for uplink in overlay(topology).uplinks)
    for owner in owners(topology):
        known.macs[owner.network, owner.mac] = owner.port
        for family, address in owner.addresses():
            known.addresses[owner.network, family, address] = owner.mac, owner.port
    for host in topology.hosts:
        known.ports[host.port] = host
        known.members.setdefault(host.network, []).append(host.port)
    for endpoint in endpoints(topology):
        if endpoint.kind == "router":
            four, six = endpoint.ipv4, endpoint.ipv6
            mac = mac_number(endpoint.mac)
            known.gateways[endpoint.network] = (
                mac,
                int(four.ip) if four else None,
                int(six.ip) if six else None,
            )
    return known


class Learning:
    """Stations learned from packet-ins. ``changed`` says that the tables must be compiled anew."""

    def __init__(self, topology: Topology, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.changed = False
        self._stations: dict[tuple[str, int], Station] = {}
        self._seen: dict[tuple[str, int], float] = {}
        self._buckets: dict[Port, Bucket] = {}
        self._complained: dict[tuple[Port, str], float] = {}
        self._searched: dict[tuple[str, int, int], float] = {}
        self._asked: dict[tuple[str, int, int], dict[Port, tuple[int, int]]] = {}
        self._at: dict[Port, set[tuple[str, int]]] = {}
        self._owners: dict[tuple[str, int, int], int] = {}
        self._announced: dict[tuple[str, int, int], tuple[int, float]] = {}
        self._look_at = 0.0
        self._known = _index(topology)

    @property
    def stations(self) -> tuple[Station, ...]:
        """All learned stations, sorted (so that equal knowledge compiles to equal tables)."""
        return tuple(self._stations[key] for key in sorted(self._stations))

    def replace(self, topology: Topology) -> None:
        """A new intent: stations stay where their port still belongs to their network."""
        self._known = _index(topology)
        for key, station in list(self._stations.items()):
            port = self._known.macs.get(key)
            if port is not None and port != station.port:  # a host of the file has moved
                station = replace(station, port=port)
                self._put(key, station)
            host = self._known.ports.get(station.port)
            if not _may_be_learned(station, host) or self._is_elsewhere(station):
                self._forget(key)
        self._searched.clear()
        self._announced.clear()
        self._asked.clear()

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
                self._put(key, station)
                self._seen[key] = now
        self._look_at = now + self.limits.idle
        self.changed = False

    def facts(self) -> list[dict[str, object]]:
        """The stations in words."""
        return [_facts(station) for station in self.stations]

    def packet(self, port: Port, table: int, frame: bytes, now: float) -> list[Outcome]:
        """A packet-in from ``port``: frames to send, and events.

        From CLASSIFY it is a copy of a frame with an unknown sender (the frame itself goes on through the
        tables). From RESOLVE it is a question that no flow answers, or link-local multicast for the other
        ports that may spoof. From ROUTE it is a packet whose TTL runs out.
        """
        host = self._known.ports.get(port)
        if host is None:
            return []  # a link's port: the controller has seen the frame at its host's port
        limits = self.limits
        bucket = self._buckets.setdefault(
            port, Bucket(limits.port_rate, limits.port_burst, limits.port_burst, now)
        )
        if not bucket.take(now):
            return self._report_limit(
                port, "packets", _exceeded("packets to the controller", f"{limits.port_rate:g}/s"), now
            )
        packet = packets.read(frame)
        if packet is None:
            return []
        network = host.network
        if table == Table.RESOLVE and packet.kind == "data" and is_link_local(frame):
            others = (other for other in self._known.members[network] if other != port)
            return [Send(other, frame) for other in others if self._known.ports[other].allow_spoofing]
        if table == Table.ROUTE:
            return self._expired(port, network, frame)
        out = self._learn(network, port, packet, now)
        if out is None:
            return self._report_refused(network, port, packet, now)
        out += self._announce(network, port, packet, frame, now)
        if packet.kind == "ask" and table == Table.RESOLVE:
            out += self._ask(network, port, packet, now)
        return out

    def _announce(self, network: str, port: Port, packet: Packet, frame: bytes, now: float) -> list[Outcome]:
        """Send an unsolicited announcement of a station's own address to all other ports of its network.

        Not if the switches flood it anyway, nor if the same one was sent a short time before."""
        key = (network, packet.family, packet.sender)
        unasked = packet.sender == packet.target if packet.kind == "ask" else packet.eth_dst & GROUP_BIT
        if packet.kind == "data" or not unasked or self._owners.get(key) != packet.eth_src:
            return []
        if packet.kind == "answer" and network in self._known.flooded:
            return []
        mac, announced_at = self._announced.get(key, (0, 0.0))
        if mac == packet.eth_src and now - announced_at < self.limits.search_interval:
            return []
        self._announced[key] = packet.eth_src, now
        return [Send(other, frame) for other in self._known.members[network] if other != port]

    def _is_elsewhere(self, station: Station) -> bool:
        """Whether the file gives the station's MAC address to somebody at another port."""
        key = (station.network, station.mac)
        return key in self._known.macs and self._known.macs[key] != station.port

    def due(self, now: float) -> list[Station]:
        """Stations that were silent for the idle time: ask their switch, then call `heard` or `age`."""
        if now < self._look_at or not self._seen:
            return []
        idle = self.limits.idle
        self._look_at = min(self._seen.values()) + idle
        return [self._stations[key] for key, seen in self._seen.items() if now - seen >= idle]

    def next_due(self) -> float | None:
        """When to call `due` again (sometimes too early, never too late); None without stations."""
        return self._look_at if self._seen else None

    def heard(self, network: str, mac: int, now: float) -> None:
        """The station's flows have counted packets since the last question."""
        if (network, mac) in self._seen:
            self._seen[network, mac] = now

    def age(self, network: str, mac: int) -> list[Outcome]:
        """Forget a station that was silent for the idle time."""
        station = self._stations.get((network, mac))
        if station is None:
            return []
        self._forget((network, mac))
        return [StationAged(**_facts(station))]

    def _forget(self, key: tuple[str, int]) -> None:
        self._put(key, None)
        del self._seen[key]

    def _put(self, key: tuple[str, int], station: Station | None) -> None:
        """Set, replace or remove a station, in all indexes."""
        old = self._stations.pop(key, None)
        if old is not None:
            self._at[old.port].discard(key)
            for owned in _owned(old):
                del self._owners[owned]
        if station is not None:
            self._stations[key] = station
            self._at.setdefault(station.port, set()).add(key)
            for owned in _owned(station):
                self._owners[owned] = station.mac
        self.changed = True

    def _learn(self, network: str, port: Port, packet: Packet, now: float) -> list[Outcome] | None:
        """Learn the sender; None when its claim is refused."""
        mac, key = packet.eth_src, (network, packet.eth_src)
        if mac == 0 or mac & GROUP_BIT or mac == CONTROLLER:
            return None
        old = self._stations.get(key)
        if key in self._known.macs:
            if self._known.macs[key] != port:
                return None
            if packet.kind == "data" or not self._known.ports[port].allow_spoofing:
                return []  # a host that forwards for others claims no addresses by that
            if old is None and not self._may_claim(network, packet):
                return []
        if (old is None or old.port != port) and len(self._at.get(port, ())) >= self.limits.stations_per_port:
            return None
        station = old or Station(network, port, mac)
        if station.port != port:
            station = replace(station, port=port)
        station = self._address(station, packet)
        if not self._seen:
            self._look_at = now + self.limits.idle
        self._seen[key] = now
        if station == old:
            return []
        self._put(key, station)
        was = str(old.port) if old is not None and old.port != port else None
        out: list[Outcome] = [StationLearned(**_facts(station), was=was)]
        if packet.sender:
            out += self._answer_askers(network, packet.family, packet.sender, mac)
        return out

    def _address(self, station: Station, packet: Packet) -> Station:
        """The station with the packet's source address added, if it may have that address."""
        family, address, network = packet.family, packet.sender, station.network
        if not self._may_claim(network, packet):
            return station
        have = station.ipv4 if family == 4 else station.ipv6
        if address in have or len(have) >= self.limits.addresses_per_station:
            return station
        owner = self._owners.get((network, family, address))
        if owner is not None:  # the address moved to this station
            other = _without(self._stations[network, owner], family, address)
            if (network, owner) in self._known.macs and not other.ipv4 + other.ipv6:
                self._forget((network, owner))
            else:
                self._put((network, owner), other)
        more = tuple(sorted((*have, address)))
        return replace(station, ipv4=more) if family == 4 else replace(station, ipv6=more)

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
            return self._report_limit(
                port, "forged", f"a frame from {mac}, which belongs elsewhere, was dropped", now
            )
        if packet.eth_src == 0 or packet.eth_src & GROUP_BIT or packet.eth_src == CONTROLLER:
            return []
        return self._report_limit(
            port, "learned", _exceeded("addresses learned", self.limits.stations_per_port), now
        )

    def _report_limit(self, port: Port, topic: str, words: str, now: float) -> list[Outcome]:
        """An event, but only one in each interval for a port and topic."""
        key = (port, topic)
        last = self._complained.get(key)
        if last is not None and now - last < self.limits.complain_interval:
            return []
        self._complained[key] = now
        return [Limited(port.switch, port.number, f"{port}: {words}")]

    def _expired(self, port: Port, network: str, frame: bytes) -> list[Outcome]:
        """A packet's TTL has run out at the network's router: tell its sender, as any router does."""
        gateway = self._known.gateways.get(network)
        answer = packets.time_exceeded(frame, *gateway) if gateway is not None else None
        return [Send(port, answer)] if answer is not None else []

    def _holder(self, network: str, family: int, address: int) -> tuple[int, Port | None] | None:
        holder = self._known.addresses.get((network, family, address))
        if holder is not None:
            return holder
        owner = self._owners.get((network, family, address))
        return None if owner is None else (owner, self._stations[network, owner].port)

    def _ask(self, network: str, port: Port, packet: Packet, now: float) -> list[Outcome]:
        family, target = packet.family, packet.target
        holder = self._holder(network, family, target)
        if holder is not None:
            mac, _ = holder
            # An address asks for itself to find a duplicate: silence means that there is none.
            return [] if mac == packet.eth_src else [Send(port, _answer(packet, mac))]
        if packet.sender == target or not self._in_subnet(network, family, target):
            return []
        if family == 6 and packet.sender == 0:
            return []  # duplicate address detection: nobody is known to have the address
        key = (network, family, target)
        searched = self._searched.get(key)
        if searched is not None and now - searched < self.limits.search_interval:
            if key in self._asked:
                self._asked[key][port] = (packet.eth_src, packet.sender)
            return []
        for old in [k for k, at in self._searched.items() if now - at >= 5 * self.limits.search_interval]:
            del self._searched[old]
            self._asked.pop(old, None)
        if len(self._searched) >= self.limits.searches:
            return self._report_limit(
                port, "searches", _exceeded("searches for unknown addresses", self.limits.searches), now
            )
        self._searched[key] = now
        self._asked[key] = {port: (packet.eth_src, packet.sender)}
        # Asked in the asker's name: a host answers an address of its own subnet, and the
        # answer, whose source is unknown, comes to the controller.
        make = packets.arp_request if family == 4 else packets.solicitation
        frame = make(packet.eth_src, packet.sender, target)
        return [Send(other, frame) for other in self._known.members[network] if other != port]

    def _answer_askers(self, network: str, family: int, address: int, mac: int) -> list[Outcome]:
        """Answer the stations that asked for ``address`` before it was known."""
        askers = self._asked.pop((network, family, address), {})
        make = packets.arp_reply if family == 4 else packets.advertisement
        return [Send(port, make(mac, address, who, whose)) for port, (who, whose) in askers.items()]


def _may_be_learned(station: Station, host: Host | None) -> bool:
    """Whether the station's port is (still) a port of its network that takes any source."""
    return host is not None and host.network == station.network and host.allow_spoofing


def _owned(station: Station) -> list[tuple[str, int, int]]:
    return [(station.network, 4, a) for a in station.ipv4] + [(station.network, 6, a) for a in station.ipv6]


def _without(station: Station, family: int, address: int) -> Station:
    if family == 4:
        return replace(station, ipv4=tuple(a for a in station.ipv4 if a != address))
    return replace(station, ipv6=tuple(a for a in station.ipv6 if a != address))


def _answer(packet: Packet, mac: int) -> bytes:
    make: Callable[[int, int, int, int], bytes]
    make = packets.arp_reply if packet.family == 4 else packets.advertisement
    return make(mac, packet.target, packet.eth_src, packet.sender)


def _facts(station: Station) -> dict[str, Any]:
    return {
        "network": station.network,
        "switch": station.port.switch,
        "port": station.port.number,
        "mac": mac_text(station.mac),
        "addresses": [_text(4, a) for a in station.ipv4] + [_text(6, a) for a in station.ipv6],
    }


def _text(family: int, address: int) -> str:
    return str(IPv4Address(address) if family == 4 else IPv6Address(address))


def _exceeded(what: str, limit: object) -> str:
    return f"{what} exceed the limit of {limit}; what is above it is dropped"
