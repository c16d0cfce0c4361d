"""Prove or refute, by computing on compiled tables over all packets, what a lab promises. Pure.

The method is that of header space analysis (Kazemian et al., NSDI 2012): classes of packets are pushed
through the tables and along the wires, and split where flows tell them apart. States are shared, and checked
again only where a change touches them, as VeriFlow does (Khurshid et al., NSDI 2013); what is the same for
many destinations is computed for all of them at once, as delta-net does (Horn et al., NSDI 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from math import comb
from typing import NamedTuple

from controller.compiler.compile import compile_topology
from controller.compiler.recompile import Recompiler
from controller.flow.tables import SwitchTables
from controller.verify.addresses import check_addresses
from controller.verify.alike import Alike
from controller.verify.apart import Apart
from controller.verify.calls import check_call
from controller.verify.certain import Certain
from controller.verify.delivery import Flight, Flights
from controller.verify.dependence import Dependence, matched
from controller.verify.destinations import bits
from controller.verify.difference import Difference, Verified
from controller.verify.entrances import Entrance, entrance, is_kept, is_right
from controller.verify.lab import Lab
from controller.verify.lookup import SwitchIndex
from controller.verify.one_table import hidden, overlapping, same_keys, unwatched
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
    OVERLAPS,
    RULES,
    SHADOWED,
    TRANSLATED,
    WATCHED,
    Finding,
    Report,
)
from controller.verify.rules import check_rules
from controller.verify.safety import check_port
from controller.verify.sheaves import Proven, Targets, proven
from controller.verify.states import Space, State
from controller.verify.translated import Call, Calls
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
    shared: bool = True,
) -> Report:
    """Verify a lab, and the lab with any ``cuts`` links cut.

    ``tables``: those to verify; by default what the compiler makes of the topology. ``compile``: what the
    controller makes of it after a cut. ``shared``: False computes every cut, and every packet, from scratch.
    KeyboardInterrupt while links are cut ends it: the report says how far it got.
    """
    if compile is None and cuts:
        compile = Recompiler(topology, same_tags=True)
        tables = tables or compile.tables
    run = Verification(topology, tables, progress, compile, shared)
    run.everything()
    try:
        run.failures(cuts)
    except KeyboardInterrupt:
        run.report.stopped = True
    return run.report


class Verification:
    """A lab's states and the verdicts on them, kept for checks of what changes."""

    def __init__(
        self,
        topology: Topology,
        tables: Mapping[str, SwitchTables] | None = None,
        progress: Progress | None = None,
        compile: Compile | None = None,
        shared: bool = True,
    ) -> None:
        self.topology = topology
        self._compile = compile or (lambda down: compile_topology(topology, down))
        self.tables = tables if tables is not None else self._compile(frozenset())
        self._progress = progress or (lambda what, done, of: None)
        self.lab = Lab(topology)
        self.flights = Flights(self.lab)
        self.calls = Calls(self.lab, self.flights.policy, self.flights.blocks)
        self.report = Report()
        self.indexes = {name: SwitchIndex(held) for name, held in self.tables.items()}
        self.space = Space(topology, self.indexes)
        self.certain = Certain(self.lab, self.space, self.tables) if shared else None
        self.fabric = Fabric(
            self.space, self.indexes, certain=None if self.certain is None else self.certain.outcome
        )
        self._alike = Alike(self.fabric)
        self._entrances: list[Entrance] = []
        self._sheaves: list[Proven] = []
        self._proven: dict[tuple[str, int, str], frozenset[str]] = {}
        self._targets: Targets | None = None
        self._flights: list[_Flown] = []
        self._starts: dict[State, list[int]] = {}
        self._at: dict[int, dict[int, list[int]]] = {}
        self._seen: set[object] = set()
        self._verified: Verified | None = None

    def everything(self) -> Report:
        """Verify the lab as it should be."""
        report = self.report
        report.outside = outside(self.lab)
        for held in self.tables.values():
            self._tables_alone(held, self.indexes[held.switch])
        ports = list(self.lab.at)
        for number, port in enumerate(ports):
            self._progress("frames of each port", number, len(ports))
            self._enter(port)
            for name in (LOOPS, HOLES, ISOLATION, INTACT):
                report.count(name)
        whole = self._at_once()
        pairs = list(self.lab.pairs())
        for number, (source, target, way) in enumerate(pairs):
            if not number % 64:
                self._progress("pairs of hosts", number, len(pairs))
            if target.name in whole.get(source.name, ()):
                continue
            for flight in self.flights.of(self.fabric, source, target, way):
                if not self._is_proven(flight):
                    self._fly(flight)
        self._call()
        self._add(check_addresses(self.lab, self.fabric, self._alike, report))
        self._rules()
        report.classes = sum(map(len, self.fabric.known.values()))
        report.states = len(self.fabric.known)
        seen = matched(self.fabric)
        if self.certain is not None:
            arriving = sum(good.bit_count() for good in self.certain.good)
            report.classes += arriving
            report.states += arriving
            for name, cookies in self.certain.matched().items():
                seen.setdefault(name, set()).update(cookies)
            for here in self._entrances:
                seen.setdefault(here.port.switch, set()).update(here.matched(self.fabric))
            for name, cookies in self._alike.matched.items():
                seen.setdefault(name, set()).update(cookies)
        for number, (name, index) in enumerate(self.indexes.items()):
            self._progress("flows that others hide", number, len(self.indexes))
            self._add(hidden(index, seen.get(name, set())))
            report.count(SHADOWED, len(index.tables.flows))
        report.conditions = 1
        return report

    def _tables_alone(self, held: SwitchTables, index: SwitchIndex) -> None:
        """Decide what the tables of a switch say by themselves."""
        self._add(same_keys(held))
        self._add(overlapping(index))
        self._add(unwatched(held))
        self.report.count(KEYS, len(held.flows))
        self.report.count(OVERLAPS, len(held.flows))
        if held.groups:
            self.report.count(WATCHED, len(held.groups))

    def _enter(self, port: Port) -> None:
        """Decide about all frames of a port."""
        if self.certain is not None:
            here = entrance(self.lab, self.fabric, self.certain, self._alike, port)
            self._entrances.append(here)
            if is_right(self.lab, self.fabric, here, False):
                return
        self._add(check_port(self.lab, self.fabric, port))

    def _call(self) -> None:
        """Decide what is translated."""
        unknown: dict[str, None] = {}
        for call in self.calls.of(self.fabric):
            self._fly(call)
            if call.expected.allowed is None and call.expected.why:
                unknown[f"some connections through {call.by.name}: {call.expected.why}"] = None
        self.report.outside[:0] = unknown

    def _rules(self) -> None:
        self._add(check_rules(self.topology))
        number = sum(
            len(firewall.rules)
            for function in self.topology.functions
            if (firewall := getattr(function, "firewall", None)) is not None
        )
        if number:
            self.report.count(RULES, number)

    def _at_once(self) -> dict[str, frozenset[str]]:
        """Decide the flights of each host to all others at once, where that is possible. The hosts to which
        all flights of a host are decided."""
        whole: dict[str, frozenset[str]] = {}
        if self.certain is None:
            return whole
        targets = self._targets = Targets(self.lab, self.certain)
        for source in self.lab.hosts:
            missing = 0
            wanted = 0
            for sheaf in self.flights.sheaves(self.fabric, source):
                some = targets.of(source, sheaf.family)
                all_ = proven(self.fabric, self.certain, sheaf, targets)
                wanted |= some
                missing |= some & ~(all_.all if all_ is not None else 0)
                if all_ is not None:
                    self._sheaves.append(all_)
                    self._proven[source.name, sheaf.family, sheaf.sort] = frozenset(
                        targets.host[number].name for number in bits(all_.all)
                    )
                    self.report.count(DELIVERY, all_.all.bit_count())
            whole[source.name] = frozenset(targets.host[number].name for number in bits(wanted & ~missing))
        return whole

    def _is_proven(self, flight: Flight) -> bool:
        return flight.target.name in self._proven.get((flight.source.name, flight.family, flight.sort), ())

    def _check(
        self, fabric: Fabric, flight: Flight | Call, cut: tuple[str, ...] = (), converged: bool = False
    ) -> tuple[str | None, list[Finding]]:
        """The property that a flight is a case of, and what is wrong."""
        if isinstance(flight, Call):
            return check_call(self.lab, fabric, flight, cut, converged)
        return self.flights.check(fabric, flight, cut, converged)

    def _fly(self, flight: Flight | Call) -> None:
        """Decide one flight of the lab as it should be, and note what it depends on."""
        fabric = self.fabric
        fabric.asked = []
        name, findings = self._check(fabric, flight)
        if name is not None:
            self.report.count(name)
            telling = isinstance(flight, Flight) and flight.seen is not None
            if telling and self.topology.chains and name is DELIVERY:
                self.report.count(CHAINS)
        self._add(findings)
        if self.certain is None:
            return
        number = len(self._flights)
        starts = tuple(dict.fromkeys(fabric.asked))
        entries = self._certain_entries(starts)
        self._flights.append(_Flown(flight, name, starts, entries))
        for start in starts:
            self._starts.setdefault(start, []).append(number)
        for shape, to in entries or ():
            self._at.setdefault(shape, {}).setdefault(to, []).append(number)

    def _certain_entries(self, starts: Iterable[State]) -> tuple[tuple[int, int], ...] | None:
        """The shapes and destinations that all packets of some states go on to; None: not all certainly
        arrive."""
        assert self.certain is not None
        entries: dict[tuple[int, int], None] = {}
        for start in starts:
            for branch in self.fabric.branches(start):
                state = branch.sends[0].state if len(branch.sends) == 1 else None
                which = None if state is None else self.certain.shapes.of(state)
                if which is None or not self.certain.good[which[0]] >> which[1] & 1:
                    return None
                entries[which] = None
        return tuple(entries)

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
        sets = (set_ for size in range(1, cuts + 1) for set_ in combinations(links, size))
        self.report.cuts = sum(comb(len(links), size) for size in range(1, cuts + 1))
        for number, cut in enumerate(sets):
            self._progress("cuts", number, self.report.cuts)
            self._cut(cut)
            self.report.cuts_done = number + 1
        return self.report

    def _cut(self, cut: tuple[str, ...]) -> None:
        ports: dict[str, set[int]] = {}
        for link in self.topology.links:
            if link.name in cut:
                ports.setdefault(link.a.switch, set()).add(link.a.number)
                ports.setdefault(link.b.switch, set()).add(link.b.number)
        dead = {name: frozenset(numbers) for name, numbers in ports.items()}
        apart = Apart.by(self.topology, cut)
        self._condition(self.tables, dead, cut, apart, False)
        self._condition(self._compile(frozenset(cut)), dead, cut, apart, True)
        self.report.conditions += 2

    def _condition(
        self,
        tables: Mapping[str, SwitchTables],
        dead: Mapping[str, frozenset[int]],
        cut: tuple[str, ...],
        apart: Apart,
        converged: bool,
    ) -> None:
        """Decide what differs in a lab in another condition. Right after a cut (not ``converged``) whatever
        the switches do by themselves must be right, but they need not be able to do it for every pair. With
        the controller's answer, all that the file allows is as it was, for pairs that are not ``apart``."""
        other = None if self.certain is None else Difference(self._base(), tables, dead)
        if other is None or not other.covered:
            self._anew(tables, dead, cut, apart, converged)
            return
        for here in self._entrances:
            stale = here.start in other.stale or any(state in other.stale for state in here.states)
            kept = is_kept(here, other.changed)
            if not kept or (stale and not is_right(self.lab, other.fabric, here, bool(cut), other.stale)):
                self._add(check_port(self.lab, other.fabric, here.port, cut, converged))
        if not cut and other.answering:
            alike = Alike(other.fabric)
            self._add(check_addresses(self.lab, other.fabric, alike, self.report, other.answering))
        for some in self._sheaves:
            self._bound(some, other, cut, apart, converged)
        for number in self._touched(other):
            flown = self._flights[number]
            if self._is_apart(flown.flight, apart, converged):
                continue
            silent = self._silenced(flown, other)
            if silent is None or (silent and (converged or not cut)):
                self._decide(other.fabric, flown.flight, cut, converged)
            elif converged or not cut:
                if flown.case is not None:
                    self.report.count(flown.case)
            elif flown.case in (DELIVERY, TRANSLATED):
                self._repaired(cut, not silent)

    def _bound(
        self, some: Proven, other: Difference, cut: tuple[str, ...], apart: Apart, converged: bool
    ) -> None:
        """Decide the flights of a sheaf."""
        assert self._targets is not None
        source, changed = some.sheaf.source, other.changed
        together: int | None = None
        for shape, mask in some.parts.items():
            touched = mask & changed.touched.get(shape, 0)
            if some.sheaf.start in other.stale:
                touched = unknown = mask
            elif not touched:
                continue
            else:
                lost = touched & changed.lost(shape)
                unknown = lost if converged or not cut else lost & changed.unsafe(shape)
                if together is None:
                    together = self._targets.together(source, apart, converged)
                fine = (touched & ~lost & together).bit_count()
                if converged or not cut:
                    self.report.count(DELIVERY, fine)
                else:
                    self.report.repaired += fine
                    self._wait(cut, (lost & ~unknown & together).bit_count())
            for number in bits(unknown):
                target = self._targets.host[number]
                way = self.lab.reached(source, target)
                assert way is not None
                for flight in self.flights.of(other.fabric, source, target, way):
                    mine = (flight.family, flight.sort) == (some.sheaf.family, some.sheaf.sort)
                    if mine and not self._is_apart(flight, apart, converged):
                        self._decide(other.fabric, flight, cut, converged)

    def _touched(self, other: Difference) -> list[int]:
        """The flights for which something on the way differs, in order."""
        numbers: set[int] = set()
        for shape, mask in other.changed.touched.items():
            here = self._at.get(shape)
            if here:
                for to in bits(mask):
                    numbers.update(here.get(to, ()))
        for state in other.touched:
            numbers.update(self._starts.get(state, ()))
        return sorted(numbers)

    @staticmethod
    def _silenced(flown: _Flown, other: Difference) -> bool | None:
        """Whether some packets of a flight are lost now, and nothing else; None: that has to be computed."""
        if any(start in other.stale for start in flown.starts):
            return None
        silent = False
        for shape, to in flown.entries or ():
            if other.changed.lost(shape) >> to & 1:
                if other.changed.unsafe(shape) >> to & 1:
                    return None
                silent = True
        return silent

    @staticmethod
    def _is_apart(flight: Flight | Call, apart: Apart, converged: bool) -> bool:
        if isinstance(flight, Call):
            all_ends = list(combinations(dict.fromkeys(flight.switches), 2))
        else:
            all_ends = [(flight.source.at.switch, flight.target.at.switch)]
        return any(apart.may_be_cut_off(*ends) if converged else apart.are(*ends) for ends in all_ends)

    def _decide(self, fabric: Fabric, flight: Flight | Call, cut: tuple[str, ...], converged: bool) -> None:
        """Compute what becomes of a flight."""
        case, findings = self._check(fabric, flight, cut, converged)
        if converged or not cut:
            if case is not None:
                self.report.count(case)
            self._add(findings)
            return
        if case in (DELIVERY, TRANSLATED):
            self._repaired(cut, not any(map(_is_silence, findings)))
        self._add(finding for finding in findings if not _is_silence(finding))

    def _repaired(self, cut: tuple[str, ...], is_repaired: bool) -> None:
        if is_repaired:
            self.report.repaired += 1
        else:
            self._wait(cut, 1)

    def _wait(self, cut: tuple[str, ...], number: int) -> None:
        if number:
            name = " ".join(cut)
            self.report.unprotected[name] = self.report.unprotected.get(name, 0) + number

    def _anew(
        self,
        tables: Mapping[str, SwitchTables],
        dead: Mapping[str, frozenset[int]],
        cut: tuple[str, ...],
        apart: Apart,
        converged: bool,
    ) -> None:
        """Decide everything about a lab in another condition, from scratch."""
        indexes = {name: SwitchIndex(held) for name, held in tables.items()}
        fabric = Fabric(Space(self.topology, indexes), indexes, dead)
        for port in self.lab.at:
            self._add(check_port(self.lab, fabric, port, cut, converged))
        if not cut:
            self._add(check_addresses(self.lab, fabric, Alike(fabric), self.report))
        for pair in self.lab.pairs():
            for flight in self.flights.of(fabric, *pair):
                if not self._is_apart(flight, apart, converged):
                    self._decide(fabric, flight, cut, converged)
        for call in self.calls.of(fabric):
            if not self._is_apart(call, apart, converged):
                self._decide(fabric, call, cut, converged)

    def _base(self) -> Verified:
        if self._verified is None:
            assert self.certain is not None
            looked_after: dict[State, frozenset[State]] = {}
            for flown in self._flights:
                if flown.entries is not None:
                    for start in flown.starts:
                        sends = (send for branch in self.fabric.branches(start) for send in branch.sends)
                        looked_after[start] = frozenset(
                            send.state for send in sends if send.state is not None
                        )
            dependence = Dependence(self.fabric, looked_after)
            for some in self._sheaves:
                dependence.add(some.sheaf.start, (some.beyond,))
            for here in self._entrances:
                dependence.add(here.start, here.opened)
                dependence.watch(here.start, here.answers)
            self._verified = Verified(self.fabric, self.certain, self.tables, self.indexes, dependence)
        return self._verified

    # -- changes -------------------------------------------------------------------------

    def recheck(self, tables: Mapping[str, SwitchTables]) -> Report:
        """What is wrong with other tables: only what differs is computed. Switches whose tables are the same
        objects as before are not looked at."""
        before, self.report, seen, self._seen = self.report, Report(), self._seen, set()
        for name, held in tables.items():
            if held is not self.tables[name]:
                self._tables_alone(held, SwitchIndex(held))
        self._condition(tables, {}, (), Apart.by(self.topology, ()), True)
        report, self.report, self._seen = self.report, before, seen
        return report


class _Flown(NamedTuple):
    """A flight that was decided. ``case``: the property that it is a case of. ``starts``: the states of its
    packets, and of their answers, where they come in. ``entries``: where these go on, if all of them
    certainly arrive from there."""

    flight: Flight | Call
    case: str | None
    starts: tuple[State, ...]
    entries: tuple[tuple[int, int], ...] | None


def _is_silence(finding: Finding) -> bool:
    """Whether packets were lost, not sent wrong: what a cut may cause until the controller answers."""
    return finding.property in (DELIVERY, TRANSLATED) and any(
        word in finding.what for word in ("it ends at", "it vanishes", "goes to the controller")
    )
