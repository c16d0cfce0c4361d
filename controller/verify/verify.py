"""Prove or refute, by computing on compiled tables over all packets, what a lab promises. Pure.

The method is that of header space analysis (Kazemian et al., NSDI 2012): classes of packets are pushed
through the tables and along the wires, and split where flows tell them apart. States are shared, and checked
again only where a change touches them, as VeriFlow does (Khurshid et al., NSDI 2013).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations

from controller.compiler.compile import compile_topology
from controller.flow.tables import SwitchTables
from controller.verify.addresses import check_addresses
from controller.verify.delivery import Flight, Flights
from controller.verify.dependence import Dependence, matched, other_switches
from controller.verify.lab import Lab
from controller.verify.lookup import SwitchIndex
from controller.verify.one_table import hidden, same_keys
from controller.verify.outcomes import Fabric
from controller.verify.outside import outside
from controller.verify.report import (
    CHAINS,
    DELIVERY,
    HOLES,
    INTACT,
    ISOLATION,
    KEYS,
    LOOPS,
    RULES,
    SHADOWED,
    Finding,
    Report,
)
from controller.verify.rules import check_rules
from controller.verify.safety import check_port
from controller.verify.states import Space, State
from topologies.model.overlay import connected_components
from topologies.model.topology import Port, Topology

Compile = Callable[[frozenset[str]], Mapping[str, SwitchTables]]
"""The tables when the links of these names are down."""
Progress = Callable[[str, int, int], None]
"""What is being done; how many steps of it are done, of how many."""
MOST_FINDINGS = 200
"""A report has no more findings; the properties say how many cases there were."""


def verify(
    topology: Topology,
    tables: Mapping[str, SwitchTables] | None = None,
    cuts: int = 1,
    progress: Progress | None = None,
    compile: Compile | None = None,
) -> Report:
    """Verify a lab, and the lab with any ``cuts`` links cut.

    ``tables``: those to verify; by default what the compiler makes of the topology. ``compile``: what the
    controller makes of it after a cut.
    """
    run = Verification(topology, tables, progress, compile)
    run.everything()
    run.failures(cuts)
    return run.report


class Verification:
    """A lab's states and the verdicts on them, kept for checks of what changes."""

    def __init__(
        self,
        topology: Topology,
        tables: Mapping[str, SwitchTables] | None = None,
        progress: Progress | None = None,
        compile: Compile | None = None,
    ) -> None:
        self.topology = topology
        self._compile = compile or (lambda down: compile_topology(topology, down))
        self.tables = tables if tables is not None else self._compile(frozenset())
        self._progress = progress or (lambda what, done, of: None)
        self.lab = Lab(topology)
        self.flights = Flights(self.lab)
        self.report = Report()
        self.indexes = {name: SwitchIndex(held) for name, held in self.tables.items()}
        self.space = Space(topology, self.indexes)
        self.fabric = Fabric(self.space, self.indexes)
        self._starts: dict[State, list[Flight]] = {}
        self._seen: set[object] = set()
        self.dependence: Dependence | None = None

    def everything(self) -> Report:
        """Verify the lab as it should be."""
        report = self.report
        report.outside = outside(self.lab)
        for held in self.tables.values():
            self._add(same_keys(held))
            report.count(KEYS, len(held.flows))
        ports = list(self.lab.at)
        for number, port in enumerate(ports):
            self._progress("frames of each port", number, len(ports))
            self._add(check_port(self.lab, self.fabric, port))
            for name in (LOOPS, HOLES, ISOLATION, INTACT):
                report.count(name)
        pairs = list(self.lab.pairs())
        for number, pair in enumerate(pairs):
            if not number % 64:
                self._progress("pairs of hosts", number, len(pairs))
            for flight in self.flights.of(self.fabric, *pair):
                self._fly(self.fabric, flight, (), False)
        self._add(check_addresses(self.lab, self.fabric, report))
        self._rules()
        report.classes = sum(map(len, self.fabric.known.values()))
        report.states = len(self.fabric.known)
        seen = matched(self.fabric)
        for number, (name, index) in enumerate(self.indexes.items()):
            self._progress("flows that others hide", number, len(self.indexes))
            self._add(hidden(index, seen.get(name, {})))
            report.count(SHADOWED, len(index.tables.flows))
        report.conditions = 1
        return report

    def _rules(self) -> None:
        self._add(check_rules(self.topology))
        number = sum(
            len(firewall.rules)
            for function in self.topology.functions
            if (firewall := getattr(function, "firewall", None)) is not None
        )
        if number:
            self.report.count(RULES, number)

    def _fly(self, fabric: Fabric, flight: Flight, cut: tuple[str, ...], converged: bool) -> None:
        """Decide one flight of the lab as it should be, and note what it depends on."""
        fabric.asked = []
        name, findings = self.flights.check(fabric, flight, cut, converged)
        for start in dict.fromkeys(fabric.asked):
            self._starts.setdefault(start, []).append(flight)
        if name is not None:
            self.report.count(name)
            if flight.seen is not None and self.topology.chains and name is DELIVERY:
                self.report.count(CHAINS)
        self._add(findings)

    def _add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            key = finding.key()
            if key not in self._seen and len(self.report.findings) < MOST_FINDINGS:
                self._seen.add(key)
                self.report.findings.append(finding)

    # -- failures ------------------------------------------------------------------------

    def failures(self, cuts: int) -> Report:
        """Verify the lab with every set of up to ``cuts`` links cut: at once, by the data plane's own repair,
        and when the controller has answered."""
        links = [link.name for link in self.topology.links]
        sets = [set_ for size in range(1, cuts + 1) for set_ in combinations(links, size)]
        if sets and self.dependence is None:
            self.dependence = Dependence(self.fabric)
        for number, cut in enumerate(sets):
            self._progress(f"{' and '.join(cut)} cut", number, len(sets))
            self._cut(cut)
        return self.report

    def _cut(self, cut: tuple[str, ...]) -> None:
        dead: dict[str, set[int]] = {}
        for link in self.topology.links:
            if link.name in cut:
                dead.setdefault(link.a.switch, set()).add(link.a.number)
                dead.setdefault(link.b.switch, set()).add(link.b.number)
        ports = {name: frozenset(numbers) for name, numbers in dead.items()}
        self.report.conditions += 2
        apart = _apart(self.topology, cut)
        self._repaired(cut, ports, apart)
        self._converged(cut, ports, apart)

    def _repaired(self, cut: tuple[str, ...], dead: Mapping[str, frozenset[int]], apart: _Apart) -> None:
        """Right after the cut: whatever the switches do by themselves must be right, but they need not be
        able to do it for every pair."""
        assert self.dependence is not None
        changed = self.dependence.at_ports(dead)
        fabric, flights, ports = self._other(self.indexes, dead, changed)
        for port in ports:
            self._add(check_port(self.lab, fabric, port, cut))
        for flight in flights:
            if apart.are(flight.source.port.switch, flight.target.port.switch):
                continue
            name, findings = self.flights.check(fabric, flight, cut)
            lost = [finding for finding in findings if _is_silence(finding)]
            if name is DELIVERY and lost:
                self.report.unprotected[" ".join(cut)] = self.report.unprotected.get(" ".join(cut), 0) + 1
            elif name is DELIVERY:
                self.report.repaired += 1
            self._add(finding for finding in findings if not _is_silence(finding))

    def _converged(self, cut: tuple[str, ...], dead: Mapping[str, frozenset[int]], apart: _Apart) -> None:
        """With the tables that the controller makes then: all that the file allows is as it was."""
        assert self.dependence is not None
        tables = self._compile(frozenset(cut))
        changed = self.dependence.at_ports(dead)
        for name, held in tables.items():
            changed |= self.dependence.of_tables(name, held)
        indexes = other_switches(tables, self.indexes)
        fabric, flights, ports = self._other(indexes, dead, changed)
        for port in ports:
            self._add(check_port(self.lab, fabric, port, cut, True))
        for flight in flights:
            if not apart.may_be_cut_off(flight.source.port.switch, flight.target.port.switch):
                case, findings = self.flights.check(fabric, flight, cut, True)
                if case is not None:
                    self.report.count(case)
                self._add(findings)

    def _other(
        self, indexes: Mapping[str, SwitchIndex], dead: Mapping[str, frozenset[int]], changed: set[State]
    ) -> tuple[Fabric, list[Flight], list[Port]]:
        """The lab in another condition, with the flights and the ports that it can make a difference to."""
        assert self.dependence is not None
        stale = self.dependence.leading_to(changed)
        fabric = Fabric(self.space, indexes, dead, base=self.fabric, changed=changed, stale=stale)
        flights = dict.fromkeys(
            flight for state in stale if state in self._starts for flight in self._starts[state]
        )
        ports = [port for port in self.lab.at if self.space.from_port(port) in stale]
        return fabric, list(flights), ports

    # -- changes -------------------------------------------------------------------------

    def recheck(self, tables: Mapping[str, SwitchTables]) -> Report:
        """What is wrong with other tables: only what differs is computed. Switches whose tables are the same
        objects as before are not looked at."""
        indexes = other_switches(tables, self.indexes)
        other = {name: index for name, index in indexes.items() if index is not self.indexes[name]}
        if not self.space.reads.covers(self.space.reads_of(other)):
            return verify(self.topology, tables, 0)
        if self.dependence is None:
            self.dependence = Dependence(self.fabric)
        changed: set[State] = set()
        before, self.report, seen, self._seen = self.report, Report(), self._seen, set()
        for name, held in tables.items():
            if held is not self.tables[name]:
                changed |= self.dependence.of_tables(name, held)
                self._add(same_keys(held))
        fabric, flights, ports = self._other(indexes, {}, changed)
        for port in ports:
            self._add(check_port(self.lab, fabric, port))
        for flight in flights:
            case, findings = self.flights.check(fabric, flight)
            if case is not None:
                self.report.count(case)
            self._add(findings)
        report, self.report, self._seen = self.report, before, seen
        return report


class _Apart:
    """Which switches cut links part. ``functions``: of those that a chain needs."""

    def __init__(
        self, before: Mapping[str, int], after: Mapping[str, int], functions: frozenset[str]
    ) -> None:
        self._before, self._after = before, after
        self._whole = len(set(before.values())) == len(set(after.values()))
        self._functions = functions

    def are(self, one: str, other: str) -> bool:
        """Whether links joined these before, and don't now."""
        return self._before[one] == self._before[other] and self._after[one] != self._after[other]

    def may_be_cut_off(self, one: str, other: str) -> bool:
        """Whether packets from one to the other may be lost for good: they or a function are apart."""
        if self._whole:
            return False
        return any(self.are(one, there) or self.are(other, there) for there in (other, *self._functions))


def _apart(topology: Topology, cut: Iterable[str]) -> _Apart:
    names = [switch.name for switch in topology.switches]
    left = [(link.a.switch, link.b.switch) for link in topology.links if link.name not in set(cut)]
    every = [(link.a.switch, link.b.switch) for link in topology.links]
    functions = frozenset(function.switch for function in topology.functions if function.switch is not None)
    return _Apart(connected_components(names, every), connected_components(names, left), functions)


def _is_silence(finding: Finding) -> bool:
    """Whether packets were lost, not sent wrong: what a cut may cause until the controller answers."""
    return finding.property is DELIVERY and any(
        word in finding.what for word in ("it ends at", "it vanishes", "goes to the controller")
    )
