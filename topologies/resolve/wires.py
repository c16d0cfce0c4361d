"""Checks the ends of links and of the wires of hosts: they are at switches that exist. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from topologies.model import names
from topologies.resolve.port_numbers import Ports
from topologies.syntax import units
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import LinkSpec


def attachments(
    hosts: Mapping[str, HostSpec], wired: Collection[str], ports: Ports, report: Report
) -> dict[str, units.End]:
    """The switch of each host, with the port number if the file gives one. ``wired``: those that are on wires
    between hosts. Problems are reported."""
    attached = {}
    for name, spec in hosts.items():
        path = ("hosts", name, "switch")
        if name in wired or spec.peer is not None:
            continue
        if spec.switch is None:
            listed = ", ".join(list(ports.switches)[:8])
            report.add(path, "the host has no switch", listed, "write switch: and one of them")
        elif ports.claim(path, spec.switch, f"host {name}"):
            attached[name] = spec.switch
    return attached


def link_ends(
    links: Sequence[tuple[int, LinkSpec]], ports: Ports, report: Report
) -> dict[int, tuple[units.End, units.End]]:
    """Index of each link -> its two ends; the switch that comes first in natural order is the first one."""
    ends = {}
    for index, spec in links:
        path: Path = ("links", index, "ends")
        if spec.ends is None or len(spec.ends) != 2:
            given = "none" if not spec.ends else str(len(spec.ends))
            form = "s1 -- s2, [s1, s2] or {ends: [s1, s2]}"
            glued = any(end is not None and "--" in end.switch for end in spec.ends or ())
            remedy = "put spaces around '--'" if glued else ""
            report.add(path, f"a link has two ends, this one has {given}", form, remedy)
            continue
        a, b = spec.ends
        if a is None or b is None:
            continue  # reported where it was read
        claimed = [ports.claim((*path, side), end, f"links[{index}]") for side, end in enumerate((a, b))]
        if a.switch == b.switch and all(claimed):
            what = f"the link ends on switch {shown(a.switch)} twice"
            report.add(path, what, "two different switches", "remove the link")
        elif all(claimed):
            ends[index] = (a, b) if names.natural(a.switch) <= names.natural(b.switch) else (b, a)
    return ends


def named(
    links: Sequence[tuple[int, LinkSpec]], ends: Mapping[int, tuple[units.End, units.End]]
) -> dict[str, int]:
    """Name -> index of each link whose ends are known, in the order in which their ports are numbered."""
    known = [item for item in links if item[0] in ends]
    order = sorted(known, key=lambda item: (*(names.natural(end.switch) for end in ends[item[0]]), item[0]))
    counts: dict[str, int] = {}
    by_name = {}
    for index, _ in order:
        a, b = ends[index]
        name = f"{a.switch}-{b.switch}"
        counts[name] = counts.get(name, 0) + 1
        if counts[name] > 1:
            name += f"#{counts[name]}"
        by_name[name] = index
    return by_name
