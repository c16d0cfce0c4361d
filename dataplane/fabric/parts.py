"""The parts of a running lab. Each part keeps its own state."""

from __future__ import annotations

from dataclasses import dataclass

from dataplane.fabric.hosts import Hosts
from dataplane.fabric.spaces import Spaces
from dataplane.fabric.switches import Switches
from dataplane.fabric.underlay import UnderlayFabric
from dataplane.fabric.wires import Wires


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one lab."""

    spaces: Spaces
    hosts: Hosts
    wires: Wires
    switches: Switches
    underlay: UnderlayFabric
