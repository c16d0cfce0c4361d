"""Which hosts of an imported lab are one network: they reach each other by wires, and by their addresses.
Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    parts: dict[tuple[str, str], list[Segment]] = {}
    for member in sorted(members, key=lambda member: not member.addresses):
        # a network that the file names may span parts that no wire joins
        top = root[member.switch]
        several = parts.setdefault(("" if member.wanted else top, member.wanted), [])
        part = _fitting(member, several)
        if part is None:
            part = Segment(tuple(joined[top]), member.line, member.wanted)
            several.append(part)
        _join(member, part, report)
    order = {member.name: number for number, member in enumerate(members)}
    return sorted(
        (part for several in parts.values() for part in several),
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


def _fitting(member: Member, several: Sequence[Segment]) -> Segment | None:
    """The segment that has the subnets of the host's addresses: of one family at least, and no other of the
    other one. A host without addresses takes the first one that has room for it."""
    nets = {family: interface.network for family, interface in member.addresses.items()}
    for part in several:
        if nets:
            same = [part.subnets[family] == net for family, net in nets.items() if family in part.subnets]
            if any(same) or (not part.subnets and not same):
                return part
        elif all(_room(subnet) > len(part.members) for subnet in part.subnets.values()):
            return part
    return None


def _room(subnet: Subnet) -> int:
    """The number of addresses that hosts may have."""
    size = subnet.num_addresses
    return size if size <= 2 else size - 2 if subnet.version == 4 else size - 1


def _join(member: Member, part: Segment, report: Report) -> None:
    part.members[member.name] = member
    for family, interface in list(member.addresses.items()):
        line, file = member.lines[family]
        part.subnets.setdefault(family, interface.network)
        if why := _refused(interface, family, part, member):
            report.note(f"{interface} of {member.name}: {why}: left out", line, file)
            del member.addresses[family]
            if not any(family in other.addresses for other in part.members.values()):
                del part.subnets[family]


def _refused(interface: IPv4Interface | IPv6Interface, family: int, part: Segment, member: Member) -> str:
    """Why a host can't have the address; empty when it can."""
    subnet = part.subnets[family]
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
    for other in part.members.values():
        if other is not member and family in other.addresses and other.addresses[family].ip == interface.ip:
            return f"{other.name} has it already"
    return ""
