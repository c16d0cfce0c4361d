"""Which ports must not flood, so that frames cannot circle: all that are outside of a spanning tree."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def blocked(wires: Iterable[tuple[str, str, str, str]]) -> set[str]:
    """The ports that must neither flood nor take flooded frames.

    ``wires``: (switch, its port, other switch, its port) of each wire that is up; names of ports are unique.
    The first wires of the list are kept: each of them joins switches that no earlier one joins.
    """
    root: dict[str, str] = {}

    def root_of(switch: str) -> str:
        while root.setdefault(switch, switch) != switch:
            root[switch] = switch = root[root[switch]]
        return switch

    outside: set[str] = set()
    for one, near, other, far in wires:
        first, second = root_of(one), root_of(other)
        if first == second:
            outside.update((near, far))
        else:
            root[second] = first
    return outside
