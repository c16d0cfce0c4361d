"""Teaching: functions get copies of the traffic that they will have, before it passes them. Pure.

In one stage of a change (``controller.update.consistent_update``), functions that join a chain, and instances
that take over connections from others, get copies of the packets that will pass them.  The copies are made
where this traffic will come from, and dropped where the functions let them out.  So the functions know the
connections of packets that are on their way during the change.

A copy has a mark: one bit of its source MAC address, which is otherwise equal in all stations.  Hops that
join treat copies like other packets, so these need no flows of their own there.  Copies end at other hops, in
table RESOLVE (where frames leave chains), and where they come out of functions.  The answer of a function to
a copy has the mark in its destination address.

Which packets are copied is decided by the new tables, beside the old ones: a marked copy of each frame is
looked up once more, by flows that are like the new ones but match marked frames only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from controller.compiler.fragments import FRAGMENT
from controller.flow.builders import COPIED, HOP, SHARE, flow
from controller.flow.tables import Action, Clone, Field, Flow, Output, Resubmit, SetField, SwitchTables, Table
from controller.origin import AtHop, Into, Origin, Probe, Refused, Return, Spreading
from controller.update.joining import Joining
from topologies.model.places import Entity
from wire import ethertype
from wire.mac import GROUP_BIT

FIRST = 65_535
"""Priority of flows that make copies, and of those that end them."""
COPIES = {Table.CHAIN: 60_001, Table.CLASSIFY: 40_001}
"""Lowest priority of the flows for marked frames: above all that a chain takes; below guards and probes."""


class Mark(NamedTuple):
    """One bit of a source address: its value in all stations' addresses (``plain``), and in a marked one."""

    bit: int
    plain: int
    marked: int


class Taught(NamedTuple):
    """What teaching changes on one switch. ``flows``: added; ``instead``: cookie -> the flow that replaces
    this one; ``guards``: flows at which copies end. All switches have them before the first switch makes
    copies, and until the last copies are gone."""

    flows: tuple[Flow, ...] = ()
    instead: Mapping[int, Flow] = {}
    guards: tuple[Flow, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.flows or self.instead)


NOTHING = Taught()
Key = tuple[Table, int, tuple[Field, ...]]


def teaching(
    old: SwitchTables, new: SwitchTables, joining: Joining, mark: Mark, ports: frozenset[int]
) -> Taught:
    """The changes on one switch, for what joins or takes over. ``ports``: of its inline functions, old and
    new."""
    moved = {n: how for n, how in taking_over(old, new, ports).items() if n in joining.knowing}
    guards = [*_guards(old, new, joining, mark), *_copies_that_return(old, new, ports, mark)]
    flows: list[Flow] = []
    known = {entry.cookie for entry in old.flows}
    asked: list[tuple[Table, tuple[Field, ...], list[Flow]]] = [
        (Table.CHAIN, (), [entry for entry in new.flows if entry.table is Table.CHAIN])
    ]
    for port in sorted(ports):
        came = Field("in_port", port)
        back = [
            entry for entry in new.flows if isinstance(entry.origin, Return) and entry.origin.port == port
        ]
        asked.append((Table.CLASSIFY, (came,), back))
    for table, here, theirs in asked:
        leading = [
            entry for entry in theirs if _next_hop(entry) in joining.hops and _takes_new_traffic(entry, known)
        ]
        if leading:
            flows += _copies(table, theirs, leading, mark, joining.chain)
            if any(_next_hop(entry) in joining.first for entry in leading):
                flows.append(_copy_maker(table, here, mark, joining.chain))
    leaving = [entry for entry in old.flows if entry.table is Table.STEER and _leaves(entry.actions)]
    after = joining.after
    instead = {
        entry.cookie: _with_copy_onward(entry, after[_hop(entry)], mark)
        for entry in leaving
        if _hop(entry) in after
    }
    takeover_flows, others = _takeover_copies(old, new, moved, mark)
    return Taught((*flows, *takeover_flows), {**instead, **others}, tuple(guards))


def _takes_new_traffic(entry: Flow, known: set[int]) -> bool:
    """Whether a flow may take packets that went elsewhere so far. In CLASSIFY every flow counts: a copy that
    comes out of a function that joins is marked, and goes on in any case."""
    return entry.cookie not in known or entry.table is Table.CLASSIFY


def _hop(entry: Flow) -> int:
    return entry.origin.hop if isinstance(entry.origin, AtHop) else 0


def _next_hop(entry: Flow) -> int | None:
    """The hop that a flow sends frames to; 0: out of the chain; None: it does not set the hop."""
    return next(
        (action.value for action in entry.actions if isinstance(action, SetField) and action.field == HOP),
        None,
    )


def _marking(mark: Mark) -> SetField:
    return SetField("eth_src", mark.marked, mark.bit)


def _is_marked(mark: Mark) -> Field:
    return Field("eth_src", mark.marked, mark.bit)


def _answers(mark: Mark) -> Field:
    """The match of an answer to a copy: its destination has the mark, and is no group address."""
    return Field("eth_dst", mark.marked, mark.bit | GROUP_BIT)


def _copy_maker(table: Table, here: tuple[Field, ...], mark: Mark, chain: Entity | None) -> Flow:
    """The flow that makes copies. Copies and frames are both looked up in the same table once more.
    ``chain``: one that a function joins."""
    again = (SetField(COPIED, 1), Resubmit(table))
    match = (*here, Field("eth_src", mark.plain, mark.bit), Field(COPIED, 0))
    done = (Clone((_marking(mark), *again)), *again)
    why = Origin("functions that join the chain are given a copy first", entity=chain, teaches=True)
    return flow(table, FIRST, match, done, why=why)


def _copies(
    table: Table, theirs: Iterable[Flow], leading: list[Flow], mark: Mark, chain: Entity | None
) -> Iterator[Flow]:
    """The flows for copies in a table. ``theirs``: the new flows of this table; ``leading``: those of them
    that lead to a function that joins ``chain``."""
    ranks = {priority: n for n, priority in enumerate(sorted({entry.priority for entry in theirs}))}
    led = {entry.cookie for entry in leading}
    for entry in theirs:
        match = _marked_match(entry.match, mark)
        goes_on = entry.cookie in led
        yield flow(
            table,
            COPIES[table] + ranks[entry.priority],
            match,
            entry.actions if goes_on else (),
            entry.goto if goes_on else None,
            why=replace(
                entry.origin,
                text=f"a copy: {entry.why}"
                if goes_on
                else "a copy that no function which joins gets: dropped",
                entity=entry.origin.entity or chain,
            ),
        )


def _marked_match(match: tuple[Field, ...], mark: Mark) -> tuple[Field, ...]:
    """The same match, for marked frames."""
    fields = []
    for field in match:
        if field.name == "eth_src":
            value = field.value & ~mark.bit | mark.marked
            field = Field("eth_src", value, None if field.mask is None else field.mask | mark.bit)
        fields.append(field)
    if not any(field.name == "eth_src" for field in match):
        place = 1 if match[:1] and match[0].name == "in_port" else 0
        fields.insert(place, _is_marked(mark))
    return tuple(fields)


def _guards(old: SwitchTables, new: SwitchTables, joining: Joining, mark: Mark) -> Iterator[Flow]:
    """The flows that end copies in RESOLVE and STEER."""
    if not any(entry.table is Table.RESOLVE for tables in (old, new) for entry in tables.flows):
        return
    why, entity = "a copy for a function that joins ends here", joining.chain
    yield flow(Table.RESOLVE, FIRST, (_is_marked(mark),), why=why, entity=entity)
    answer = f"{why}: an answer to it"
    yield flow(Table.RESOLVE, FIRST - 1, (_answers(mark),), why=answer, entity=entity)
    steered = {_hop(entry) for tables in (old, new) for entry in tables.flows if entry.table is Table.STEER}
    for number in sorted(steered - joining.hops - {0}):
        yield flow(Table.STEER, FIRST, (_is_marked(mark), Field(HOP, number)), why=why, entity=entity)


def _copies_that_return(
    old: SwitchTables, new: SwitchTables, ports: Iterable[int], mark: Mark
) -> Iterator[Flow]:
    """The flows that end copies, and answers to them, that come out of functions."""
    why = "a copy has been through a function that joins: dropped"
    origins = [entry.origin for tables in (old, new) for entry in tables.flows]
    functions = {origin.port: origin.entity for origin in origins if isinstance(origin, Probe)}
    for port in sorted(ports):
        entity = functions.get(port)
        came = Field("in_port", port)
        ended = Return(why, port, entity=entity)
        yield flow(Table.CLASSIFY, COPIES[Table.CLASSIFY] - 1, (came, _is_marked(mark)), why=ended)
        answer = Refused(f"an answer to {why[:6]}: dropped", port, entity=entity)
        yield flow(Table.CLASSIFY, FIRST - 1, (came, _answers(mark)), why=answer)
        for kind in (ethertype.IPV4, ethertype.IPV6):
            match = (came, _is_marked(mark), Field("eth_type", kind), FRAGMENT)
            yield flow(Table.CLASSIFY, FIRST - 1, match, why=Refused(why, port, entity=entity))


def _with_copy_onward(entry: Flow, joins: int, mark: Mark) -> Flow:
    """A flow of the old tables by which frames leave a function, with a copy of each to hop ``joins``."""
    copy = Clone((_marking(mark), SetField(SHARE, 0), SetField(HOP, joins), Resubmit(Table.STEER)))
    actions, origin = _insert_copy(entry.actions, copy), entry.origin.teaching("; a copy joins")
    return flow(entry.table, entry.priority, entry.match, actions, entry.goto, why=origin)


def _leaves(actions: tuple[Action, ...]) -> bool:
    """Whether frames leave a function by these actions: they get another hop."""
    return any(
        (isinstance(action, SetField) and action.field == HOP)
        or (isinstance(action, Clone) and _leaves(action.actions))
        for action in actions
    )


def _insert_copy(actions: tuple[Action, ...], copy: Clone) -> tuple[Action, ...]:
    """The actions, with ``copy`` added where the frame leaves the function."""
    if not any(isinstance(action, SetField) and action.field == HOP for action in actions):
        return tuple(
            Clone(_insert_copy(action.actions, copy))
            if isinstance(action, Clone) and _leaves(action.actions)
            else action
            for action in actions
        )
    last = len(actions)
    while last and isinstance(actions[last - 1], Resubmit):
        last -= 1
    return (*actions[:last], copy, *actions[last:])


# -- instances that take over ------------------------------------------------------------


class _Into(NamedTuple):
    """The flows that send frames of one hop into instances: ``whole`` for all, ``shares`` for each share."""

    whole: Flow
    port: int | None
    shares: Mapping[int, tuple[Flow, int]]

    def of(self, share: int) -> int | None:
        return self.port if self.port is not None else self.shares.get(share, (None, None))[1]


def taking_over(
    old: SwitchTables, new: SwitchTables, ports: frozenset[int]
) -> dict[int, tuple[_Into, _Into]]:
    """Hops at which a share of the frames changes its instance -> how they got there before, and after."""
    was, now = _instances(old, ports), _instances(new, ports)
    moved = {}
    for number in was.keys() & now.keys():
        before, after = was[number], now[number]
        shares = {*before.shares, *after.shares} or {0}
        if any(None not in (pair := (before.of(n), after.of(n))) and pair[0] != pair[1] for n in shares):
            moved[number] = before, after
    return moved


def _instances(tables: SwitchTables, ports: frozenset[int]) -> dict[int, _Into]:
    whole: dict[int, tuple[Flow, int | None]] = {}
    shares: dict[int, dict[int, tuple[Flow, int]]] = {}
    for entry in tables.flows:
        origin = entry.origin
        if isinstance(origin, Spreading):
            whole[origin.hop] = entry, None
        elif isinstance(origin, Into) and origin.port in ports:
            if origin.share is None:
                whole[origin.hop] = entry, origin.port
            else:
                shares.setdefault(origin.hop, {})[origin.share] = entry, origin.port
    return {
        number: _Into(entry, out, shares.get(number, {}))
        for number, (entry, out) in whole.items()
        if out is not None or number in shares
    }


def _takeover_copies(
    old: SwitchTables, new: SwitchTables, moved: Mapping[int, tuple[_Into, _Into]], mark: Mark
) -> tuple[list[Flow], dict[int, Flow]]:
    added: list[Flow] = []
    instead: dict[int, Flow] = {}

    def copy_to(entry: Flow, actions: tuple[Action, ...]) -> None:
        copy = Clone((_marking(mark), *actions))
        why = entry.origin.teaching("; a copy for who takes over")
        instead[entry.cookie] = flow(
            entry.table, entry.priority, entry.match, (copy, *entry.actions), entry.goto, why=why
        )

    for number, (before, after) in sorted(moved.items()):
        if before.port is not None and after.port is None:
            copy_to(before.whole, after.whole.actions)
            for share, (_, port) in sorted(after.shares.items()):
                if port == before.port:
                    match = (_is_marked(mark), Field(HOP, number), Field(SHARE, share))
                    why = "it has this frame already: no copy"
                    entity = before.whole.origin.entity
                    added.append(flow(Table.STEER, FIRST, match, why=why, entity=entity))
            continue
        for share, (entry, port) in sorted(before.shares.items()):
            then = after.of(share)
            if then is not None and then != port:
                copy_to(entry, (Output(then),))
        if before.port is not None and after.port is not None and before.port != after.port:
            copy_to(before.whole, (Output(after.port),))
        # this flow stays: the new one in its place would change all instances before the new ones are taught
        instead.setdefault(before.whole.cookie, before.whole)
    return added, instead
