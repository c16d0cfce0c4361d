"""The flows by which table CHAIN takes the frames of one entry of a chain.

Later fragments have no ports, and over IPv6 no protocol.  Where a chain matches ports or protocol, all
fragments between its addresses are gathered first (``controller.compiler.fragments``), and go where the ports
of the first fragment lead.

An ICMP error has no ports of its own.  It contains the start of the packet that it reports, and no flow can
match that.  The controller reads it (``controller.simulate.icmp_errors``), and sends the error where an
answer to that packet would go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from controller.compiler.chain_order import GATHER, TO_CONTROLLER, level_of
from controller.compiler.entry_matches import (
    all_fragments,
    error_matches,
    exact_matches,
    fragment_matches,
    overlap,
    unreadable_matches,
    within,
)
from controller.compiler.fragments import at_classifier, gather
from controller.flow.builders import HOP, NETWORK, PAST, THROUGH
from controller.flow.tables import Action, Field, SetField, Table
from controller.origin import ByChain, Classified, Origin
from topologies.model.places import Entity
from topologies.model.service_paths import ANSWER, OUT, Entry

Match = tuple[Field, ...]


class Taking(NamedTuple):
    """A flow of table CHAIN."""

    priority: int
    match: Match
    actions: tuple[Action, ...]
    goto: Table | None
    origin: Origin


class SwitchEntries(NamedTuple):
    """The entries of the networks that have hosts at a switch, and what their flows are made of.

    ``place``: see ``chain_order.levels``. ``balanced``: some entry is of a load balancer's own chain. The
    others: see ``chain_classifier.chain_table``.
    """

    entries: Sequence[Entry]
    place: Mapping[int, int]
    numbers: Mapping[str, int]
    translators: Mapping[int, int]
    zones: Mapping[str, int]
    balanced: bool

    def taking(self, entry: Entry) -> Iterator[Taking]:
        """The flows of one entry."""
        if entry.hop == OUT:
            yield from self._passed_by(entry)
            return
        alone = self._is_backend_alone(entry)
        yield from self._whole_fragments(entry) if alone else self._gathered_fragments(entry)
        yield from self._packets(entry)
        yield from self._errors(entry, alone)

    def _passed_by(self, entry: Entry) -> Iterator[Taking]:
        """What a chain's own rules leave to the tables that follow."""
        origin = ByChain(f"{_way(entry)}: of its own", entity=_chain(entry))
        for match in exact_matches(entry):
            yield Taking(
                self._level(entry, True, True), (*self._of(entry), *match), (), Table.RESOLVE, origin
            )

    def _is_backend_alone(self, entry: Entry) -> bool:
        """Whether an entry is of a backend itself, and no other balancer may have its packets."""
        return entry.returned and not any(
            other.returned
            and (other.network, other.forward) == (entry.network, entry.forward)
            and self.translators.get(other.hop) != self.translators.get(entry.hop)
            and overlap(entry, other)
            for other in self.entries
        )

    def _whole_fragments(self, entry: Entry) -> Iterator[Taking]:
        """All fragments go to the entry's hop."""
        # a balancer looks at a backend's answers before all chains, so also before any chain gathers them
        high = GATHER + 1 if entry.priority == ANSWER else self._level(entry, True, True)
        origin = Classified(f"{_way(entry)}: a fragment, maybe", entry.hop, entity=_chain(entry))
        for match in all_fragments(entry):
            yield Taking(high, (*self._first(entry), *match), _take(entry), Table.STEER, origin)

    def _gathered_fragments(self, entry: Entry) -> Iterator[Taking]:
        """Fragments are gathered, if their ports decide; those that can't be gathered are dropped."""
        together = gather(self.zones[at_classifier(entry.network)])
        gathered = Origin("fragments that a chain may take, gathered first", entity=_chain(entry))
        for match in () if has_one_hop(entry, self.entries) else fragment_matches(entry):
            yield Taking(GATHER, (*self._first(entry), *match), together, None, gathered)
        untold = Origin("no telling which chain's: dropped", entity=_chain(entry))
        for match in unreadable_matches(entry):
            yield Taking(GATHER, (*self._first(entry), *match), (), None, untold)

    def _packets(self, entry: Entry) -> Iterator[Taking]:
        """Packets with the entry's addresses, protocol and ports."""
        level = self._level(entry, entry.forward, True)
        origin = Classified(_way(entry), entry.hop, entity=_chain(entry))
        for match in exact_matches(entry):
            yield Taking(level, (*self._first(entry), *match), _take(entry), Table.STEER, origin)

    def _errors(self, entry: Entry, alone: bool) -> Iterator[Taking]:
        """ICMP errors go to the entry's hop, or to the controller where they may belong to another chain."""
        rivals = (
            other
            for other in self.entries
            if other.hop and other.network == entry.network and other.chain != entry.chain
        )
        level = self._level(entry, entry.forward, False)
        actions: tuple[Action, ...]
        goto: Table | None
        origin: Origin
        if alone or (entry.hop in self.translators and not any(overlap(entry, rival) for rival in rivals)):
            actions, goto = _take(entry), Table.STEER
            origin = Classified(f"{_way(entry)}: an ICMP error", entry.hop, entity=_chain(entry))
        else:
            actions, goto = TO_CONTROLLER, None
            origin = Origin("an ICMP error: the controller looks what it is about", entity=_chain(entry))
        for match in error_matches(entry):
            yield Taking(level, (*self._first(entry), *match), actions, goto, origin)

    def _level(self, entry: Entry, forward: bool, exact: bool) -> int:
        return level_of(self.place[entry.priority], forward, exact)

    def _of(self, entry: Entry) -> Match:
        return (Field(NETWORK, self.numbers[entry.network]),)

    def _first(self, entry: Entry) -> Match:
        """The network, and that no balancer has had the packet yet, where one may have."""
        if entry.priority == ANSWER:
            return (*self._of(entry), Field(PAST, 0))
        if entry.priority >= 0 and self.balanced:
            return (*self._of(entry), Field(PAST, 0, THROUGH))
        return self._of(entry)


def _chain(entry: Entry) -> Entity:
    return Entity("chain", entry.chain)


def _way(entry: Entry) -> str:
    if entry.returned and entry.hop != OUT:
        return f"chain {entry.chain}, {'to' if entry.forward else 'from'} a backend itself"
    return f"chain {entry.chain}" + ("" if entry.forward else ", the way back")


def _take(entry: Entry) -> tuple[Action, ...]:
    return (SetField(HOP, entry.hop),)


def has_one_hop(entry: Entry, others: Sequence[Entry]) -> bool:
    """Whether all packets between an entry's addresses go to its hop, whatever their ports."""
    near = [
        other for other in others if other.network == entry.network and other.hop and overlap(entry, other)
    ]
    whole = any(
        other.protocol is None
        and within(entry.source, other.source)
        and within(entry.destination, other.destination)
        for other in near
    )
    return whole and all(other.hop == entry.hop for other in near)
