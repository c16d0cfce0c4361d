"""The parts of a lab that neither links nor an underlay join. Pure.

Hosts of different parts cannot reach each other. That is no problem: 23 of the 276 networks in the Internet
Topology Zoo have several parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import NamedTuple

from topologies.model.choices import ROUTER
from topologies.model.host_wires import host_wires
from topologies.model.overlay import islands
from topologies.model.topology import Topology


class Part(NamedTuple):
    """The names of switches that links join to each other and to no others, and of their hosts."""

    switches: tuple[str, ...]
    hosts: tuple[str, ...]

    def __str__(self) -> str:
        hosts = _some(self.hosts) if self.hosts else "no host"
        return f"{_some(self.switches)} ({hosts})"


def parts(topology: Topology) -> tuple[Part, ...]:
    """All parts, the largest first.

    A lab with an underlay has one part: the underlay carries every network to all its hosts.
    """
    number = part_of(topology)
    switches: dict[int, list[str]] = {}
    hosts: dict[int, list[str]] = {}
    for switch in topology.switches:
        if switch.role == "switch":
            switches.setdefault(number[switch.name], []).append(switch.name)
    for host in topology.attached:
        hosts.setdefault(number[host.at.switch], []).append(host.name)
    all_parts = [Part(tuple(names), tuple(hosts.get(island, ()))) for island, names in switches.items()]
    return tuple(sorted(all_parts, key=lambda part: (-len(part.switches), -len(part.hosts))))


def part_of(topology: Topology) -> dict[str, int]:
    """Switch -> the number of its part."""
    if topology.underlay is not None:
        return {switch.name: 0 for switch in topology.switches}
    return islands(topology)


def parts_now(topology: Topology, links_down: Collection[str], hosts_off: Collection[str]) -> dict[str, int]:
    """Host -> the number of the part that it is in while these links, and the wires of these hosts, are
    down. The two ends of a wire between hosts are a part of their own."""
    whole = topology.model_copy(
        update={"links": tuple(link for link in topology.links if link.name not in links_down)}
    )
    number = part_of(whole)
    alone = itertools.count(len(number))
    now = {
        host.name: next(alone) if host.name in hosts_off else number[host.at.switch]
        for host in topology.attached
    }
    for wire in host_wires(topology):
        together = next(alone)
        now |= {wire.a.name: together, wire.b.name: next(alone) if wire.name in links_down else together}
    return now


def _routed_together(topology: Topology, apart: Sequence[Part]) -> bool:
    """Whether hosts that forward join all parts."""
    if not any(host.kind == ROUTER for host in topology.nodes):
        return False
    groups = [set(part.hosts) for part in apart if part.hosts]
    groups += [{wire.a.name, wire.b.name} for wire in host_wires(topology)]
    for host in topology.nodes:
        if host.kind == ROUTER:
            mine = {entry.name for entry in topology.hosts if entry.node == host.name}
            touched = [group for group in groups if group & mine]
            groups = [group for group in groups if not group & mine]
            groups.append(set().union(*touched))
    return len(groups) < 2


def remark(topology: Topology) -> str:
    """A sentence about the parts of a lab; empty when it has only one."""
    apart = parts(topology)
    if len(apart) < 2 or _routed_together(topology, apart):
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
