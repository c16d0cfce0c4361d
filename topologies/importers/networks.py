"""Which hosts of an imported lab are one network: they reach each other by wires, and by their addresses.
Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from topologies.syntax.problem import Report

Subnet = IPv4Network | IPv6Network


@dataclass
class Member:
    """A host: its switch, its addresses by family (4, 6) and the line and file of each; the network that the
    file names, if any."""

    name: str
    switch: str
    line: int
    wanted: str = ""
    addresses: dict[int, IPv4Interface | IPv6Interface] = field(default_factory=dict)
    lines: dict[int, tuple[int, str]] = field(default_factory=dict)


@dataclass
class Segment:
    """A network to be: its hosts, and its subnets by family. ``switches``: those that its hosts are on, and
    all that wires join to them. ``line``: that of its first host."""

    switches: tuple[str, ...]
    line: int
    wanted: str = ""
    subnets: dict[int, Subnet] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)


def segments(members: Iterable[Member], links: Iterable[tuple[str, str]], report: Report) -> list[Segment]:
    """The networks, in the order of their first hosts. Addresses that can't be are dropped with a note."""
    members = list(members)
    root = _parts([member.switch for member in members], links)
    joined: dict[str, list[str]] = {}
    for switch, top in root.items():
        joined.setdefault(top, []).append(switch)
    parts: dict[tuple[str, str], _Part] = {}
    for member in sorted(members, key=lambda member: not member.addresses):
        # a network that the file names may span parts that no wire joins
        top = root[member.switch]
        part = parts.setdefault(("" if member.wanted else top, member.wanted), _Part())
        segment = part.fitting(member)
        if segment is None:
            segment = Segment(tuple(joined[top]), member.line, member.wanted)
            part.segments.append(segment)
        part.join(member, segment, report)
    order = {member.name: number for number, member in enumerate(members)}
    return sorted(
        (segment for part in parts.values() for segment in part.segments),
        key=lambda part: min(order[name] for name in part.members),
    )


def _parts(switches: Iterable[str], links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Switch -> the first switch of those that wires join to it."""
    neighbours: dict[str, list[str]] = {switch: [] for switch in switches}
    for one, other in links:
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    root: dict[str, str] = {}
    for top in neighbours:
        waiting = [top] if top not in root else []
        while waiting:
            switch = waiting.pop()
            if switch not in root:
                root[switch] = top
                waiting += neighbours[switch]
    return root


class _Part:
    """Switches that wires join, with the networks of the hosts on them."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._of_subnet: dict[Subnet, Segment] = {}
        self._owners: dict[tuple[int, object], str] = {}  # a segment's number and an address -> a host

    def fitting(self, member: Member) -> Segment | None:
        """The segment that has a subnet of the host's addresses. A host without addresses takes the first
        one that has room for it."""
        nets = [interface.network for interface in member.addresses.values()]
        if nets:
            return next((self._of_subnet[net] for net in nets if net in self._of_subnet), None)
        for segment in self.segments:
            if all(_room(subnet) > len(segment.members) for subnet in segment.subnets.values()):
                return segment
        return None

    def join(self, member: Member, segment: Segment, report: Report) -> None:
        """Add a host with those of its addresses that it can have; notes tell of others."""
        segment.members[member.name] = member
        for family, interface in list(member.addresses.items()):
            line, file = member.lines[family]
            subnet = segment.subnets.get(family, interface.network)
            why = _refused(interface, family, subnet) or self._taken(interface, segment)
            if why:
                report.note(f"{interface} of {member.name}: {why}: left out", line, file)
                del member.addresses[family]
                continue
            segment.subnets[family] = subnet
            self._of_subnet.setdefault(subnet, segment)
            self._owners[id(segment), interface.ip] = member.name

    def _taken(self, interface: IPv4Interface | IPv6Interface, segment: Segment) -> str:
        owner = self._owners.get((id(segment), interface.ip))
        return f"{owner} has it already" if owner is not None else ""


def _room(subnet: Subnet) -> int:
    """The number of addresses that hosts may have."""
    size = subnet.num_addresses
    return size if size <= 2 else size - 2 if subnet.version == 4 else size - 1


def _refused(interface: IPv4Interface | IPv6Interface, family: int, subnet: Subnet) -> str:
    """Why no host of the subnet can have the address; empty when one can."""
    if subnet.prefixlen == subnet.max_prefixlen:
        return "a subnet with one address connects nobody"
    if subnet != interface.network:
        return f"the hosts around it are in {subnet}, and a network has one IPv{family} subnet"
    offset = int(interface.ip) - int(subnet.network_address)
    if subnet.num_addresses > 2:
        if offset == 0:
            return f"it is the address of the network {subnet} itself"
        if family == 4 and offset == subnet.num_addresses - 1:
            return f"it is the broadcast address of {subnet}"
    return ""
