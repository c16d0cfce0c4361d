"""Which switches cut links part. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from topologies.model.overlay import connected_components
from topologies.model.topology import Topology


class Apart:
    """Of one set of cut links. ``functions``: the switches of functions that chains need. ``whole``: no
    switches are parted that were joined before."""

    def __init__(
        self, before: Mapping[str, int], after: Mapping[str, int], functions: frozenset[str]
    ) -> None:
        self._before, self._after = before, after
        self.whole = len(set(before.values())) == len(set(after.values()))
        self._functions = functions

    @classmethod
    def by(cls, topology: Topology, cut: Iterable[str]) -> Apart:
        """Those that are apart when these links are cut."""
        gone = set(cut)
        names = [switch.name for switch in topology.switches]
        every = [(link.a.switch, link.b.switch) for link in topology.links]
        left = [(link.a.switch, link.b.switch) for link in topology.links if link.name not in gone]
        functions = frozenset(
            function.switch for function in topology.functions if function.switch is not None
        )
        return cls(connected_components(names, every), connected_components(names, left), functions)

    def are(self, one: str, other: str) -> bool:
        """Whether links joined these before, and don't now."""
        return self._before[one] == self._before[other] and self._after[one] != self._after[other]

    def may_be_cut_off(self, one: str, other: str) -> bool:
        """Whether packets from one to the other may be lost for good: they or a function are apart."""
        if self.whole:
            return False
        return any(self.are(one, there) or self.are(other, there) for there in (other, *self._functions))
