"""Changing chains without a packet being lost or treated half in the old way and half in the new. Pure.

Two-phase consistent updates (Reitblatt et al., "Abstractions for network update", SIGCOMM 2012): a packet's
version is the number of the hop that it carries, since a changed chain has hops of its own.  First what
the new hops need is added, then the classifiers are switched over, and when what was on its way is through,
the old hops go.

Inside a function a packet carries no number, and one function may be a hop of both: with [a, b] turned into
[b, a], a packet that comes out of b may have been through a or not.  Until the old hops are gone, the new
ones mark their packets where they go into such functions, by one bit of the source's MAC address that
all stations have alike, and what comes out with that mark is one of theirs; the mark is taken off there.

Before the classifiers are switched over, functions that join are taught (``controller.update.teaching``), in
a stage of its own that has to last as long as what was on its way may take to come back.

What this rests on: a chain has another path number when its list of functions changes, when a function
moves to another switch, and, if it shares a function with a chain whose classifier or priority
changes or which is gone, then as well (packets of the one may be the other's from now on).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from controller.flow.builders import NETWORK, flow
from controller.flow.tables import (
    Action,
    Clone,
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
"""What comes back marked has the priority of what comes back unmarked, and this."""


def stages(old: Tables, new: Tables, joining: Joining = NOBODY) -> list[dict[str, SwitchTables]]:
    """What switches hold one after the other, ``new`` last; all of them have a stage before the next begins.

    Before a stage that only removes, what is on its way has to arrive.  A list of one when no chain changes
    in a way that packets could notice.  ``joining``: what is to be taught before it is in the way.
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
    each = {}
    for name, tables in new.items():
        before = old.get(name, _nothing(tables))
        taught = NOTHING
        if (moved or joining.hops) and other is not None:
            here = _function_ports(before) | _function_ports(tables)
            taught = teaching(before, tables, joining, other, here)
        each[name] = _Switch(before, tables, fresh, mark, taught)
    made = [{name: stage(switch) for name, switch in each.items()} for stage in _ORDER]
    made.append(dict(new))
    found: list[dict[str, SwitchTables]] = []
    for one in made:
        if found and not any(_differ(one[name], found[-1][name]) for name in one):
            found.pop()
        found.append(one)
    return found


def teaches(tables: Tables) -> bool:
    """Whether functions are given copies in this stage, which has to last for a while then."""
    return any(
        isinstance(one, Clone) and _marks_copy(one)
        for some in tables.values()
        for each in some.flows
        for one in each.actions
    )


def _marks_copy(clone: Clone) -> bool:
    first = clone.actions[0]
    return isinstance(first, SetField) and first.field == "eth_src" and first.mask is not None


def _differ(one: SwitchTables, other: SwitchTables) -> bool:
    return (
        {flow.cookie for flow in one.flows} != {flow.cookie for flow in other.flows}
        or set(one.groups) != set(other.groups)
        or set(one.meters) != set(other.meters)
    )


def _nothing(tables: SwitchTables) -> SwitchTables:
    return SwitchTables(tables.switch, tables.dpid, (), ())


def _hops(some: Iterable[SwitchTables]) -> frozenset[int]:
    """Numbers of all hops that frames can be at."""
    return frozenset(
        each.origin.hop for tables in some for each in tables.flows if isinstance(each.origin, AtHop)
    )


def _chains_change(old: Tables, new: Tables) -> bool:
    """Whether a packet could meet one switch that does as before and one that does not, and be lost by that:
    when hops come or go, when functions' ports go, when hops are tagged otherwise, or when both classifiers
    and what functions' ports look for change."""
    if _hops(old.values()) != _hops(new.values()):
        return True
    # what is on its way through an instance that goes has to come back
    if any(_function_ports(old[name]) - _function_ports(new[name]) for name in old.keys() & new.keys()):
        return True
    classified = come_back = False
    for name in old.keys() & new.keys():
        one, two = old[name], new[name]
        tagged = [{each.match: each.actions for each in tables.flows if _tags(each)} for tables in (one, two)]
        if any(tagged[0][match] != tagged[1][match] for match in tagged[0].keys() & tagged[1].keys()):
            return True
        sides = [{each.cookie for each in t.flows if each.table in _CLASSIFIERS} for t in (one, two)]
        classified = classified or sides[0] != sides[1]
        before, after = _by_port(one), _by_port(two)
        come_back = come_back or any(before[port] != after[port] for port in before.keys() & after.keys())
    return classified and come_back


def _tags(each: Flow) -> bool:
    return isinstance(each.origin, Away)


def _function_ports(tables: SwitchTables) -> frozenset[int]:
    """Ports of inline functions: those that probes come from."""
    return frozenset(each.origin.port for each in tables.flows if isinstance(each.origin, Probe))


def _comes_back(each: Flow, ports: Container[int]) -> bool:
    """Whether a flow treats what comes back from functions at these ports."""
    return isinstance(each.origin, Return) and each.origin.port in ports


def _by_port(tables: SwitchTables) -> dict[int, frozenset[int]]:
    """Function port -> cookies of the flows for what comes back there."""
    found: dict[int, set[int]] = {port: set() for port in _function_ports(tables)}
    for each in tables.flows:
        if isinstance(each.origin, Return) and each.origin.port in found:
            found[each.origin.port].add(each.cookie)
    return {port: frozenset(cookies) for port, cookies in found.items()}


def _marks(some: Iterable[SwitchTables]) -> tuple[Mark | None, Mark | None]:
    """Two bits that all known addresses have alike; None where there is none."""
    macs: set[int] = set()
    for tables in some:
        for each in tables.flows:
            if each.table in (Table.CLASSIFY, Table.FORWARD):
                macs |= {
                    one.value for one in each.match if one.name in ("eth_src", "eth_dst") and one.mask is None
                }
    found: list[Mark | None] = []
    for place in range(47, -1, -1):
        bit = 1 << place
        values = {mac & bit for mac in macs}
        if bit != GROUP_BIT and len(values) <= 1 and len(found) < 2:
            plain = values.pop() if values else 0
            found.append(Mark(bit, plain, plain ^ bit))
    first, second, *_ = (*found, None, None)
    return first, second


def _key(each: Flow) -> Key:
    return each.table, each.priority, each.match


def _without_network(each: Flow) -> tuple[int, tuple[Field, ...]]:
    return each.priority, tuple(field for field in each.match if field.name != NETWORK)


def _gated(each: Flow) -> bool:
    return any(field.name == NETWORK for field in each.match)


class _Switch:
    """The stages of one switch. ``fresh``: numbers of hops that are new in the lab."""

    def __init__(
        self,
        old: SwitchTables,
        new: SwitchTables,
        fresh: frozenset[int],
        mark: Mark | None,
        taught: Taught = NOTHING,
    ) -> None:
        self.old, self.new, self.lessons = old, new, taught
        self.had, self.have = ({each.cookie for each in tables.flows} for tables in (old, new))
        before, after = _by_port(old), _by_port(new)
        # function ports whose frames may be of old hops or of new ones, which go on otherwise
        torn = [port for port in before.keys() & after.keys() if before[port] != after[port]]
        self.torn = frozenset(torn)
        self.joined = not fresh or mark is None
        self.marking: dict[int, Flow] = {}  # cookie -> the marking flow instead
        self.back: list[Flow] = []
        if self.torn and not self.joined and mark is not None:
            ports = _function_ports(new)
            for each in new.flows:
                into = each.origin
                if isinstance(into, Into) and into.port in ports and into.hop in fresh:
                    self.marking[each.cookie] = _marking(each, mark)
            self.back = [_marked(each, mark) for each in new.flows if _comes_back(each, ports)]
        self.wide = self._wide()

    def _wide(self) -> frozenset[int]:
        """Cookies of FORWARD flows for frames of any network that one side has, and the other by network."""
        found: set[int] = set()
        for one, other in ((self.old, self.new), (self.new, self.old)):
            gated = {
                _without_network(each) for each in other.flows if each.table is Table.FORWARD and _gated(each)
            }
            found |= {
                each.cookie
                for each in one.flows
                if each.table is Table.FORWARD and not _gated(each) and _without_network(each) in gated
            }
        return frozenset(found)

    def _kept_back(self, each: Flow) -> bool:
        """Whether a flow of the new tables has to wait until the old hops are gone."""
        mine = each.cookie in self.have and each.cookie not in self.had
        return mine and not self.joined and _comes_back(each, self.torn)

    def _both(self, classifiers: Sequence[Flow], tagged_as: SwitchTables) -> SwitchTables:
        """Old and new together, with ``classifiers``, and hops of both tagged as in ``tagged_as``."""
        tagging = {_key(each): each for each in tagged_as.flows if _tags(each)}
        asked = {each.cookie for each in classifiers}
        # who takes over does so with the classifiers
        mine = [each for each in self.old.flows if each.cookie in self.lessons.instead]
        kept = {_key(each): each for each in mine} if tagged_as is self.old else {}
        flows: dict[Key, Flow] = {}
        # what the old hops lead on stays so; what they drop may be of a hop that takes more now
        first = [each for each in self.old.flows if _comes_back(each, self.torn) and each.goto is not None]
        for each in (*classifiers, *first, *self.new.flows, *self.back, *self.old.flows):
            if each.table in _CLASSIFIERS and each.cookie not in asked:
                continue
            if each.cookie in self.wide or self._kept_back(each):
                continue
            made = self.marking.get(each.cookie, each)
            if _tags(each):
                made = tagging.get(_key(each), each)
            made = kept.get(_key(made), made)
            flows.setdefault(_key(made), made)
        return self._tables(flows.values())

    def added(self) -> SwitchTables:
        """What the new hops need is there; packets are classified as before."""
        found: list[Flow] = []
        for table in _CLASSIFIERS:
            mine = [each for each in self.old.flows if each.table is table]
            # other flows may lead here now: let all pass
            mine = mine or [each for each in self.new.flows if each.table is table and not each.match]
            found += mine
        return self._both(found, self.old)

    def taught(self) -> SwitchTables:
        """As before, and who joins gets copies."""
        if not self.lessons:
            return self.added()
        flows = {_key(each): each for each in self.lessons.flows}
        for each in self.added().flows:
            made = self.lessons.instead.get(each.cookie, each)
            flows.setdefault(_key(made), made)
        return self._tables(flows.values())

    def switched(self) -> SwitchTables:
        """The classifiers are the new ones; copies that are on their way still get no further."""
        made = self._both([each for each in self.new.flows if each.table in _CLASSIFIERS], self.new)
        if not self.lessons.after:
            return made
        flows = {_key(each): each for each in (*self.lessons.after, *made.flows)}
        return self._tables(flows.values())

    def drained(self) -> SwitchTables:
        """All that only the old hops needed is gone, and nothing else has changed."""
        keep = self.have | {each.cookie for each in (*self.marking.values(), *self.back)}
        narrow = {_without_network(each) for each in self.new.flows if each.cookie in self.wide}
        return self._tables(
            each
            for each in self.switched().flows
            if each.cookie in keep
            or _comes_back(each, self.torn)
            or (each.table is Table.FORWARD and _gated(each) and _without_network(each) in narrow)
        )

    def returned(self) -> SwitchTables:
        """What comes back from functions unmarked goes on as new, though nothing does so yet.

        A stage before nothing is marked any more: Open vSwitch takes up a change in its cache flow by
        flow, and what comes back must not meet what was cached for it before.
        """
        if not self.back:
            return self.drained()
        held = [
            each
            for each in self.drained().flows
            if not _comes_back(each, self.torn) or each.cookie in self.have or each in self.back
        ]
        known = {each.cookie for each in held}
        more = [each for each in self.new.flows if _comes_back(each, self.torn) and each.cookie not in known]
        return self._tables((*held, *more))

    def unmarked(self) -> SwitchTables:
        """As new: nothing is marked any more, but what still is is known."""
        return self._tables((*self.new.flows, *self.back)) if self.back else self.new

    def _tables(self, flows: Iterable[Flow]) -> SwitchTables:
        some = tuple(flows)
        used = {one.group for each in some for one in each.actions if isinstance(one, ToGroup)}
        groups: dict[int, Group] = {each.id: each for each in self.new.groups}
        for group in self.old.groups:
            if group.id in used:
                groups.setdefault(group.id, group)
        meters: dict[int, Meter] = {each.id: each for each in (*self.old.meters, *self.new.meters)}
        metered = {one.meter for each in some for one in each.actions if isinstance(one, ToMeter)}
        known = {each.id for each in self.new.meters}
        meters = {number: each for number, each in meters.items() if number in metered | known}
        sorted_groups = tuple(groups[number] for number in sorted(groups))
        return SwitchTables(self.new.switch, self.new.dpid, some, sorted_groups, tuple(meters.values()))


_ORDER = (
    _Switch.added,
    _Switch.taught,
    _Switch.switched,
    _Switch.drained,
    _Switch.returned,
    _Switch.unmarked,
)


def _marking(each: Flow, mark: Mark) -> Flow:
    """A flow into a function that marks what it sends there."""
    actions: tuple[Action, ...] = (SetField("eth_src", mark.marked, mark.bit), *each.actions)
    return flow(
        each.table, each.priority, each.match, actions, each.goto, why=each.origin.noted(", marked as new")
    )


def _marked(each: Flow, mark: Mark) -> Flow:
    """The same for what comes back with the mark: it is taken off."""
    match = tuple(
        field._replace(value=field.value ^ mark.bit) if field.name == "eth_src" else field
        for field in each.match
    )
    if not any(field.name == "eth_src" for field in match):
        match = (match[0], Field("eth_src", mark.marked, mark.bit), *match[1:])
    actions: tuple[Action, ...] = (SetField("eth_src", mark.plain, mark.bit), *each.actions)
    why = each.origin.noted(", marked as new")
    return flow(each.table, each.priority + _ABOVE, match, actions, each.goto, why=why)
