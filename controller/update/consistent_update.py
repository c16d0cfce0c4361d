"""Changes of chains in stages: no packet is lost, or treated partly by old and partly by new chains. Pure.

Two-phase consistent updates (Reitblatt et al., "Abstractions for network update", SIGCOMM 2012): a packet's
version is the number of the hop that it carries, since a changed chain has new hops.  The first stage adds
the flows of the new hops, the next changes the classifiers, and the old hops go when no packet is on its way
to them any more.

Inside a function a packet carries no number, and one function may serve an old hop and a new one: when [a, b]
becomes [b, a], a packet that comes out of b may or may not have passed a.  Until the old hops are gone, the
flows of new hops mark their packets on the way into such functions, by one bit of the source MAC address that
is equal in all stations.  A packet that comes out with the mark belongs to a new hop; there the mark is
removed.

Before the classifiers change, functions that join are taught (``controller.update.teaching``).  This is a
stage of its own, and lasts as long as packets on their way may take to come back.

All this needs another path number for a chain whose list of functions changes, or one of whose functions
moves to another switch.  So does a chain that shares a function with a chain that goes, or whose classifier
or priority changes: packets of the one may then belong to the other.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from controller.flow.builders import NETWORK, flow
from controller.flow.tables import (
    Action,
    Field,
    Flow,
    Group,
    Meter,
    SetField,
    SwitchTables,
    Table,
    ToGroup,
    ToMeter,
)
from controller.origin import AtHop, Away, Into, Probe, Return
from controller.update.joining import NOBODY, Joining
from controller.update.teaching import NOTHING, Mark, Taught, taking_over, teaching
from wire.mac import GROUP_BIT

Tables = Mapping[str, SwitchTables]
Key = tuple[Table, int, tuple[Field, ...]]
_CLASSIFIERS = (Table.MIRROR, Table.CHAIN)
_ABOVE = 20_000
"""Added to a flow's priority for the flow that takes the same packets marked."""


def stages(old: Tables, new: Tables, joining: Joining = NOBODY) -> list[dict[str, SwitchTables]]:
    """The tables of each stage in order, ``new`` last. All switches hold a stage before the next begins.

    Before a stage that only removes flows, packets on their way must arrive.  There is one stage when no
    chain changes in a way that packets could meet.  ``joining``: the hops whose functions are to be taught
    first.
    """
    if not old:
        return [dict(new)]
    inside = frozenset().union(*map(_function_ports, (*old.values(), *new.values())))
    both = old.keys() & new.keys()
    moved = any(joining.knowing & taking_over(old[name], new[name], inside).keys() for name in both)
    if not _chains_change(old, new) and not moved and not joining.hops:
        return [dict(new)]
    fresh = _hops(new.values()) - _hops(old.values())
    mark, other = _marks((*old.values(), *new.values()))
    switches = {}
    for name, tables in new.items():
        before = old.get(name, _empty(tables))
        taught = NOTHING
        if (moved or joining.hops) and other is not None:
            here = _function_ports(before) | _function_ports(tables)
            taught = teaching(before, tables, joining, other, here)
        switches[name] = _SwitchStages(before, tables, fresh, mark, taught)
    steps = [{name: stage(switch) for name, switch in switches.items()} for stage in _ORDER]
    steps.append(dict(new))
    distinct: list[dict[str, SwitchTables]] = []
    for step in steps:  # of equal steps in a row, the last
        if distinct and not any(_differ(step[name], distinct[-1][name]) for name in step):
            distinct.pop()
        distinct.append(step)
    return distinct


def teaches(tables: Tables) -> bool:
    """Whether functions get copies in this stage; then it has to last for a while."""
    return any(entry.origin.teaches for held in tables.values() for entry in held.flows)


def _differ(one: SwitchTables, other: SwitchTables) -> bool:
    return (
        {flow.cookie for flow in one.flows} != {flow.cookie for flow in other.flows}
        or set(one.groups) != set(other.groups)
        or set(one.meters) != set(other.meters)
    )


def _empty(tables: SwitchTables) -> SwitchTables:
    return SwitchTables(tables.switch, tables.dpid, (), ())


def _hops(all_tables: Iterable[SwitchTables]) -> frozenset[int]:
    """Numbers of all hops of these tables."""
    return frozenset(
        entry.origin.hop for tables in all_tables for entry in tables.flows if isinstance(entry.origin, AtHop)
    )


def _chains_change(old: Tables, new: Tables) -> bool:
    """Whether a packet could be lost because it meets one switch with old tables and one with new ones: when
    hops come or go, when functions' ports go, when a hop's tag changes, or when both the classifiers and the
    flows of functions' ports change."""
    if _hops(old.values()) != _hops(new.values()):
        return True
    # packets on their way through an instance that goes have to come back
    if any(_function_ports(old[name]) - _function_ports(new[name]) for name in old.keys() & new.keys()):
        return True
    classified = come_back = False
    for name in old.keys() & new.keys():
        both = old[name], new[name]
        tagged = [
            {entry.match: entry.actions for entry in tables.flows if _is_tagging(entry)} for tables in both
        ]
        if any(tagged[0][match] != tagged[1][match] for match in tagged[0].keys() & tagged[1].keys()):
            return True
        classifiers = [
            {entry.cookie for entry in tables.flows if entry.table in _CLASSIFIERS} for tables in both
        ]
        classified = classified or classifiers[0] != classifiers[1]
        before, after = (_by_port(tables) for tables in both)
        come_back = come_back or any(before[port] != after[port] for port in before.keys() & after.keys())
    return classified and come_back


def _is_tagging(entry: Flow) -> bool:
    return isinstance(entry.origin, Away)


def _function_ports(tables: SwitchTables) -> frozenset[int]:
    """Ports of inline functions: those that probes come out of."""
    return frozenset(entry.origin.port for entry in tables.flows if isinstance(entry.origin, Probe))


def _is_return(entry: Flow, ports: Container[int]) -> bool:
    """Whether a flow treats packets that come out of functions at these ports."""
    return isinstance(entry.origin, Return) and entry.origin.port in ports


def _by_port(tables: SwitchTables) -> dict[int, frozenset[int]]:
    """Function port -> cookies of the flows for packets that come out there."""
    by_port: dict[int, set[int]] = {port: set() for port in _function_ports(tables)}
    for entry in tables.flows:
        if isinstance(entry.origin, Return) and entry.origin.port in by_port:
            by_port[entry.origin.port].add(entry.cookie)
    return {port: frozenset(cookies) for port, cookies in by_port.items()}


def _marks(all_tables: Iterable[SwitchTables]) -> tuple[Mark | None, Mark | None]:
    """Two address bits that are equal in all known MAC addresses; None where there is no such bit."""
    macs: set[int] = set()
    for tables in all_tables:
        for entry in tables.flows:
            if entry.table in (Table.CLASSIFY, Table.FORWARD):
                macs |= {
                    field.value
                    for field in entry.match
                    if field.name in ("eth_src", "eth_dst") and field.mask is None
                }
    marks: list[Mark | None] = []
    for place in range(47, -1, -1):
        bit = 1 << place
        values = {mac & bit for mac in macs}
        if bit != GROUP_BIT and len(values) <= 1 and len(marks) < 2:
            plain = values.pop() if values else 0
            marks.append(Mark(bit, plain, plain ^ bit))
    first, second, *_ = (*marks, None, None)
    return first, second


def _key(entry: Flow) -> Key:
    return entry.table, entry.priority, entry.match


def _without_network(entry: Flow) -> tuple[int, tuple[Field, ...]]:
    return entry.priority, tuple(field for field in entry.match if field.name != NETWORK)


def _gated(entry: Flow) -> bool:
    return any(field.name == NETWORK for field in entry.match)


class _SwitchStages:
    """The stages of one switch. ``fresh``: numbers of hops that are new in the lab."""

    def __init__(
        self,
        old: SwitchTables,
        new: SwitchTables,
        fresh: frozenset[int],
        mark: Mark | None,
        taught: Taught = NOTHING,
    ) -> None:
        self.old, self.new, self.teaching = old, new, taught
        self.old_cookies, self.new_cookies = (
            {entry.cookie for entry in tables.flows} for tables in (old, new)
        )
        before, after = _by_port(old), _by_port(new)
        # function ports whose packets may belong to old hops or new ones, which send them to different places
        ambiguous = [port for port in before.keys() & after.keys() if before[port] != after[port]]
        self.ambiguous = frozenset(ambiguous)
        # no hop is new, or no bit is left to mark packets with
        self.never_marks = not fresh or mark is None
        self.marking: dict[int, Flow] = {}  # cookie -> the marking flow instead
        self.marked_returns: list[Flow] = []
        if self.ambiguous and not self.never_marks and mark is not None:
            ports = _function_ports(new)
            for entry in new.flows:
                into = entry.origin
                if isinstance(into, Into) and into.port in ports and into.hop in fresh:
                    self.marking[entry.cookie] = _marking(entry, mark)
            self.marked_returns = [_marked(entry, mark) for entry in new.flows if _is_return(entry, ports)]
        self.ungated = self._ungated()

    def _ungated(self) -> frozenset[int]:
        """Cookies of FORWARD flows that match any network on one side, and one network on the other."""
        wide: set[int] = set()
        for one, other in ((self.old, self.new), (self.new, self.old)):
            gated = {
                _without_network(entry)
                for entry in other.flows
                if entry.table is Table.FORWARD and _gated(entry)
            }
            wide |= {
                entry.cookie
                for entry in one.flows
                if entry.table is Table.FORWARD and not _gated(entry) and _without_network(entry) in gated
            }
        return frozenset(wide)

    def _held_back(self, entry: Flow) -> bool:
        """Whether a flow of the new tables has to wait until the old hops are gone."""
        added = entry.cookie in self.new_cookies and entry.cookie not in self.old_cookies
        return added and not self.never_marks and _is_return(entry, self.ambiguous)

    def _merged(self, classifiers: Sequence[Flow], tagged_as: SwitchTables) -> SwitchTables:
        """Old and new flows together, with these ``classifiers``; hops of both are tagged as in
        ``tagged_as``."""
        tagging = {_key(entry): entry for entry in tagged_as.flows if _is_tagging(entry)}
        classifying = {entry.cookie for entry in classifiers}
        # instances take over connections when the classifiers change
        waiting = [entry for entry in self.old.flows if entry.cookie in self.teaching.instead]
        kept = {_key(entry): entry for entry in waiting} if tagged_as is self.old else {}
        flows: dict[Key, Flow] = {}
        # packets that old hops send on still go there; those that they drop may belong to a new hop
        first = [
            entry for entry in self.old.flows if _is_return(entry, self.ambiguous) and entry.goto is not None
        ]
        for entry in (*classifiers, *first, *self.new.flows, *self.marked_returns, *self.old.flows):
            if entry.table in _CLASSIFIERS and entry.cookie not in classifying:
                continue
            if entry.cookie in self.ungated or self._held_back(entry):
                continue
            chosen = self.marking.get(entry.cookie, entry)
            if _is_tagging(entry):
                chosen = tagging.get(_key(entry), entry)
            chosen = kept.get(_key(chosen), chosen)
            flows.setdefault(_key(chosen), chosen)
        return self._tables(flows.values())

    def added(self) -> SwitchTables:
        """The flows of the new hops are there, and those that end copies; packets are classified as
        before."""
        classifiers: list[Flow] = []
        for table in _CLASSIFIERS:
            old = [entry for entry in self.old.flows if entry.table is table]
            # a table that is new has its table-miss flow alone: other flows may lead to it already
            classifiers += self._leading_on(old) or [
                entry for entry in self.new.flows if entry.table is table and not entry.match
            ]
        return self._guarded(self._merged(classifiers, self.old))

    def _leading_on(self, classifiers: Sequence[Flow]) -> list[Flow]:
        """The old flows of one table. Where another table comes after it now, they lead there: copies for
        functions that join are made in table CHAIN, also where the table of mirrors led past it so far."""
        table = classifiers[0].table if classifiers else None
        before, after = (
            next((entry.goto for entry in tables.flows if entry.table is table and not entry.match), None)
            for tables in (self.old, self.new)
        )
        if before is None or after is None or after >= before:
            return list(classifiers)
        return [
            flow(entry.table, entry.priority, entry.match, entry.actions, after, why=entry.origin)
            if entry.goto == before
            else entry
            for entry in classifiers
        ]

    def taught(self) -> SwitchTables:
        """As before, and functions that join get copies."""
        if not self.teaching:
            return self.added()
        flows = {_key(entry): entry for entry in self.teaching.flows}
        for entry in self.added().flows:
            chosen = self.teaching.instead.get(entry.cookie, entry)
            flows.setdefault(_key(chosen), chosen)
        return self._tables(flows.values())

    def switched(self) -> SwitchTables:
        """The classifiers are the new ones; flows still end copies that are on their way."""
        classifiers = [entry for entry in self.new.flows if entry.table in _CLASSIFIERS]
        return self._guarded(self._merged(classifiers, self.new))

    def _guarded(self, tables: SwitchTables) -> SwitchTables:
        if not self.teaching.guards:
            return tables
        flows = {_key(entry): entry for entry in (*self.teaching.guards, *tables.flows)}
        return self._tables(flows.values())

    def drained(self) -> SwitchTables:
        """The flows of old hops alone are gone, and nothing else has changed."""
        keep = self.new_cookies | {entry.cookie for entry in (*self.marking.values(), *self.marked_returns)}
        narrow = {_without_network(entry) for entry in self.new.flows if entry.cookie in self.ungated}
        return self._tables(
            entry
            for entry in self.switched().flows
            if entry.cookie in keep
            or _is_return(entry, self.ambiguous)
            or (entry.table is Table.FORWARD and _gated(entry) and _without_network(entry) in narrow)
        )

    def returned(self) -> SwitchTables:
        """Unmarked packets out of functions go on as those of new hops do, though all are still marked.

        This comes one stage before marking ends: Open vSwitch updates its cache flow by flow, and a packet
        that comes out must not meet what was cached for unmarked packets before.
        """
        if not self.marked_returns:
            return self.drained()
        held = [
            entry
            for entry in self.drained().flows
            if not _is_return(entry, self.ambiguous)
            or entry.cookie in self.new_cookies
            or entry in self.marked_returns
        ]
        known = {entry.cookie for entry in held}
        added = [
            entry
            for entry in self.new.flows
            if _is_return(entry, self.ambiguous) and entry.cookie not in known
        ]
        return self._tables((*held, *added))

    def unmarked(self) -> SwitchTables:
        """The new tables: no flow marks packets, but flows still take those that are marked."""
        return self._tables((*self.new.flows, *self.marked_returns)) if self.marked_returns else self.new

    def _tables(self, flows: Iterable[Flow]) -> SwitchTables:
        entries = tuple(flows)
        used = {action.group for entry in entries for action in entry.actions if isinstance(action, ToGroup)}
        groups: dict[int, Group] = {group.id: group for group in self.new.groups}
        for group in self.old.groups:
            if group.id in used:
                groups.setdefault(group.id, group)
        meters: dict[int, Meter] = {meter.id: meter for meter in (*self.old.meters, *self.new.meters)}
        metered = {
            action.meter for entry in entries for action in entry.actions if isinstance(action, ToMeter)
        }
        known = {meter.id for meter in self.new.meters}
        meters = {number: meter for number, meter in meters.items() if number in metered | known}
        sorted_groups = tuple(groups[number] for number in sorted(groups))
        return SwitchTables(self.new.switch, self.new.dpid, entries, sorted_groups, tuple(meters.values()))


_ORDER = (
    _SwitchStages.added,
    _SwitchStages.taught,
    _SwitchStages.switched,
    _SwitchStages.drained,
    _SwitchStages.returned,
    _SwitchStages.unmarked,
)


def _marking(entry: Flow, mark: Mark) -> Flow:
    """The same flow into a function, marking the packets that it sends there."""
    actions: tuple[Action, ...] = (SetField("eth_src", mark.marked, mark.bit), *entry.actions)
    return flow(
        entry.table,
        entry.priority,
        entry.match,
        actions,
        entry.goto,
        why=entry.origin.noted(", marked as new"),
    )


def _marked(entry: Flow, mark: Mark) -> Flow:
    """The same flow for packets that come out with the mark, which it removes."""
    match = tuple(
        field._replace(value=field.value ^ mark.bit) if field.name == "eth_src" else field
        for field in entry.match
    )
    if not any(field.name == "eth_src" for field in match):
        match = (match[0], Field("eth_src", mark.marked, mark.bit), *match[1:])
    actions: tuple[Action, ...] = (SetField("eth_src", mark.plain, mark.bit), *entry.actions)
    why = entry.origin.noted(", marked as new")
    return flow(entry.table, entry.priority + _ABOVE, match, actions, entry.goto, why=why)
