"""The ends of hosts' wires and of links: checks their switches, and fills in port numbers. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from topologies.model import names
from topologies.model.topology import Port, Shaping
from topologies.syntax import units
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import HostSpec, LinkSpec, Shaped


def unknown(path: Path, what: str, name: str, known: Iterable[str], section: str, report: Report) -> None:
    """Report a name that does not exist, except when the section could not be read completely."""
    if section in report.incomplete or report.is_broken((section,)) or report.is_broken((section, name)):
        return
    all_known = list(known)
    listed = ", ".join(all_known[:8]) + (", …" if len(all_known) > 8 else "")
    report.no_such(path, what, name, all_known, section, listed)


Owners = Mapping[str, Mapping[int, str]]
"""Switch -> port number -> who has it, in words."""


class Ports:
    """Assigns port numbers within one phase: those that the file gives, then the lowest free ones.

    ``taken``: the numbers that earlier phases assigned; it is not changed. ``owners`` has them all.
    """

    def __init__(self, switches: Mapping[str, object], taken: Owners, report: Report) -> None:
        self.switches = switches
        self.report = report
        self._taken = taken
        self._owners: dict[str, dict[int, str]] = {}
        self._next: dict[tuple[str, int], int] = {}

    @property
    def owners(self) -> Owners:
        """All numbers that are taken so far, as a value that does not change later."""
        return {**self._taken, **{switch: dict(ports) for switch, ports in self._owners.items()}}

    def _taken_at(self, switch: str) -> dict[int, str]:
        """The taken numbers of a switch, in a copy that this phase may change."""
        ports = self._owners.get(switch)
        if ports is None:
            ports = self._owners[switch] = dict(self._taken.get(switch, ()))
        return ports

    def claim(self, path: Path, end: units.End, owner: str) -> bool:
        """Take the port of an end. False, with a problem, when the switch does not exist or the port
        is taken."""
        if end.switch not in self.switches:
            unknown(path, "switch", end.switch, self.switches, "switches", self.report)
            return False
        if end.port is None:
            return True
        taken = self._taken_at(end.switch)
        if end.port in taken:
            what = f"port {end.switch}:{end.port} is used by {taken[end.port]} already"
            self.report.add(path, what, remedy="take another number, or leave it out")
            return False
        taken[end.port] = f"{owner} (line {self.report.locate(path)})"
        return True

    def keep(self, port: Port, owner: str) -> bool:
        """Take a port that its owner has in the running lab. False when the file gives it to another."""
        taken = self._taken_at(port.switch)
        if port.switch not in self.switches or port.number in taken:
            return False
        taken[port.number] = owner
        return True

    def number(self, end: units.End, least: int = 1, shunned: Collection[int] = ()) -> Port:
        """The port of a claimed end. If the file gives no number: the first free one from ``least``
        on that is not in ``shunned``."""
        if end.port is not None:
            return Port(switch=end.switch, number=end.port)
        taken = self._taken_at(end.switch)
        number = self._next.get((end.switch, least), least)
        while number in taken or number in shunned:
            number += 1
        if not shunned:
            self._next[end.switch, least] = number + 1
        taken[number] = "something"
        if number > units.MAX_PORT:
            path = ("switches", end.switch)
            if number == units.MAX_PORT + 1:
                self.report.add(
                    path, "has more wires than ports", f"{units.MAX_PORT} ports", "use more switches"
                )
            number = units.MAX_PORT
        return Port(switch=end.switch, number=number)


def attachments(hosts: Mapping[str, HostSpec], ports: Ports, report: Report) -> dict[str, units.End]:
    """The switch of each host, with the port number if the file gives one. Problems are reported."""
    attached = {}
    for name, spec in hosts.items():
        path = ("hosts", name, "switch")
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


def shaping(spec: Shaped) -> Shaping:
    # a delay or loss of 0 becomes None, so that equal wires have equal values
    return Shaping(bandwidth=spec.bandwidth, delay=spec.delay or None, loss=spec.loss or None)
