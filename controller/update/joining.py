"""Functions that join a chain: traffic will pass them that has not passed them before. Pure.

A function learns of a connection from its packets.  A function that joins knows none: when it gets the answer
to a request that it has not seen, the answer belongs to no connection, and a firewall drops it (RFC 5382 and
RFC 4787 call the rule endpoint-dependent filtering; Linux and Open vSwitch call such a packet invalid).  So
functions that join are taught first (``controller.update.teaching``).  This module says which functions join,
and after which hops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from typing_extensions import assert_never

from controller.compiler.entry_matches import overlap, within
from topologies.model.attachment import AtPorts, EndSystem, Flows, Inline, Tap
from topologies.model.functions import Chain, Function
from topologies.model.kinds import FirewallFunction
from topologies.model.places import Entity
from topologies.model.service_paths import Entry, Hop, Service, service, steered
from topologies.model.topology import Topology


class Joining(NamedTuple):
    """Numbers of hops. ``hops``: of the new lab, at functions that join: not all traffic passed them before.

    ``first``: those of ``hops`` that follow no other of ``hops``: copies have to be made for them.
    ``knowing``: all hops of the new lab at functions that know connections.  ``after``: hop of the old lab,
    at a function out of which frames come by no port -> the joining hop that is next.  ``chain``: the first
    that a function joins.
    """

    hops: frozenset[int] = frozenset()
    first: frozenset[int] = frozenset()
    knowing: frozenset[int] = frozenset()
    after: Mapping[int, int] = MappingProxyType({})
    chain: Entity | None = None


NOBODY = Joining()


LEAST_LESSON, LONGEST_LESSON = 0.5, 3.0


def lesson(topology: Topology) -> float:
    """Seconds for which functions that join are taught: as long as a packet and its answer may take.

    That is all delays of the lab, on each leg of its longest chain in both directions, and ``LEAST_LESSON``
    for switches, functions and hosts; at most ``LONGEST_LESSON``.
    """
    shaped = [*(link.shaping for link in topology.links), *(host.shaping for host in topology.attached)]
    if topology.underlay is not None:
        shaped += [link.shaping for link in topology.underlay.links]
    legs = 1 + max((len(chain.functions) for chain in topology.chains), default=0)
    delays = sum(shaping.longest_delay for shaping in shaped)
    return min(LEAST_LESSON + 2 * legs * delays / 1e6, LONGEST_LESSON)


def joining(old: Topology, new: Topology) -> Joining:
    """The hops that join when the lab ``old`` becomes ``new``."""
    if not new.functions:
        return NOBODY
    now = service(new)
    after = {function.name: function for function in new.functions}
    knowing = {number for number, hop in now.hops.items() if not hop.ends and _knows(after[hop.function])}
    if old is new or not knowing:
        return Joining(knowing=frozenset(knowing))
    was = service(old)
    before = {function.name: function for function in old.functions}
    stays = {name for name in before.keys() & after.keys() if _same(before[name], after[name])}
    passed = {name: [hop for hop in was.hops.values() if hop.function == name] for name in stays}
    hops = {
        hop.number
        for hop in now.hops.values()
        if not hop.ends and (hop.number not in was.hops or hop.function in stays)
        if _joins(hop, after[hop.function], passed.get(hop.function, []), was, now)
    }
    # a function that knows no connections joins only where copies have to pass it
    needed = {number for number in hops if knowing & hops & _onward(number, now)}
    joined = frozenset(needed)
    first = joined - {now.hops[number].next for number in joined}
    following = _following(old, new, was, now, joined, stays, after)
    chain = now.hops[min(joined)].entity if joined else None
    return Joining(joined, first, frozenset(knowing), following, chain)


def _knows(function: Function) -> bool:
    return function.remembers and not isinstance(function.attachment, Tap)


def _onward(number: int, paths: Service) -> set[int]:
    """This hop and all that come after it."""
    numbers: set[int] = set()
    while number and number not in numbers:
        numbers.add(number)
        number = paths.hops[number].next
    return numbers


def _same(one: Function, other: Function) -> bool:
    """Whether a function keeps what it knows of connections."""
    if not one.made_like(other):
        return False
    match one.attachment:
        case Flows():
            return True
        case Inline() | Tap() | AtPorts() | EndSystem():
            before, after = ({instance.ports for instance in function.instances} for function in (one, other))
            return bool(before & after)
        case never:
            assert_never(never)


def _returns(function: Function) -> bool:
    """Whether frames come back from a function that has hops by a port of their own."""
    match steered(function):
        case Inline():
            return True
        case Tap() | Flows():
            return False
        case never:
            assert_never(never)


def _joins(hop: Hop, function: Function, passed: Iterable[Hop], was: Service, now: Service) -> bool:
    """Whether a hop joins. ``passed``: the old lab's hops at this function, if it keeps what it knows."""
    mine = _entries(now, hop)
    theirs = [entry for hop in passed for entry in _entries(was, hop)]
    if all(any(covers(entry, needed) for entry in theirs) for needed in mine):
        return False
    # some traffic may have passed already: a second copy tells a firewall nothing new, others would count it
    return isinstance(function, FirewallFunction) or not any(
        entry.network == needed.network and overlap(entry, needed) for entry in theirs for needed in mine
    )


def _entries(paths: Service, hop: Hop) -> list[Entry]:
    return [entry for entry in paths.entries if entry.chain == hop.chain and entry.forward is hop.forward]


def covers(one: Entry, other: Entry) -> bool:
    """Whether ``one`` takes all that ``other`` takes."""
    return (
        one.network == other.network
        and within(other.source, one.source)
        and within(other.destination, one.destination)
        and one.protocol in (None, other.protocol)
        and one.source_ports in ((), other.source_ports)
        and one.destination_ports in ((), other.destination_ports)
    )


def _following(
    old: Topology,
    new: Topology,
    was: Service,
    now: Service,
    hops: frozenset[int],
    stays: set[str],
    functions: Mapping[str, Function],
) -> dict[int, int]:
    following: dict[int, int] = {}
    for chain in new.chains:
        former = _former(old, chain)
        if former is None:
            continue
        for forward in (True, False):
            way = sorted(_hops_of(now, chain.name, forward), key=lambda hop: hop.place)
            there = {hop.function: hop.number for hop in _hops_of(was, former.name, forward)}
            for hop, following_hop in pairwise(way):
                known = hop.function in stays and hop.function in there and hop.number not in hops
                if known and following_hop.number in hops and not _returns(functions[hop.function]):
                    following[there[hop.function]] = following_hop.number
    return following


def _former(old: Topology, chain: Chain) -> Chain | None:
    """The chain of the old lab that this chain was: by its name, or by what it takes."""

    def takes(candidate: Chain) -> tuple[object, ...]:
        return (
            candidate.network,
            candidate.source,
            candidate.destination,
            candidate.protocol,
            candidate.destination_ports,
        )

    named = [candidate for candidate in old.chains if candidate.name == chain.name]
    return next(
        iter([*named, *(candidate for candidate in old.chains if takes(candidate) == takes(chain))]), None
    )


def _hops_of(paths: Service, chain: str, forward: bool) -> list[Hop]:
    return [hop for hop in paths.hops.values() if hop.chain == chain and hop.forward is forward]
