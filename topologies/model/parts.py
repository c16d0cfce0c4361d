"""Parts of a lab that nothing joins: neither links nor, between domains, an underlay. Pure.

Operators' networks are often drawn so (23 of the 276 of the Internet Topology Zoo): hosts of different parts
can't reach each other, and nothing is wrong with that.
"""

from __future__ import annotations

from typing import NamedTuple

from topologies.model.overlay import islands
from topologies.model.topology import Topology


class Part(NamedTuple):
    """Switches that links join to each other and to no other, and the hosts at them; by name."""

    switches: tuple[str, ...]
    hosts: tuple[str, ...]

    def __str__(self) -> str:
        hosts = _some(self.hosts) if self.hosts else "no host"
        return f"{_some(self.switches)} ({hosts})"


def parts(topology: Topology) -> tuple[Part, ...]:
    """All parts, the largest first; a single one when everything is joined.

    An underlay joins all: it carries every network to wherever its hosts are.
    """
    number = part_of(topology)
    switches: dict[int, list[str]] = {}
    hosts: dict[int, list[str]] = {}
    for switch in topology.switches:
        if switch.role == "switch":
            switches.setdefault(number[switch.name], []).append(switch.name)
    for host in topology.hosts:
        hosts.setdefault(number[host.port.switch], []).append(host.name)
    all_parts = [Part(tuple(names), tuple(hosts.get(island, ()))) for island, names in switches.items()]
    return tuple(sorted(all_parts, key=lambda part: (-len(part.switches), -len(part.hosts))))


def part_of(topology: Topology) -> dict[str, int]:
    """Switch -> number of its part."""
    if topology.underlay is not None:
        return {switch.name: 0 for switch in topology.switches}
    return islands(topology)


def remark(topology: Topology) -> str:
    """What to tell of a lab in parts, in a sentence; empty when everything is joined."""
    apart = parts(topology)
    if len(apart) < 2:
        return ""
    shown = "; ".join(map(str, apart[:_MOST]))
    more = f"; and {len(apart) - _MOST} more" if len(apart) > _MOST else ""
    what = f"there are {len(apart)} parts that no link joins, and hosts reach those of their own only"
    return f"{what}: {shown}{more}"


_MOST = 6


def _some(names: tuple[str, ...]) -> str:
    if len(names) <= _MOST:
        return ", ".join(names)
    return f"{', '.join(names[: _MOST - 2])}, … {names[-1]}, {len(names)} in all"
