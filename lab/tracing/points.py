"""Where a packet can be seen in a lab: devices at which frames arrive, and what that means. Pure.

Each device port of a switch is a pair of devices: a frame that arrives at the switch's end enters the switch,
one that arrives at the other end has left it. So no mirror is needed, and nothing has to be removed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

from dataplane.plan.lab import Plan
from dataplane.plan.pieces import EndPlan

MOST_HOSTS = 128
"""In a lab with more hosts only those at the ends of the way are watched."""


class Point(NamedTuple):
    """A device. ``kind``: a frame that arrives there ``enters`` the switch ``name`` by its port ``number``,
    has reached a ``host`` or (``function``) an instance's device, or an end of an ``underlay`` link."""

    netns: str
    device: str
    kind: Literal["enters", "host", "function", "underlay"]
    name: str
    number: int = 0


def points(
    plan: Plan, seen_at: Mapping[str, EndPlan], ends: Collection[str], entered: Collection[tuple[str, int]]
) -> list[Point]:
    """The devices to watch. ``seen_at``: of each host. ``ends``: hosts at the ends of the way. ``entered``:
    ports of switches, beside those of functions."""
    watched = []
    ports = _ports(plan)
    by_device = {place: key for key, place in ports.items()}
    entered = set(entered)
    for instance in plan.instances:
        for wire in instance.wires:
            watched.append(Point(instance.netns, wire.near.device, "function", instance.name))
            key = by_device.get((wire.far.netns, wire.far.device))
            entered |= set() if key is None else {key}
    everybody = len(seen_at) <= MOST_HOSTS
    for host in plan.hosts:
        key = by_device.get((host.far.netns, host.far.device))
        entered |= {key} if key is not None and (everybody or host.name in ends) else set()
    watched += [Point(*ports[key], "enters", *key) for key in sorted(entered) if key in ports]
    for name, end in seen_at.items():
        if everybody or name in ends:
            watched.append(Point(end.netns, end.device, "host", name))
    for link in plan.underlay.links:
        watched += [Point(end.netns, end.device, "underlay", link.name) for end in (link.a, link.b)]
    return watched


def _ports(plan: Plan) -> dict[tuple[str, int], tuple[str, str]]:
    """(switch, port's number) -> namespace and device, of the ports that are devices."""
    ports = {
        (bridge.switch, port.number): (domain.netns, port.device)
        for domain in plan.domains
        for bridge in domain.bridges
        for port in bridge.ports
        if port.is_device
    }
    # the ports of VLANs on trunks are no devices, but the wires of these VLANs have ends
    hosts = {
        (host.switch, host.host.at.number): (host.far.netns, host.far.device)
        for host in plan.hosts
        if host.host.trunk
    }
    return ports | hosts
