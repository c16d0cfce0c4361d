"""Operations on the data plane of a running lab, as values. Each operation can be undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from dataplane.plan.pieces import HostPlan, PortPlan, SpaceKind, WirePlan
from dataplane.plan.trunks import TrunkPlan
from dataplane.plan.underlay import VxlanPlan

End = tuple[str, str]
"""A device: the file name of its namespace, and the device's name."""


@dataclass(frozen=True, slots=True)
class AddSpace:
    """Make a network namespace. ``host``: it is a host's; the host starts when its wire exists."""

    netns: str
    kind: SpaceKind
    host: HostPlan | None = None

    def undone(self) -> RemoveSpace:
        return RemoveSpace(self.netns, self.kind, self.host)


@dataclass(frozen=True, slots=True)
class RemoveSpace:
    """End all processes in a namespace, and remove it."""

    netns: str
    kind: SpaceKind
    host: HostPlan | None = None

    def undone(self) -> AddSpace:
        return AddSpace(self.netns, self.kind, self.host)


@dataclass(frozen=True, slots=True)
class AddWire:
    """Make a pair of devices with its shaping and addresses; both ends are up."""

    wire: WirePlan

    def undone(self) -> RemoveWire:
        return RemoveWire(self.wire)


@dataclass(frozen=True, slots=True)
class RemoveWire:
    """Delete a pair of devices."""

    wire: WirePlan

    def undone(self) -> AddWire:
        return AddWire(self.wire)


@dataclass(frozen=True, slots=True)
class MoveWire:
    """Move the far end to another switch. The near end keeps its place and configuration. Both ends are up
    then."""

    old: WirePlan
    new: WirePlan

    def undone(self) -> MoveWire:
        return MoveWire(self.new, self.old)


@dataclass(frozen=True, slots=True)
class ConfigureWire:
    """Change the near end's addresses or default routes, the MTU or the shaping in place."""

    old: WirePlan
    new: WirePlan

    def undone(self) -> ConfigureWire:
        return ConfigureWire(self.new, self.old)


@dataclass(frozen=True, slots=True)
class SetPorts:
    """Remove ports from a switch and add others, in one transaction."""

    switch: str
    lost: frozenset[PortPlan]
    gained: frozenset[PortPlan]

    def undone(self) -> SetPorts:
        return SetPorts(self.switch, self.gained, self.lost)


@dataclass(frozen=True, slots=True)
class SetShaped:
    """Change whether Open vSwitch leaves the queueing disciplines of ports alone. The ports stay."""

    switch: str
    lost: frozenset[PortPlan]
    gained: frozenset[PortPlan]

    def undone(self) -> SetShaped:
        return SetShaped(self.switch, self.gained, self.lost)


@dataclass(frozen=True, slots=True)
class SetTrunks:
    """Remove the bridges of trunks, and add others."""

    lost: tuple[TrunkPlan, ...] = ()
    gained: tuple[TrunkPlan, ...] = ()

    def undone(self) -> SetTrunks:
        return SetTrunks(self.gained, self.lost)


@dataclass(frozen=True, slots=True)
class SetController:
    """Give a switch with empty tables to another controller; the controllers by their names."""

    switch: str
    old: str
    new: str

    def undone(self) -> SetController:
        return SetController(self.switch, self.new, self.old)


@dataclass(frozen=True, slots=True)
class SetTimeouts:
    """Change the timeouts of UDP connections in the connection tracking zones of a domain."""

    domain: str
    old: tuple[tuple[int, int], ...]
    new: tuple[tuple[int, int], ...]

    def undone(self) -> SetTimeouts:
        return SetTimeouts(self.domain, self.new, self.old)


@dataclass(frozen=True, slots=True)
class SetEnds:
    """Set devices up or down."""

    up: frozenset[End]
    down: frozenset[End]

    def undone(self) -> SetEnds:
        return SetEnds(self.down, self.up)


@dataclass(frozen=True, slots=True)
class AddTunnel:
    """Make a vxlan device with its forwarding database."""

    device: VxlanPlan

    def undone(self) -> RemoveTunnel:
        return RemoveTunnel(self.device)


@dataclass(frozen=True, slots=True)
class RemoveTunnel:
    """Delete a vxlan device."""

    device: VxlanPlan

    def undone(self) -> AddTunnel:
        return AddTunnel(self.device)


@dataclass(frozen=True, slots=True)
class Forward:
    """Change a vxlan device's forwarding database: (MAC, VTEP) entries, and default destinations.

    An address in both ``lost`` and ``gained`` is behind another VTEP now.
    """

    end: End
    lost: frozenset[tuple[str, IPv4Address]] = frozenset()
    gained: frozenset[tuple[str, IPv4Address]] = frozenset()
    flood_lost: frozenset[IPv4Address] = frozenset()
    flood_gained: frozenset[IPv4Address] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.lost or self.gained or self.flood_lost or self.flood_gained)

    def undone(self) -> Forward:
        return Forward(self.end, self.gained, self.lost, self.flood_gained, self.flood_lost)


@dataclass(frozen=True, slots=True)
class SetMtu:
    """Change a vxlan device's MTU, in bytes."""

    end: End
    old: int
    new: int

    def undone(self) -> SetMtu:
        return SetMtu(self.end, self.new, self.old)


Wires = AddWire | RemoveWire | MoveWire | ConfigureWire | SetEnds
Tunnels = AddTunnel | RemoveTunnel | Forward | SetMtu
Switching = SetPorts | SetShaped | SetTrunks | SetController | SetTimeouts
Operation = AddSpace | RemoveSpace | Wires | Switching | Tunnels


def undone(operations: Iterable[Operation]) -> list[Operation]:
    """The operations that undo ``operations``, which were done in this order."""
    return [operation.undone() for operation in reversed(list(operations))]
