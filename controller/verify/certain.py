"""Which frames certainly reach their destination, once and as they were sent; for all destinations at once.

The graph of shapes has an edge for each choice of a switch, for a set of destinations. Frames of a shape
certainly arrive at a destination if all choices lead to shapes of which this is so: the least fixed point,
counted from the destinations on, so that what goes round in a loop is never certain. It is computed with sets
of destinations as numbers (see ``controller.verify.destinations``).

After a change only what it touches is computed again: the destinations for which a switch does something
else, and the shapes that lead there. What is certain before and after has one outcome, so nothing that leads
to it needs to be looked at again. What is not certain is computed state by state, by ``outcomes.Fabric``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from controller.flow.tables import Flow, SwitchTables
from controller.verify.destinations import TABLES, Change, Destinations, Held, bits, within
from controller.verify.lab import Lab
from controller.verify.names import Key, Names
from controller.verify.outcomes import Outcome
from controller.verify.packets import whole
from controller.verify.shapes import Behaviour, Shapes
from controller.verify.states import Space, State
from controller.verify.switch import patched
from controller.verify.values import FREE, decided
from wire.mac import GROUP_BIT

Edges = list[tuple[int, Behaviour]]
"""Sets of destinations, with what becomes of frames to these."""
_NONE: frozenset[int] = frozenset()


class Certain:
    """Of the lab as it should be."""

    def __init__(self, lab: Lab, space: Space, tables: Mapping[str, SwitchTables]) -> None:
        self.to = Destinations(lab, space.reads)
        self.shapes = Shapes(space, self.to)
        names = Names()
        self.held = {name: Held(held, self.to, names) for name, held in tables.items()}
        self.edges: list[Edges] = []
        self.parents: list[set[int]] = []
        self.good: list[int] = []
        self._safe: list[int] = []

    def outcome(self, state: State) -> tuple[Outcome, ...] | None:
        """The one outcome of a state that is certain."""
        which = self.shapes.of(state)
        if which is None:
            return None
        shape, number = which
        self.explore((shape,))
        return self.arrival(state, number) if self.good[shape] >> number & 1 else None

    def arrival(self, state: State, number: int) -> tuple[Outcome, ...]:
        """The outcome of a state whose frames certainly arrive."""
        reads, outlets = self.shapes.space.reads.of(self.to.macs[number]), self.shapes.space.outlets
        if reads is not None and "eth_src" not in reads:  # no link on which it could be marked
            return (Outcome({}, outlets.one(self.to.ports[number], ())),)
        source = patched(state.packets, "eth_src", 0, GROUP_BIT)
        written = (("eth_src", source),) if state.packets.frame.get("eth_src") != source else ()
        return (Outcome({}, outlets.one(self.to.ports[number], written)),)

    def opened(self, state: State) -> dict[int, int]:
        """The shapes of packets in table FORWARD to any address, and for which destinations they are."""
        space, to = self.shapes.space, self.to
        parts: dict[int, int] = {}
        known, every = state.packets.known.get("eth_dst", FREE), whole("eth_dst")
        free = all(decided(known, mac, every) is not False for mac in to.macs)
        for mask in to.by_kind.values():
            for number in bits(mask):
                toward = space.toward(state, to.macs[number])
                which = None if toward is None else self.shapes.of(toward)
                if which is not None:
                    # what destinations of one kind differ in is the address alone
                    parts[which[0]] = parts.get(which[0], 0) | (mask if free else 1 << number)
                if free:
                    break
        self.explore(parts)
        return parts

    def explore(self, shapes: Iterable[int]) -> None:
        """Know all about some shapes, and those that they lead to."""
        first = len(self.edges)
        waiting = [shape for shape in shapes if shape >= first]
        if not waiting:
            return
        while len(self.edges) < len(self.shapes.all):
            shape = len(self.edges)
            held = self.held[self.shapes.all[shape].switch]
            edges: dict[Behaviour, int] = {}
            for key, mask in held.parts.items():
                behaviour = self.behaviour(shape, key, mask, held)
                edges[behaviour] = edges.get(behaviour, 0) | mask
            self.edges.append([(mask, behaviour) for behaviour, mask in edges.items()])
            self.parents.append(set())
            self.good.append(0)
            self._safe.append(0)
        for shape in range(first, len(self.edges)):
            for _, behaviour in self.edges[shape]:
                for beyond in behaviour.onward:
                    self.parents[beyond].add(shape)
        new = range(first, len(self.edges))
        for safe, silent in ((self.good, False), (self._safe, True)):
            queue = deque(new)
            queued = set(new)
            while queue:
                shape = queue.popleft()
                queued.discard(shape)
                now = self.value(self.edges[shape], self.shapes.all[shape].switch, safe, silent)
                if now != safe[shape]:
                    safe[shape] = now
                    for parent in self.parents[shape]:
                        if parent not in queued:
                            queued.add(parent)
                            queue.append(parent)

    def safe(self, shape: int) -> int:
        """The destinations whose frames of a shape arrive, or end somewhere; nothing else."""
        return self._safe[shape]

    def value(
        self,
        edges: Iterable[tuple[int, Behaviour]],
        switch: str,
        known: Mapping[int, int] | list[int],
        silent: bool,
    ) -> int:
        """The destinations of which it is certain, if that of the next shapes is ``known``."""
        all_ = 0
        home = self.to.home
        for mask, behaviour in edges:
            if behaviour.unknown is not None or (behaviour.silent and not silent):
                continue
            for port in behaviour.leaves:
                mask &= home.get((switch, port), 0)
            for beyond in behaviour.onward:
                mask &= known[beyond]
            all_ |= mask
        return all_

    def behaviour(
        self,
        shape: int,
        key: Key,
        mask: int,
        held: Held,
        change: Change | None = None,
        dead: frozenset[int] = _NONE,
    ) -> Behaviour:
        """What becomes of frames to the destinations ``mask``, which a switch treats alike."""
        number = (mask & -mask).bit_length() - 1
        if change is None:
            flows: Iterable[Flow] = held.flows.get(number, ())
            return self.shapes.behaviour(shape, key, number, held.common, flows, held.groups, dead)
        flows = change.flows.get(number, ())
        return self.shapes.behaviour(shape, key, number, change.common, flows, change.groups, dead)

    def covered(self, change: Change) -> bool:
        """Whether it is plain that nothing matters to the changed flows that did not matter before."""
        if change.whole or any(flow.table not in TABLES for flow in change.added):
            return False
        for mask in change.parts.values():
            number = (mask & -mask).bit_length() - 1
            if not within(change.flows.get(number, ()), change.groups, self.to.reads[number]):
                return False
        reads = self.shapes.space.reads
        return all(reads.covers_flow(flow, change.groups) for flow in change.beside)

    def matched(self) -> dict[str, set[int]]:
        """Switch -> cookies of the flows that some frame of some shape matches."""
        by_key: dict[Key, tuple[int, set[int]]] = {}
        for (_, key), (number, cookies) in self.shapes.matched.items():
            by_key.setdefault(key, (number, set()))[1].update(cookies)
        seen: dict[str, set[int]] = {}
        for key, (number, those) in by_key.items():
            held = self.held[key.switch]
            here = seen.setdefault(key.switch, set())
            here |= those
            names = {held.name(flow) for flow in held.flows.get(number, ()) if flow.cookie in those}
            for other in bits(held.parts.get(key, 0)):
                here.update(flow.cookie for flow in held.flows.get(other, ()) if held.name(flow) in names)
        return seen

    def silent(self, shape: int) -> int:
        """The destinations whose frames of a shape end at this very switch, as flows say."""
        return _silent(self.edges[shape])


def _silent(edges: Iterable[tuple[int, Behaviour]]) -> int:
    mask = 0
    for some, behaviour in edges:
        if behaviour.silent and not behaviour.onward and not behaviour.leaves and behaviour.unknown is None:
            mask |= some
    return mask


class Changed:
    """What is certain when some switches have other tables, or dead ports. ``touched``: shape -> the
    destinations for which something on the way differs."""

    def __init__(
        self, base: Certain, changes: Mapping[str, Change], dead: Mapping[str, frozenset[int]]
    ) -> None:
        self.base, self._changes, self._dead = base, changes, dead
        self._edges: dict[int, Edges] = {}
        self._moved: dict[int, int] = {}
        self._looked = 0
        self.touched: dict[int, int] = {}
        self.good: dict[int, int] = {}
        self._safe: dict[int, int] = {}
        self._switches = changes.keys() | dead.keys()
        self._spread()
        self.good = self._fixed(False)

    def _spread(self) -> None:
        """Find all that is touched; behaviours can lead to shapes that nobody knew."""
        base = self.base
        waiting: list[tuple[int, int]] = []
        while self._looked < len(base.shapes.all):
            base.explore(range(self._looked, len(base.shapes.all)))
            if self._looked == 0:
                shapes = [shape for name in self._switches for shape in base.shapes.at.get(name, ())]
            else:
                new = range(self._looked, len(base.edges))
                shapes = [shape for shape in new if base.shapes.all[shape].switch in self._switches]
            self._looked = len(base.edges)
            for shape in shapes:
                self._look(shape)
                moved = self._moved.get(shape, 0)
                if moved:
                    self.touched[shape] = self.touched.get(shape, 0) | moved
                    waiting.append((shape, moved))
            # shapes that this has found are looked at in the next round
        while waiting:
            shape, mask = waiting.pop()
            for parent in base.parents[shape]:
                reached = 0
                for some, behaviour in base.edges[parent]:
                    if shape in behaviour.onward:
                        reached |= some & mask
                reached &= ~self.touched.get(parent, 0)
                if reached:
                    self.touched[parent] = self.touched.get(parent, 0) | reached
                    waiting.append((parent, reached))

    def _look(self, shape: int) -> None:
        """What a shape's switch does now, and for which destinations it is something else than before."""
        base = self.base
        name = base.shapes.all[shape].switch
        held, change, dead = base.held[name], self._changes.get(name), self._dead.get(name, _NONE)
        old = base.edges[shape]
        now: dict[Behaviour, int] = {}
        changed = 0 if change is None else change.changed
        if dead:
            for key, mask in held.parts.items():
                mask &= ~changed
                if mask:
                    behaviour = base.behaviour(shape, key, mask, held, None, dead)
                    now[behaviour] = now.get(behaviour, 0) | mask
        else:
            for mask, behaviour in old:
                if mask & ~changed:
                    now[behaviour] = mask & ~changed
        if change is not None:
            for key, mask in change.parts.items():
                behaviour = base.behaviour(shape, key, mask, held, change, dead)
                now[behaviour] = now.get(behaviour, 0) | mask
        same = 0
        for mask, behaviour in old:
            same |= mask & now.get(behaviour, 0)
        self._edges[shape] = [(mask, behaviour) for behaviour, mask in now.items()]
        moved = base.to.all & ~same
        if moved:
            self._moved[shape] = moved

    def _fixed(self, silent: bool) -> dict[int, int]:
        """The least fixed point, of what is touched."""
        base, touched = self.base, self.touched
        known = _Known(base.good)
        edges: dict[int, Edges] = {}
        parents: dict[int, list[int]] = {}
        for shape, mask in touched.items():
            known[shape] = base.good[shape] & ~mask
            here = []
            for some, behaviour in self._edges.get(shape, base.edges[shape]):
                if some & mask:
                    here.append((some & mask, behaviour))
                    for beyond in behaviour.onward:
                        if beyond in touched:
                            parents.setdefault(beyond, []).append(shape)
            edges[shape] = here
        queue = deque(touched)
        queued = set(touched)
        switch = base.shapes.all
        while queue:
            shape = queue.popleft()
            queued.discard(shape)
            more = base.value(edges[shape], switch[shape].switch, known, silent) & ~known[shape]
            if more:
                known[shape] |= more
                for parent in parents.get(shape, ()):
                    if parent not in queued:
                        queued.add(parent)
                        queue.append(parent)
        return known

    def lost(self, shape: int) -> int:
        """The destinations whose frames of a shape certainly arrived, and do no more."""
        mask = self.touched.get(shape, 0) & self.base.good[shape]
        return mask & ~self.good[shape] if mask else 0

    def unsafe(self, shape: int) -> int:
        """Of those that are lost, those that don't just end somewhere."""
        lost = self.lost(shape)
        if not lost:
            return 0
        if not self._safe:
            self._safe = self._fixed(True)
        return lost & ~self._safe[shape]

    def speaks(self, shape: int) -> int:
        """The destinations whose frames of a shape ended at this very switch, and do no more."""
        moved = self._moved.get(shape, 0)
        if not moved:
            return 0
        return moved & self.base.silent(shape) & ~_silent(self._edges[shape])

    def outcome(self, state: State) -> tuple[Outcome, ...] | None:
        """The one outcome of a state that is certain now."""
        which = self.base.shapes.of(state)
        if which is None:
            return None
        shape, number = which
        if shape >= self._looked:
            return None
        if self.touched.get(shape, 0) >> number & 1:
            certain = self.good[shape] >> number & 1
        else:
            certain = self.base.good[shape] >> number & 1
        return self.base.arrival(state, number) if certain else None

    def is_touched(self, state: State) -> bool:
        """Whether something differs for a state that was certain; or it is one that nobody had looked at."""
        which = self.base.shapes.of(state)
        if which is None:
            return False
        shape, number = which
        return shape >= self._looked or bool(self.touched.get(shape, 0) >> number & 1)


class _Known(dict[int, int]):
    """What is known of each shape: as before, where nothing is touched."""

    def __init__(self, before: list[int]) -> None:
        super().__init__()
        self._before = before

    def __missing__(self, shape: int) -> int:
        return self._before[shape]
