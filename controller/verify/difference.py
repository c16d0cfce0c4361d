"""A lab that differs from the one that is verified in some tables or dead ports: what has to be looked at.

VeriFlow (Khurshid et al., NSDI 2013) computes a change by the classes that it touches. Here it is also left
where what follows is the same again: at states that certainly arrive before and after.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.flow.tables import SwitchTables, Table
from controller.verify.certain import Certain, Changed
from controller.verify.dependence import Dependence, Same
from controller.verify.destinations import bits
from controller.verify.lookup import SwitchIndex
from controller.verify.outcomes import Fabric
from controller.verify.states import State


class Verified:
    """The lab as it should be, once all of it has been looked at."""

    def __init__(
        self,
        fabric: Fabric,
        certain: Certain,
        tables: Mapping[str, SwitchTables],
        indexes: Mapping[str, SwitchIndex],
        dependence: Dependence,
    ) -> None:
        self.fabric, self.certain, self.tables, self.indexes = fabric, certain, tables, indexes
        self.dependence = dependence
        self.entries: dict[int, dict[int, State]] = {}
        """Shape -> destination -> the state, of those that states lead to which are not certain."""
        for state in dependence.entries():
            which = certain.shapes.of(state)
            if which is not None and which[0] < len(certain.good) and certain.good[which[0]] >> which[1] & 1:
                self.entries.setdefault(which[0], {})[which[1]] = state
        self.masks = {shape: sum(1 << number for number in states) for shape, states in self.entries.items()}


class Difference:
    """``changed``: what is certain now. ``stale``: states that may have other outcomes; ``touched``: also
    those of which something on the way has changed. ``covered``: False when more matters to the other tables
    than before, so that states can't be compared. ``answering``: switches that may give other answers.
    ``fabric``: the lab as it is then."""

    def __init__(
        self, base: Verified, tables: Mapping[str, SwitchTables], dead: Mapping[str, frozenset[int]]
    ) -> None:
        certain, dependence = base.certain, base.dependence
        space = base.fabric.space
        others = {name: now for name, now in tables.items() if now is not base.tables[name]}
        changes = {name: certain.held[name].other(now) for name, now in others.items()}
        self.answering = {
            name
            for name, change in changes.items()
            if any(flow.table is not Table.FORWARD for flow in (*change.added, *change.gone))
        }
        indexes = Same(tables, base.indexes)
        doubtful = {name: indexes[name] for name, change in changes.items() if not certain.covered(change)}
        self.covered = not doubtful or space.reads.covers(space.reads_of(doubtful))
        if not self.covered:
            return
        self.changed = Changed(certain, changes, dead)
        states = dependence.at_ports(dead)
        for name, change in changes.items():
            states |= dependence.of_change(name, base.tables[name], others[name], change)
        lost, touched = set(states), set(states)
        for shape, mask in self.changed.touched.items():
            mask &= base.masks.get(shape, 0)
            if mask:
                gone = self.changed.lost(shape)
                for number in bits(mask):
                    state = base.entries[shape][number]
                    touched.add(state)
                    if gone >> number & 1:
                        lost.add(state)
        self.stale = dependence.leading_to(lost)
        self.touched = self.stale if lost == touched else dependence.leading_to(touched)
        self.fabric = Fabric(
            space,
            indexes,
            dead,
            base=base.fabric,
            changed=_Either(states, self.changed),
            stale=_Either(self.stale, self.changed),
            certain=self.changed.outcome,
        )


class _Either:
    """States that are in a set, or of shapes that something touches."""

    def __init__(self, states: set[State], changed: Changed) -> None:
        self._states, self._changed = states, changed

    def __contains__(self, state: object) -> bool:
        return state in self._states or (isinstance(state, State) and self._changed.is_touched(state))
