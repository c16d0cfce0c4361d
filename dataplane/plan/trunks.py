"""Trunks: what is between the ports of a trunk's VLANs at the switch and the host. Pure.

For the switch, each VLAN is a port of its own, whose frames have no tag. Two bridges of the domain's Open
vSwitch, with a wire between them, make a trunk of them: one puts tags on and takes them off for the switch,
the other for the host. On the wire between them, the frames of all VLANs carry their tags. The host has a
device for each VLAN, without tags, and the trunk's own device, where all that comes has its tag::

    switch --- patch ports --- (switch's side) === tagged wire === (host's side) --- r1-eth0.10, r1-eth0.20
                                                                                 === r1-eth0

That needs no VLAN devices in the kernel, and is the same on every machine. The bridges are Open vSwitch's own
VLAN switches (ovs-vswitchd.conf.db(5), Port, vlan_mode): an access port drops what has a tag already, and a
trunk drops what has none, or another one than those of its VLANs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataplane.plan.pieces import EndPlan, HostPlan, PortPlan, WirePlan
from topologies.model.trunks import Trunk


@dataclass(frozen=True, slots=True)
class TagPort:
    """A port of a bridge that tags. ``tag``: an access port of this VLAN; None: a trunk of all its VLANs."""

    port: PortPlan
    tag: int | None = None


@dataclass(frozen=True, slots=True)
class TagBridge:
    """A bridge that puts tags on and takes them off. ``tags``: of its VLANs."""

    device: str
    tags: tuple[int, ...]
    ports: tuple[TagPort, ...]


@dataclass(frozen=True, slots=True)
class TrunkPlan:
    """A trunk of a host: its two bridges, in the namespace ``netns`` of a domain; the ``wire`` of its own
    device in the host, and the ``tagged`` one between the bridges, whose near end is the host's.

    ``members``: the names of the interfaces on it.
    """

    name: str
    netns: str
    members: tuple[str, ...]
    bridges: tuple[TagBridge, ...]
    wire: WirePlan
    tagged: WirePlan

    @property
    def ends(self) -> frozenset[tuple[str, str]]:
        """The devices that are ports of its bridges: (namespace, device)."""
        return frozenset(
            (self.netns, port.port.device)
            for bridge in self.bridges
            for port in bridge.ports
            if port.port.is_device
        )


def short_name(device: str) -> str:
    """The name in the host of a trunk whose name can't be a device's: only names made of a host's name are
    too long."""
    return f"eth{device.rpartition('-eth')[2]}"


def patch(trunk: Trunk, number: int, tag: int) -> PortPlan:
    """The port of a switch for a VLAN of a trunk."""
    mark = _mark(trunk, trunk.switch)
    return PortPlan(f"_v{mark}-{tag}", number, f"_p{mark}-{tag}")


def trunk_plan(trunk: Trunk, hosts: Mapping[str, HostPlan], device: str) -> TrunkPlan:
    """The plan of a trunk. ``hosts``: the plans of all interfaces. ``device``: its name in the host."""
    mark = _mark(trunk)
    plans = [hosts[host.name] for host in trunk.vlans]
    netns = plans[0].far.netns
    mtu = max(plan.mtu for plan in plans)
    wire = WirePlan(EndPlan(plans[0].netns, device, plans[0].near.mac), EndPlan(netns, f"_h{mark}e"), mtu=mtu)
    tagged = WirePlan(
        EndPlan(netns, f"_h{mark}t"), EndPlan(netns, f"_s{mark}t"), mtu=max(mtu, 1500), thick=True
    )
    inner, outer = [], []
    for number, plan in enumerate(plans, 3):
        tag = plan.host.vlan
        inward = patch(trunk, plan.host.at.number, tag or 0)
        outer.append(TagPort(PortPlan(inward.peer or "", number, inward.device), tag))
        inner.append(TagPort(PortPlan(plan.far.device, number, shaped=bool(plan.shaping)), tag))
    bridges = (
        TagBridge(f"_s{mark}", trunk.tags, (TagPort(PortPlan(tagged.far.device, 1)), *outer)),
        TagBridge(
            f"_h{mark}",
            trunk.tags,
            (TagPort(PortPlan(tagged.near.device, 1)), TagPort(PortPlan(wire.far.device, 2)), *inner),
        ),
    )
    return TrunkPlan(trunk.name, netns, tuple(plan.name for plan in plans), bridges, wire, tagged)


def loose_ends(trunks: Iterable[TrunkPlan], down: frozenset[str]) -> set[tuple[str, str]]:
    """The ends to set down of trunks on which everything is cut. ``down``: interfaces whose wire is cut."""
    return {
        (trunk.wire.far.netns, trunk.wire.far.device) for trunk in trunks if down.issuperset(trunk.members)
    }


def _mark(trunk: Trunk, switch: str = "") -> str:
    """A part of names: hosts come and go in a running lab, so their numbers don't count. With ``switch``: of
    ports, whose names differ between switches."""
    name = f"{trunk.node}/{trunk.device}/{switch}"
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
