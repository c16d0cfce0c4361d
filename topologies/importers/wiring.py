"""What another tool's file describes -> the tree of a topology file. Pure.

An importer puts stations, switches and wires here, with their lines; what a host of a lab can't have becomes
a note. So all formats lose the same things, and say it in the same words:

* an interface of a host has one IPv4 and one IPv6 address;
* a switch is where several ends meet; a wire between two stations is one between hosts;
* a host in two networks with the same addresses keeps the first of these interfaces;
* hosts that are on the same switches, with addresses of one subnet, are one network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface
from typing import TypeVar

from topologies.importers.networks import Member, Segment, segments
from topologies.model import names
from topologies.model.choices import ROUTER
from topologies.syntax import units
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Report, shown

T = TypeVar("T")
Interface = IPv4Interface | IPv6Interface
LONGEST_NAME = 30
LONGEST_DEVICE = 15
"""Letters of the name of a device (IFNAMSIZ without its end); hosts with longer names have an ``eth0``."""
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_RESERVED = ("localhost", "localdomain", "broadcasthost", "ip6-localhost", "ip6-loopback")


@dataclass
class Said:
    """A value of a file, and where it stands. ``file``: empty: the file itself."""

    text: str
    line: int
    file: str = ""


@dataclass
class Plug:
    """The end of a wire at a station. ``shaping``: keys of a host in a topology file; ``port``: the number of
    the switch's port, if the file gives one."""

    interface: str
    switch: str
    line: int
    mac: Said | None = None
    addresses: list[Said] = field(default_factory=list)
    shaping: dict[str, str] = field(default_factory=dict)
    port: str = ""


@dataclass
class Station:
    """What becomes a host. ``first``: the plug of its first interface. ``entries``: further keys of a
    host in a topology file. ``loose``: addresses of interfaces that no wire has. ``network``: the name of its
    network, if the file gives one."""

    name: str
    line: int
    plugs: list[Plug] = field(default_factory=list)
    first: Plug | None = None
    entries: dict[str, Node] = field(default_factory=dict)
    loose: list[tuple[str, Said]] = field(default_factory=list)
    network: str = ""
    _index: dict[str, Plug] = field(default_factory=dict)
    _switches: set[str] = field(default_factory=set)

    def add(self, plug: Plug) -> None:
        """A wire has this end at the station."""
        self.plugs.append(plug)
        self._index.setdefault(plug.interface, plug)
        self._switches.add(plug.switch)
        if self.first is None or names.natural(plug.interface) < names.natural(self.first.interface):
            self.first = plug

    @property
    def inside(self) -> list[Plug]:
        """Its plugs, sorted by the names of their interfaces."""
        return sorted(self.plugs, key=lambda plug: names.natural(plug.interface))

    @property
    def named(self) -> bool:
        """Whether all its interfaces have names that devices can have."""
        some = [plug.interface for plug in self.plugs]
        fitting = (len(name) <= LONGEST_DEVICE and _DEVICE.fullmatch(name) for name in some)
        return all(fitting) and len(set(some)) == len(some) and not {"lo", "all", "default"} & {*some}

    def plug(self, interface: str) -> Plug | None:
        """The plug of this interface, if a wire has it."""
        return self._index.get(interface)

    def is_at(self, switch: str) -> bool:
        """Whether a wire joins it to the switch with this key."""
        return switch in self._switches

    def has(self, interface: str, said: Said) -> None:
        """The file gives the address to this interface."""
        plug = self.plug(interface)
        if plug is None:
            self.loose.append((interface, said))
        else:
            plug.addresses.append(said)


@dataclass
class _Switch:
    wanted: str
    line: int
    given: bool  # by the file; the others are wires
    dpid: str = ""
    domain: str = ""


@dataclass
class _Link:
    ends: tuple[str, str]
    line: int
    shaping: dict[str, str]
    ports: tuple[str, str] = ("", "")


class Wiring:
    """The parts of a lab, in the order of the file. Switches have keys of the importer's choice."""

    def __init__(self, report: Report, forwards: bool = False) -> None:
        """``forwards``: a station with several interfaces forwards, as Docker's containers do."""
        self.report = report
        self.forwards = forwards
        self.stations: dict[str, Station] = {}
        self.name = ""
        self.description = ""
        self.vlans: dict[str, Said] = {}
        """Network -> its VLAN id, of those for which the file has one."""
        self._switches: dict[str, _Switch] = {}
        self._links: list[_Link] = []
        self._taken: set[str] = set()
        self._hosts: set[str] = set()
        self._macs: set[str] = set()
        self._named: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def call(self, wanted: str) -> None:
        """Give the lab a name, as near to the wanted one as can be."""
        self.name = wanted if names.is_name(wanted) else names.slug(wanted, names.MAX_LENGTH)

    def station(self, name: str, line: int) -> Station:
        """The station with this name, a new one if there is none."""
        return self.stations.setdefault(name, Station(name, line))

    def switch(
        self, key: str, wanted: str, line: int, given: bool = True, dpid: str = "", domain: str = ""
    ) -> None:
        """A switch; a second one with the same key is the first one. ``given``: by the file; the others are
        wires."""
        self._switches.setdefault(key, _Switch(wanted, line, given, dpid, domain))

    def has_switch(self, key: str) -> bool:
        """Whether there is a switch with this key."""
        return key in self._switches

    def plug(self, station: Station, interface: str, switch: str, line: int) -> Plug:
        """The end of a wire from a switch at a station."""
        plug = Plug(interface, switch, line)
        station.add(plug)
        return plug

    def bridged(self, station: Station, ports: Mapping[str, Set[str]]) -> bool:
        """Make a switch of a station that joins its interfaces by a bridge. ``ports``: the ports of each of
        its bridges."""
        own = {name: [plug for plug in station.plugs if plug.interface in ports[name]] for name in ports}
        bridge = max(own, key=lambda name: len(own[name]), default="")
        if not bridge or len(own[bridge]) < 2:
            return False
        del self.stations[station.name]
        key = f"bridge:{station.name}"
        self.switch(key, station.name, station.line)
        what = f"{station.name}: its bridge {bridge} becomes a switch, all else of it is left out"
        self.report.note(what, station.line)
        for plug in station.plugs:
            if plug.interface in ports[bridge]:
                self.link(key, plug.switch, plug.line)
            else:
                what = f"{plug.interface} of {station.name}: its bridge {bridge} has it not: left out"
                self.report.note(what, plug.line)
        return True

    def link(
        self,
        one: str,
        other: str,
        line: int,
        shaping: dict[str, str] | None = None,
        ports: tuple[str, str] = ("", ""),
    ) -> None:
        """A wire between two switches. ``ports``: their numbers, where the file gives them."""
        if one == other:
            self.report.note("a link from a switch to itself: left out", line)
            return
        self._links.append(_Link((one, other), line, shaping or {}, ports))

    def host(self, station: Station) -> str:
        """The name of the host that the station becomes."""
        if station.name not in self._named:
            self._named[station.name] = self._free(station.name, station.line, "h")
        return self._named[station.name]

    def devices(self, station: Station) -> dict[str, str]:
        """Interface of a station -> the name of its device in the host: a single one is ``NAME-eth0``;
        several keep their names if these can be those of devices."""
        if len(station.plugs) < 2:
            name = f"{self.host(station)}-eth0"
            return {plug.interface: name if len(name) <= LONGEST_DEVICE else "eth0" for plug in station.plugs}
        return {plug.interface: self._device(station, number) for number, plug in enumerate(station.inside)}

    def _device(self, station: Station, number: int) -> str:
        if station.named:
            return station.inside[number].interface
        name = f"{self.host(station)}-eth{number}"
        return name if len(name) <= LONGEST_DEVICE else f"eth{number}"

    def parsed(self, parse: Callable[[str], T], said: Said, what: str) -> T | None:
        """The value of a text; None, with a note, when it is none. ``what`` it is for, in words."""
        try:
            return parse(said.text)
        except units.BadValue as error:
            allowed = f" (allowed: {error.allowed})" if error.allowed else ""
            self.report.note(f"{what}: {error.what}{allowed}: left out", said.line, said.file)
            return None

    def tree(self) -> Node:
        """The tree of the topology file."""
        kept = self._kept()
        named = {station.name: self.host(station) for station, _ in kept}
        members = {_key(station, plug): self._member(station, plug) for station, plug in kept}
        parts = segments(members.values(), [link.ends for link in self._links], self.report)
        at = {name: part for part in parts for name in part.members}
        kept = self._without_overlaps(kept, at)
        wires = self._wires(kept, at)
        switches = self._names_of_switches({plug.switch for _, plug in kept}, wires)
        if not kept:
            line = min((station.line for station in self.stations.values()), default=1)
            what, remedy = "no link joins its nodes: nothing is left to run", "join them by links"
            self.report.add((), what, "nodes with links", remedy, line=line)
            raise Fatal
        used = {id(at[_key(station, plug)]) for station, plug in kept}
        parts = [part for part in parts if id(part) in used]
        called = {key: self._switches[key].wanted for key in wires}
        networks = self._networks(parts, {**switches, **called})
        of_station: dict[str, list[Plug]] = {}
        for station, plug in kept:
            of_station.setdefault(station.name, []).append(plug)
        hosts: dict[str, Node] = {}
        for name, plugs in of_station.items():
            station = self.stations[name]
            own = [self._interface(station, plug, switches, wires, at, networks) for plug in plugs]
            hosts[named[name]] = self._host(station, plugs, own)
        sections: dict[str, Node] = {}
        if self.name:
            sections["name"] = Node(1, self.name)
        if self.description:
            sections["description"] = Node(1, self.description)
        domains = self._domains()
        if len(domains) > 1:
            sections["domains"] = Node(1, [Node(1, domain) for domain in domains])
        if networks:
            sections["networks"] = Node(
                1, {name: self._network(part, name) for part, name in networks.values()}
            )
        if switches:
            sections["switches"] = Node(
                1,
                {
                    name: Node(
                        self._switches[key].line,
                        _texts(self._switches[key].line, self._keys(key, len(domains) > 1)),
                    )
                    for key, name in switches.items()
                },
            )
        sections["hosts"] = Node(1, hosts)
        links = [self._link(link, switches) for link in self._links]
        if links:
            sections["links"] = Node(1, links)
        return Node(1, sections)

    def _keys(self, key: str, apart: bool) -> dict[str, str]:
        switch = self._switches[key]
        keys = {"dpid": switch.dpid, "domain": switch.domain if apart else ""}
        return {key: value for key, value in keys.items() if value}

    def _domains(self) -> list[str]:
        """The domains, if every switch has one."""
        domains = [switch.domain for switch in self._switches.values()]
        return list(dict.fromkeys(domains)) if all(map(names.is_name, domains)) else []

    def _kept(self) -> list[tuple[Station, Plug]]:
        """The stations that have a wire, with their interfaces. Notes tell of all others."""
        kept = []
        for station in self.stations.values():
            first = station.first
            if first is None:
                self.report.note(f"{station.name}: it has no link: left out", station.line)
                continue
            kept += [(station, plug) for plug in station.inside]
            for interface, said in station.loose:
                what = f"{said.text} of {station.name}: no link has the interface {interface}: left out"
                self.report.note(what, said.line, said.file)
        return kept

    def _without_overlaps(
        self, kept: list[tuple[Station, Plug]], at: Mapping[str, Segment]
    ) -> list[tuple[Station, Plug]]:
        """The interfaces without those in a network with the addresses of one that their host has already."""
        left: list[tuple[Station, Plug]] = []
        before: dict[str, list[tuple[str, Segment]]] = {}
        for station, plug in kept:
            part = at[_key(station, plug)]
            own = before.setdefault(station.name, [])
            other = next((name for name, one in own if one is not part and _overlap(one, part)), "")
            if other:
                what = f"{plug.interface} of {station.name}: {other} is in another network with its addresses"
                self.report.note(f"{what}: left out", plug.line)
                continue
            own.append((plug.interface, part))
            left.append((station, plug))
        return left

    def _wires(
        self, kept: list[tuple[Station, Plug]], at: Mapping[str, Segment]
    ) -> dict[str, list[tuple[Station, Plug]]]:
        """The switches that the file does not have, and that are wires between two hosts in one network: key
        -> its ends."""
        ends: dict[str, list[tuple[Station, Plug]]] = {}
        for station, plug in kept:
            if not self._switches[plug.switch].given:
                ends.setdefault(plug.switch, []).append((station, plug))
        return {
            key: some
            for key, some in ends.items()
            if len(some) == 2
            and some[0][0] is not some[1][0]
            and at[_key(*some[0])] is at[_key(*some[1])]
            and len(at[_key(*some[0])].members) == 2
        }

    def _names_of_switches(self, used: set[str], wires: Collection[str]) -> dict[str, str]:
        """Key -> name of each switch; those that the file names choose first. A wire that lost all its ends
        is none, nor are ``wires`` between hosts."""
        used = used | {end for link in self._links for end in link.ends}
        chosen: dict[str, str] = {}
        for key, switch in sorted(self._switches.items(), key=lambda item: not item[1].given):
            if switch.given or (key in used and key not in wires):
                chosen[key] = self._free(switch.wanted, switch.line if switch.given else 0, "s")
        return {key: chosen[key] for key in self._switches if key in chosen}

    def _free(self, wanted: str, line: int, letter: str) -> str:
        """A name that is allowed and free, near to the wanted one. ``line``: a note tells of a change.
        ``letter``: ``h`` of a host, whose name stands in /etc/hosts, or ``s``."""
        name = wanted if names.is_name(wanted) else names.slug(wanted, LONGEST_NAME) or letter
        if letter == "h" and _means_something_else(name.lower()):
            name = f"{letter}-{name.replace('.', '-')}"
        base = name[: names.MAX_LENGTH - 8]
        while name in self._taken or (letter == "h" and name.lower() in self._hosts):
            number = self._numbers[base] = self._numbers.get(base, 1) + 1
            name = f"{base}-{number}"
        self._taken.add(name)
        if letter == "h":
            self._hosts.add(name.lower())
        if line and name != wanted:
            self.report.note(f"{shown(wanted)} can't be its name here: it is {name}", line)
        return name

    def _member(self, station: Station, plug: Plug) -> Member:
        """The station for the choice of its network, with the addresses that it keeps."""
        wanted = station.network if plug is station.first else ""
        member = Member(_key(station, plug), plug.switch, plug.line, wanted)
        for said in plug.addresses:
            static = self.parsed(_static, said, f"address of {station.name}")
            if static is None:
                continue
            interface: Interface = static.interface
            if interface.version == 6 and interface.is_link_local:
                continue  # every interface has one
            at = (said.line, said.file)
            family = f"IPv{interface.version}"
            if not static.prefixed:
                what = f"{said.text} of {station.name}: its prefix length is not known"
                self.report.note(f"{what}: /{interface.network.prefixlen} is taken", *at)
            if interface.version in member.addresses:
                what = f"{said.text} of {station.name}: a host has one {family} address: left out"
                self.report.note(what, *at)
                continue
            try:
                subnet = units.subnet6 if interface.version == 6 else units.subnet4
                subnet(str(interface.network))
            except units.BadValue as error:
                self.report.note(f"{said.text} of {station.name}: {error.what}: left out", *at)
                continue
            member.addresses[interface.version] = interface
            member.lines[interface.version] = at
        return member

    def _networks(self, parts: list[Segment], switches: dict[str, str]) -> dict[int, tuple[Segment, str]]:
        """Number of a segment -> it and the name of its network; empty when one network without subnets is
        all."""
        if len(parts) == 1 and not parts[0].subnets and not parts[0].wanted:
            return {}
        taken: set[str] = set()
        numbers: dict[str, int] = {}
        chosen: dict[int, tuple[Segment, str]] = {}
        for part in parts:
            of_switch = switches.get(part.switches[0], "") if len(part.switches) == 1 else ""
            wanted = part.wanted if names.is_name(part.wanted) else ""
            base = name = wanted or ("lan" if len(parts) == 1 else of_switch or "lan")
            while name in taken:
                numbers[base] = numbers.get(base, 1) + 1
                name = f"{base[: names.MAX_LENGTH - 8]}-{numbers[base]}"
            taken.add(name)
            chosen[id(part)] = (part, name)
        return chosen

    def _network(self, part: Segment, name: str) -> Node:
        keys = {f"subnet{family}": str(subnet) for family, subnet in sorted(part.subnets.items())}
        said = self.vlans.get(name)
        tag = self.parsed(units.vlan, said, f"VLAN id of {name}") if said is not None else None
        return Node(part.line, _texts(part.line, keys | ({"vlan": str(tag)} if tag is not None else {})))

    def _host(self, station: Station, plugs: list[Plug], own: list[dict[str, Node]]) -> Node:
        """A host with its interfaces, whose keys are ``own``."""
        if len(station.plugs) < 2:
            return Node(station.line, {**own[0], **station.entries})
        keys = [plug.interface if station.named else str(station.inside.index(plug)) for plug in plugs]
        inner = {key: Node(plug.line, one) for key, plug, one in zip(keys, plugs, own, strict=True)}
        kind = {"kind": Node(station.line, ROUTER)} if self.forwards and len(plugs) > 1 else {}
        return Node(station.line, {"interfaces": Node(station.line, inner), **kind, **station.entries})

    def _other_end(self, plug: Plug, ends: list[tuple[Station, Plug]]) -> str:
        """The other end of a wire between hosts: ``r2.eth1``."""
        station, other = ends[1] if ends[0][1] is plug else ends[0]
        if len(station.plugs) < 2:
            return f"{self.host(station)}.eth0"
        if station.named:
            return f"{self.host(station)}.{other.interface}"
        return f"{self.host(station)}.eth{station.inside.index(other)}"

    def _interface(
        self,
        station: Station,
        plug: Plug,
        switches: Mapping[str, str],
        wires: Mapping[str, list[tuple[Station, Plug]]],
        at: Mapping[str, Segment],
        networks: dict[int, tuple[Segment, str]],
    ) -> dict[str, Node]:
        """The keys of an interface."""
        part = at[_key(station, plug)]
        if plug.switch in wires:
            ends = wires[plug.switch]
            keys = {"peer": Node(plug.line, self._other_end(plug, ends))}
            if ends[1][1] is plug and ends[0][1].shaping:
                plug.shaping = {}
        else:
            keys = {"switch": Node(plug.line, _end(switches[plug.switch], plug.port))}
        if len(networks) > 1 or (networks and plug.switch in wires):
            keys["network"] = Node(plug.line, networks[id(part)][1])
        member = part.members[_key(station, plug)]
        for family, interface in sorted(member.addresses.items()):
            keys[f"ipv{family}"] = Node(plug.line, str(interface.ip))
        if plug.mac is not None and (mac := self._mac(plug.mac, station.name)):
            keys["mac"] = Node(plug.mac.line, mac)
        return keys | {key: Node(plug.line, value) for key, value in plug.shaping.items()}

    def _mac(self, said: Said, host: str) -> str | None:
        """A MAC address that no other host has."""
        mac = self.parsed(units.mac, said, f"MAC address of {host}")
        if mac is not None and mac in self._macs:
            self.report.note(f"MAC address {mac} of {host}: another host has it: left out", said.line)
            return None
        if mac is not None:
            self._macs.add(mac)
        return mac

    @staticmethod
    def _link(link: _Link, switches: dict[str, str]) -> Node:
        ends = [_end(switches[end], port) for end, port in zip(link.ends, link.ports, strict=True)]
        if not link.shaping:
            return Node(link.line, f"{ends[0]} -- {ends[1]}")
        keys = {"ends": Node(link.line, [Node(link.line, end) for end in ends])}
        return Node(link.line, keys | _texts(link.line, link.shaping))


def _key(station: Station, plug: Plug) -> str:
    """The name of an interface among the members of networks: its host's for the first one."""
    return station.name if plug is station.first else f"{station.name}, {plug.interface}"


def _overlap(one: Segment, other: Segment) -> bool:
    both = ((one.subnets.get(family), other.subnets.get(family)) for family in (4, 6))
    return any(mine is not None and theirs is not None and mine.overlaps(theirs) for mine, theirs in both)


def _means_something_else(name: str) -> bool:
    """Whether programs take a name in /etc/hosts for this machine (RFC 6761) or an address (inet_aton(3))."""
    local = name in _RESERVED or name.endswith((".localhost", ".localdomain"))
    return local or name.replace(".", "").isdigit() or name.startswith("0x")


def _end(switch: str, port: str) -> str:
    return f"{switch}:{port}" if port else switch


def _static(text: str) -> units.Static4 | units.Static6:
    return units.ipv6(text) if ":" in text else units.ipv4(text)


def _texts(line: int, keys: dict[str, str]) -> dict[str, Node]:
    return {key: Node(line, value) for key, value in keys.items()}
