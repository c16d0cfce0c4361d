"""Teaching functions what passes before they come into its way. Pure.

Between two stages of a change (``controller.update.consistent_update``) functions that join a chain, and
instances that take over connections from others, get copies of what will go through them: taken where their
traffic will come from, and dropped where they let it go on.  What was on its way meanwhile is known to them
when it comes back.

A copy is told by one bit of its source's MAC address that all stations have alike.  So it needs no flows of
its own on its way through hops that join; of other hops, of table RESOLVE (where frames leave chains), and of
what comes out of functions it gets no further.  What a function answers to a copy has the bit in its
destination.

To find out what is to be copied, the new tables are asked beside the old ones: a frame is looked up a second
time, marked, among flows that look like the new ones and take marked frames alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from controller.compiler.fragments import FRAGMENT
from controller.flow.builders import COPIED, HOP, SHARE, flow
from controller.flow.tables import Action, Clone, Field, Flow, Output, Resubmit, SetField, SwitchTables, Table
from controller.origin import AtHop, Into, Refused, Return, Spreading
from controller.update.joining import Joining
from wire import ethertype
from wire.mac import GROUP_BIT

FIRST = 65_535
"""Priority of what makes copies, and of what takes them out."""
COPIES = {Table.CHAIN: 60_001, Table.CLASSIFY: 40_001}
"""Lowest priority of the flows for marked frames: above all that a chain takes; below guards and probes."""


class Mark(NamedTuple):
    """One bit of a source address: the value that it has in every station's, and that of a marked one."""

    bit: int
    plain: int
    marked: int


class Taught(NamedTuple):
    """What teaching changes on one switch. ``flows``: what there is in addition; ``instead``: cookie -> what
    takes the place of this flow; ``after``: what is in addition until the last copies are gone."""

    flows: tuple[Flow, ...] = ()
    instead: Mapping[int, Flow] = {}
    after: tuple[Flow, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.flows or self.instead)


NOTHING = Taught()
Key = tuple[Table, int, tuple[Field, ...]]


def teaching(
    old: SwitchTables, new: SwitchTables, joining: Joining, mark: Mark, ports: frozenset[int]
) -> Taught:
    """For one switch of a lab in which something joins or takes over. ``ports``: of its inline functions, old
    and new."""
    moved = {n: how for n, how in taking_over(old, new, ports).items() if n in joining.knowing}
    guards = [*_guards(old, new, joining.hops, mark), *_come_out(ports, mark)]
    flows: list[Flow] = []
    known = {each.cookie for each in old.flows}
    asked: list[tuple[Table, tuple[Field, ...], list[Flow]]] = [
        (Table.CHAIN, (), [each for each in new.flows if each.table is Table.CHAIN])
    ]
    for port in sorted(ports):
        came = Field("in_port", port)
        back = [each for each in new.flows if isinstance(each.origin, Return) and each.origin.port == port]
        asked.append((Table.CLASSIFY, (came,), back))
    for table, here, theirs in asked:
        leading = [each for each in theirs if _leads(each) in joining.hops and _is_news(each, known)]
        if leading:
            flows += _copies(table, theirs, leading, mark)
            if any(_leads(each) in joining.first for each in leading):
                flows.append(_copying(table, here, mark))
    leaving = [each for each in old.flows if each.table is Table.STEER and _leaves(each.actions)]
    after = joining.after
    instead = {
        each.cookie: _and_then(each, after[_hop(each)], mark) for each in leaving if _hop(each) in after
    }
    more, others = _over(old, new, moved, mark)
    return Taught((*flows, *guards, *more), {**instead, **others}, tuple(guards))


def _is_news(each: Flow, known: set[int]) -> bool:
    """Whether what a flow takes may have gone elsewhere so far. What comes out of a function that joins does
    so marked, and goes on in any case."""
    return each.cookie not in known or each.table is Table.CLASSIFY


def _hop(each: Flow) -> int:
    return each.origin.hop if isinstance(each.origin, AtHop) else 0


def _leads(each: Flow) -> int | None:
    """The hop that a flow sends frames to; 0: out of the chain."""
    return next((one.value for one in each.actions if isinstance(one, SetField) and one.field == HOP), None)


def _marking(mark: Mark) -> SetField:
    return SetField("eth_src", mark.marked, mark.bit)


def _is_marked(mark: Mark) -> Field:
    return Field("eth_src", mark.marked, mark.bit)


def _answers(mark: Mark) -> Field:
    """What is sent to a marked station's address, and to no group."""
    return Field("eth_dst", mark.marked, mark.bit | GROUP_BIT)


def _copying(table: Table, here: tuple[Field, ...], mark: Mark) -> Flow:
    """What makes copies: they, and the frames themselves, are looked up in the same table once more."""
    again = (SetField(COPIED, 1), Resubmit(table))
    match = (*here, Field("eth_src", mark.plain, mark.bit), Field(COPIED, 0))
    done = (Clone((_marking(mark), *again)), *again)
    return flow(table, FIRST, match, done, why="functions that join the chain are given a copy first")


def _copies(table: Table, theirs: Iterable[Flow], leading: list[Flow], mark: Mark) -> Iterator[Flow]:
    """How copies go on from a table of which the new flows are ``theirs``."""
    ranks = {priority: n for n, priority in enumerate(sorted({each.priority for each in theirs}))}
    led = {each.cookie for each in leading}
    for each in theirs:
        match = _of_copies(each.match, mark)
        goes_on = each.cookie in led
        yield flow(
            table,
            COPIES[table] + ranks[each.priority],
            match,
            each.actions if goes_on else (),
            each.goto if goes_on else None,
            why=replace(
                each.origin,
                text=f"a copy: {each.why}"
                if goes_on
                else "a copy that no function which joins gets: dropped",
            ),
        )


def _of_copies(match: tuple[Field, ...], mark: Mark) -> tuple[Field, ...]:
    """The same match, of marked frames."""
    found = []
    for each in match:
        if each.name == "eth_src":
            value = each.value & ~mark.bit | mark.marked
            each = Field("eth_src", value, None if each.mask is None else each.mask | mark.bit)
        found.append(each)
    if not any(each.name == "eth_src" for each in match):
        place = 1 if match[:1] and match[0].name == "in_port" else 0
        found.insert(place, _is_marked(mark))
    return tuple(found)


def _guards(old: SwitchTables, new: SwitchTables, hops: frozenset[int], mark: Mark) -> Iterator[Flow]:
    """Where copies end."""
    if not any(each.table is Table.RESOLVE for some in (old, new) for each in some.flows):
        return
    why = "a copy for a function that joins ends here"
    yield flow(Table.RESOLVE, FIRST, (_is_marked(mark),), why=why)
    yield flow(Table.RESOLVE, FIRST - 1, (_answers(mark),), why=f"{why}: an answer to it")
    steered = {_hop(each) for some in (old, new) for each in some.flows if each.table is Table.STEER}
    for number in sorted(steered - hops - {0}):
        yield flow(Table.STEER, FIRST, (_is_marked(mark), Field(HOP, number)), why=why)


def _come_out(ports: Iterable[int], mark: Mark) -> Iterator[Flow]:
    why = "a copy has been through a function that joins: dropped"
    for port in sorted(ports):
        came = Field("in_port", port)
        yield flow(
            Table.CLASSIFY, COPIES[Table.CLASSIFY] - 1, (came, _is_marked(mark)), why=Return(why, port)
        )
        answer = Refused(f"an answer to {why[:6]}: dropped", port)
        yield flow(Table.CLASSIFY, FIRST - 1, (came, _answers(mark)), why=answer)
        for kind in (ethertype.IPV4, ethertype.IPV6):
            match = (came, _is_marked(mark), Field("eth_type", kind), FRAGMENT)
            yield flow(Table.CLASSIFY, FIRST - 1, match, why=Refused(why, port))


def _and_then(each: Flow, joins: int, mark: Mark) -> Flow:
    """A flow of the old tables by which frames leave a function, and a copy of each goes to hop ``joins``."""
    copy = Clone((_marking(mark), SetField(SHARE, 0), SetField(HOP, joins), Resubmit(Table.STEER)))
    actions, origin = _with(each.actions, copy), each.origin.noted("; a copy joins")
    return flow(each.table, each.priority, each.match, actions, each.goto, why=origin)


def _leaves(actions: tuple[Action, ...]) -> bool:
    """Whether frames leave a function by these actions: they get another hop."""
    return any(
        (isinstance(one, SetField) and one.field == HOP) or (isinstance(one, Clone) and _leaves(one.actions))
        for one in actions
    )


def _with(actions: tuple[Action, ...], copy: Clone) -> tuple[Action, ...]:
    """The actions with ``copy`` where the frame leaves."""
    if not any(isinstance(one, SetField) and one.field == HOP for one in actions):
        return tuple(
            Clone(_with(one.actions, copy)) if isinstance(one, Clone) and _leaves(one.actions) else one
            for one in actions
        )
    last = len(actions)
    while last and isinstance(actions[last - 1], Resubmit):
        last -= 1
    return (*actions[:last], copy, *actions[last:])


# -- instances that take over ------------------------------------------------------------


class _Into(NamedTuple):
    """How frames of one hop get into instances: all by ``whole``, or those of a share by ``shares``."""

    whole: Flow
    port: int | None
    shares: Mapping[int, tuple[Flow, int]]

    def of(self, share: int) -> int | None:
        return self.port if self.port is not None else self.shares.get(share, (None, None))[1]


def taking_over(
    old: SwitchTables, new: SwitchTables, ports: frozenset[int]
) -> dict[int, tuple[_Into, _Into]]:
    """Hops at which some share of the frames goes into another instance than before."""
    was, now = _instances(old, ports), _instances(new, ports)
    found = {}
    for number in was.keys() & now.keys():
        one, other = was[number], now[number]
        shares = {*one.shares, *other.shares} or {0}
        if any(None not in (pair := (one.of(n), other.of(n))) and pair[0] != pair[1] for n in shares):
            found[number] = one, other
    return found


def _instances(tables: SwitchTables, ports: frozenset[int]) -> dict[int, _Into]:
    whole: dict[int, tuple[Flow, int | None]] = {}
    shares: dict[int, dict[int, tuple[Flow, int]]] = {}
    for each in tables.flows:
        origin = each.origin
        if isinstance(origin, Spreading):
            whole[origin.hop] = each, None
        elif isinstance(origin, Into) and origin.port in ports:
            if origin.share is None:
                whole[origin.hop] = each, origin.port
            else:
                shares.setdefault(origin.hop, {})[origin.share] = each, origin.port
    return {
        number: _Into(each, out, shares.get(number, {}))
        for number, (each, out) in whole.items()
        if out is not None or number in shares
    }


def _over(
    old: SwitchTables, new: SwitchTables, moved: Mapping[int, tuple[_Into, _Into]], mark: Mark
) -> tuple[list[Flow], dict[int, Flow]]:
    more: list[Flow] = []
    instead: dict[int, Flow] = {}

    def also(each: Flow, actions: tuple[Action, ...]) -> None:
        copy = Clone((_marking(mark), *actions))
        why = each.origin.noted("; a copy for who takes over")
        instead[each.cookie] = flow(
            each.table, each.priority, each.match, (copy, *each.actions), each.goto, why=why
        )

    for number, (one, other) in sorted(moved.items()):
        if one.port is not None and other.port is None:
            also(one.whole, other.whole.actions)
            for share, (_, port) in sorted(other.shares.items()):
                if port == one.port:
                    match = (_is_marked(mark), Field(HOP, number), Field(SHARE, share))
                    more.append(flow(Table.STEER, FIRST, match, why="it has this frame already: no copy"))
            continue
        for share, (each, port) in sorted(one.shares.items()):
            then = other.of(share)
            if then is not None and then != port:
                also(each, (Output(then),))
        if one.port is not None and other.port is not None and one.port != other.port:
            also(one.whole, (Output(other.port),))
        # who spreads keeps doing so: the new flow in its place would hand all over before the lesson
        instead.setdefault(one.whole.cookie, one.whole)
    return more, instead
