"""Bringing the switches from one set of tables to another, in stages that all switches pass together.

A packet passes several switches, which change one after the other.  With two-phase updates (Reitblatt et al.,
"Abstractions for network update", SIGCOMM 2012) every packet meets only old tables or only new ones: first
the new flows are added, then the flows that send packets to them change, and old flows are removed when no
packet can be on its way by them.  ``controller.update.difference.stages`` decides the tables of each stage;
this module decides the times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controller.flow.tables import SwitchTables
from controller.update.consistent_update import teaches
from controller.update.joining import NOBODY, Joining

Tables = Mapping[str, SwitchTables]
Stages = Callable[[Tables, Tables, Joining], list[dict[str, SwitchTables]]]


class Rollout:
    """What switches should hold now (``wanted``), and in later stages (``later``); the last one is the aim.

    ``drain``: seconds after all switches have confirmed a stage, before the next one if that only removes
    flows. ``pause``: the same before any other stage: in this time a switch updates its cache, flow by flow
    (Open vSwitch's revalidators).
    """

    def __init__(self, drain: float, pause: float, stages: Stages) -> None:
        self.wanted: dict[str, SwitchTables] = {}
        self.later: list[dict[str, SwitchTables]] = []
        self.stage, self.of = 1, 1
        self._drain, self._pause, self._stages = drain, pause, stages
        self._drained: float | None = None
        self._lesson = 0.0

    def aim(self, tables: Tables, staged: bool, joining: Joining = NOBODY, lesson: float = 0.0) -> None:
        """New tables. Not ``staged``: in one stage, unless a rollout is in progress.

        That rollout ends at its present stage, and the new one starts from there.  ``joining``: the hops
        whose functions are to be taught; ``lesson``: for how many seconds.
        """
        self._lesson = lesson
        steps = self._stages(self.wanted, tables, joining) if staged or self.later else [dict(tables)]
        self.wanted, *self.later = steps or [dict(tables)]
        self.stage, self.of = 1, 1 + len(self.later)
        self._drained = None

    def advance(self, confirmed: bool, now: float) -> bool:
        """Begin the next stage if it is time and all switches hold this one (``confirmed``). Whether it
        began."""
        if not self.later or not confirmed:
            self._drained = None
            return False
        if self._drained is None:
            removes = _only_removes(self.wanted, self.later[0])
            wait = self._drain if removes else self._pause
            self._drained = now + (max(wait, self._lesson) if teaches(self.wanted) else wait)
        if now < self._drained:
            return False
        self.wanted = self.later.pop(0)
        self.stage += 1
        self._drained = None
        return True

    def next_due(self) -> float | None:
        """When `advance` may begin the next stage, without another event; None: not by time alone."""
        return self._drained


def _only_removes(old: Tables, new: Tables) -> bool:
    """Whether the new tables only remove flows or groups: packets on their way may still need these."""
    less = False
    for name, tables in new.items():
        before = old.get(name)
        if before is tables:
            continue
        if before is None:
            return False
        have, keep = ({flow.cookie for flow in held.flows} for held in (before, tables))
        groups = {group.id: group for group in before.groups}
        if not keep <= have or any(groups.get(group.id) != group for group in tables.groups):
            return False
        less = less or keep != have or len(groups) != len(tables.groups)
    return less
