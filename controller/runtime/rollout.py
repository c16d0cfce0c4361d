"""Bringing switches from one set of tables to another in stages that all of them pass together.

A packet meets several switches, which change one after the other.  Two-phase updates (Reitblatt et al.,
"Abstractions for network update", SIGCOMM 2012) keep every packet within the old tables or within the new
ones: what the new ones need is added first, then what sends packets there is turned over, and the old is
removed when nothing can be on its way by it.  Which tables that makes is decided by
``controller.update.difference.stages``; here is when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controller.flow.tables import SwitchTables
from controller.update.consistent_update import teaches
from controller.update.joining import NOBODY, Joining

Tables = Mapping[str, SwitchTables]
Stages = Callable[[Tables, Tables, Joining], list[dict[str, SwitchTables]]]


class Rollout:
    """What switches should hold now (``wanted``), and after that (``later``), the aim last.

    ``drain``: seconds between the moment when all have confirmed a stage and the next one, if that
    only removes. ``pause``: the same before any other: what a switch has confirmed it takes up within
    that time in its cache, flow by flow (Open vSwitch's revalidators).
    """

    def __init__(self, drain: float, pause: float, stages: Stages) -> None:
        self.wanted: dict[str, SwitchTables] = {}
        self.later: list[dict[str, SwitchTables]] = []
        self.stage, self.of = 1, 1
        self._drain, self._pause, self._stages = drain, pause, stages
        self._drained: float | None = None
        self._lesson = 0.0

    def aim(self, tables: Tables, staged: bool, joining: Joining = NOBODY, lesson: float = 0.0) -> None:
        """New tables. Not ``staged``: at once, unless stages are in progress.

        Those are left where they are: the new ones start from what is wanted now.  ``joining``: what has to
        be taught; ``lesson``: for how many seconds.
        """
        self._lesson = lesson
        steps = self._stages(self.wanted, tables, joining) if staged or self.later else [dict(tables)]
        self.wanted, *self.later = steps or [dict(tables)]
        self.stage, self.of = 1, 1 + len(self.later)
        self._drained = None

    def advance(self, confirmed: bool, now: float) -> bool:
        """Take the next stage, if ``confirmed`` (everyone holds this one) and it is time: whether it did."""
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
        """When `advance` can succeed without anything else happening."""
        return self._drained


def _only_removes(old: Tables, new: Tables) -> bool:
    """Whether the new tables hold less than the old ones and nothing else: what is on its way may need it."""
    less = False
    for name, tables in new.items():
        before = old.get(name)
        if before is tables:
            continue
        if before is None:
            return False
        have, keep = ({flow.cookie for flow in each.flows} for each in (before, tables))
        groups = {group.id: group for group in before.groups}
        if not keep <= have or any(groups.get(group.id) != group for group in tables.groups):
            return False
        less = less or keep != have or len(groups) != len(tables.groups)
    return less
