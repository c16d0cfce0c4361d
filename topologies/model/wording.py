"""How a topology file names addresses: its groups, and the names in its rules and chains. Pure.

What a file names is resolved to addresses; a file that is saved has the names again.
"""

from __future__ import annotations

from pydantic import Field

from topologies.model.places import Entity
from topologies.model.values import Frozen


class Wording(Frozen):
    """The names of one file; empty for a topology that comes from no file.

    ``groups``: each group of the file and its entries. ``own``: those of firewalls, by the function's name.
    ``ends``: what the entry of a rule or chain has as a source or destination, by ``end``.
    """

    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    own: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)
    ends: dict[str, tuple[str, ...]] = Field(default_factory=dict)


def end(entity: Entity, key: str) -> str:
    """The key of ``Wording.ends``. ``key``: ``source`` or ``destination``."""
    return f"{entity} {key}"


UNNAMED = Wording()
"""Of a topology that comes from no file."""
