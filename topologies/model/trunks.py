"""Trunks: wires of hosts on which the frames of several networks carry VLAN tags (IEEE 802.1Q). Pure.

For the switch, each VLAN of a trunk is an access port of its own, in the VLAN's network. What is between
these ports and the wire puts the tags on and takes them off; see ``dataplane.plan.trunks``.
"""

from __future__ import annotations

from typing import NamedTuple

from topologies.model.topology import Host, Topology


class Trunk(NamedTuple):
    """A trunk of the host ``node``: its ``device`` there, its switch, and an interface for each VLAN."""

    node: str
    device: str
    switch: str
    vlans: tuple[Host, ...]

    @property
    def name(self) -> str:
        """Its name among wires: ``r1-eth0``, or ``r1-up`` for a device whose name the file gives."""
        return self.device if self.device.startswith(f"{self.node}-") else f"{self.node}-{self.device}"

    @property
    def tags(self) -> tuple[int, ...]:
        """The identifiers in the tags of its frames, sorted."""
        return tuple(sorted(host.vlan for host in self.vlans if host.vlan is not None))


def trunks(topology: Topology) -> tuple[Trunk, ...]:
    """All trunks of a lab, in the order of its hosts."""
    members: dict[tuple[str, str], list[Host]] = {}
    for host in topology.hosts:
        if host.trunk:
            members.setdefault((host.node, host.trunk), []).append(host)
    return tuple(
        Trunk(node, device, some[0].at.switch, tuple(some)) for (node, device), some in members.items()
    )


def beside(topology: Topology, host: Host) -> tuple[Host, ...]:
    """The interfaces on the trunk of ``host``, it included; it alone if it is on no trunk."""
    if not host.trunk:
        return (host,)
    return tuple(other for other in topology.hosts if (other.node, other.trunk) == (host.node, host.trunk))
