"""Functions that come into the way of traffic which has not passed them before. Pure.

What a function knows of connections it has from their packets.  One that joins knows none: the answer to a
request that went by before belongs to nothing, and a firewall drops it (RFC 5382 and RFC 4787 call the rule
endpoint-dependent filtering; to Linux and Open vSwitch such a packet is invalid).  So functions that join are
taught first (``controller.update.teaching``); here is which ones join, and after what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from controller.compiler.chain_classifier import overlap, within
from topologies.model.functions import Chain, Function
from topologies.model.kinds import FirewallFunction
from topologies.model.service_paths import Entry, Hop, Service, service
from topologies.model.topology import Topology


class Joining(NamedTuple):
    """Numbers of hops. ``hops``: of the new lab, at functions that not all their traffic has passed before.

    ``first``: those of them that come after none of them: copies have to be made for them.  ``knowing``: all
    of the new lab at functions that know connections.  ``after``: hop of the old lab at a function of which
    frames come out by no port -> the joining hop that is next.
    """

    hops: frozenset[int] = frozenset()
    first: frozenset[int] = frozenset()
    knowing: frozenset[int] = frozenset()
    after: Mapping[int, int] = MappingProxyType({})


NOBODY = Joining()


LEAST_LESSON, LONGEST_LESSON = 0.5, 3.0


def lesson(topology: Topology) -> float:
    """Seconds for which what joins is taught: as long as a packet and its answer may be on their way.

    No more than all delays of the lab, on each leg of its longest chain there and back, and what switches,
    functions and hosts take; answers that take longer than ``LONGEST_LESSON`` are not waited for.
    """
    some = [*(each.shaping for each in topology.links), *(each.shaping for each in topology.hosts)]
    if topology.underlay is not None:
        some += [each.shaping for each in topology.underlay.links]
    legs = 1 + max((len(chain.functions) for chain in topology.chains), default=0)
    delays = sum(each.delay or 0 for each in some)
    return min(LEAST_LESSON + 2 * legs * delays / 1e6, LONGEST_LESSON)


def joining(old: Topology, new: Topology) -> Joining:
    """What joins when a lab becomes another one."""
    if not new.functions:
        return NOBODY
    now = service(new)
    after = {each.name: each for each in new.functions}
    knowing = {number for number, hop in now.hops.items() if not hop.ends and _knows(after[hop.function])}
    if old is new or not knowing:
        return Joining(knowing=frozenset(knowing))
    was = service(old)
    before = {each.name: each for each in old.functions}
    stays = {name for name in before.keys() & after.keys() if _same(before[name], after[name])}
    passed = {name: [hop for hop in was.hops.values() if hop.function == name] for name in stays}
    hops = {
        hop.number
        for hop in now.hops.values()
        if not hop.ends and (hop.number not in was.hops or hop.function in stays)
        if _joins(hop, after[hop.function], passed.get(hop.function, []), was, now)
    }
    # others join only where copies have to go through them
    needed = {number for number in hops if knowing & hops & _onward(number, now)}
    found = frozenset(needed)
    first = found - {now.hops[number].next for number in found}
    return Joining(found, first, frozenset(knowing), _following(old, new, was, now, found, stays, after))


def _knows(function: Function) -> bool:
    return function.mode != "tap" and function.remembers


def _onward(number: int, made: Service) -> set[int]:
    """This hop and all that come after it."""
    found: set[int] = set()
    while number and number not in found:
        found.add(number)
        number = made.hops[number].next
    return found


def _same(one: Function, other: Function) -> bool:
    """Whether what a function knows stays."""
    ports = [{(each.inward, each.outward) for each in some.instances} for some in (one, other)]
    made = [(some.kind, some.engine, some.mode, some.switch) for some in (one, other)]
    return made[0] == made[1] and (one.mode == "flows" or bool(ports[0] & ports[1]))


def _joins(hop: Hop, function: Function, passed: Iterable[Hop], was: Service, now: Service) -> bool:
    """``passed``: hops of the old lab at this function, with all that it knows."""
    mine = _entries(now, hop)
    theirs = [entry for each in passed for entry in _entries(was, each)]
    if all(any(covers(entry, each) for entry in theirs) for each in mine):
        return False
    # some of it may have passed: to a firewall a packet's second copy says nothing new, others would count it
    return isinstance(function, FirewallFunction) or not any(
        entry.network == each.network and overlap(entry, each) for entry in theirs for each in mine
    )


def _entries(made: Service, hop: Hop) -> list[Entry]:
    return [entry for entry in made.entries if entry.chain == hop.chain and entry.forward is hop.forward]


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
    found: dict[int, int] = {}
    for chain in new.chains:
        former = _former(old, chain)
        if former is None:
            continue
        for forward in (True, False):
            way = sorted(_of(now, chain.name, forward), key=lambda hop: hop.place)
            there = {hop.function: hop.number for hop in _of(was, former.name, forward)}
            for one, then in pairwise(way):
                known = one.function in stays and one.function in there and one.number not in hops
                if known and then.number in hops and functions[one.function].mode in ("flows", "tap"):
                    found[there[one.function]] = then.number
    return found


def _former(old: Topology, chain: Chain) -> Chain | None:
    """What a chain was in the old lab, whatever it was called."""

    def takes(each: Chain) -> tuple[object, ...]:
        return each.network, each.source, each.destination, each.protocol, each.destination_ports

    named = [each for each in old.chains if each.name == chain.name]
    return next(iter([*named, *(each for each in old.chains if takes(each) == takes(chain))]), None)


def _of(made: Service, chain: str, forward: bool) -> list[Hop]:
    return [hop for hop in made.hops.values() if hop.chain == chain and hop.forward is forward]
