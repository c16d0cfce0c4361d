"""Chooses links that become devices, so that no packet passes too many switches in one translation.

Open vSwitch follows a packet through patch ports from switch to switch in one translation, at most 64 deep
(``MAX_DEPTH`` in its ofproto/ofproto-dpif-xlate.c).  Measured by ofproto/trace and by packets with Open
vSwitch 3.1: a switch costs 1, and 2 if a select group spreads packets over equal paths.  So 64 switches in a
row work, or 32 with parallel links everywhere, and with one more all packets are lost.  At a device, the
packet is received again, and the count starts again.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from topologies.model.topology import Topology

STRETCH = 30
"""Most switches that patch ports join: within 64 at a cost of 2 each, with a tunnel switch behind them."""
STRETCH_BEFORE_TUNNELS = 15
"""The same where tunnel switches may join two such sets of one domain (uplinks are patch ports, too)."""

_LOOKED_AT = 400
"""In a larger set of switches, the search for the longest path takes too long (0.25 s)."""

Neighbours = Mapping[str, list[str]]


def breaks(
    topology: Topology,
    devices: frozenset[str] = frozenset(),
    links_down: frozenset[str] = frozenset(),
    switches_down: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """The links between switches of one domain that must be devices for the sake of long paths.

    None, if every shortest path is short in the lab whose ``links_down`` are cut and whose ``switches_down``
    have failed.  Otherwise so many that patch ports connect at most ``STRETCH`` switches. Then no path is too
    long, whatever is cut in addition.  ``devices``: links that are devices already.
    """
    most = STRETCH if topology.underlay is None else STRETCH_BEFORE_TUNNELS
    domain = {switch.name: switch.domain for switch in topology.switches if switch.name not in switches_down}
    gone = devices | links_down
    links = [
        link
        for link in topology.links
        if link.name not in gone
        and not link.shaping
        and domain.get(link.a.switch, link.a) == domain.get(link.b.switch, link.b)
    ]
    neighbours: dict[str, list[str]] = {}
    for link in links:
        neighbours.setdefault(link.a.switch, []).append(link.b.switch)
        neighbours.setdefault(link.b.switch, []).append(link.a.switch)
    part: dict[str, str] = {}
    seen: set[str] = set()
    for first in neighbours if len(domain) > most else ():
        if first not in seen:
            joined, depth, _ = _breadth_first(neighbours, first)
            seen.update(joined)
            if len(joined) > most and 2 * depth[joined[-1]] >= most:
                order, _, parent = _breadth_first(neighbours, joined[-1])
                if _is_long(neighbours, order, most):
                    part |= _parts(order, parent, most)
    return frozenset(
        link.name for link in links if part.get(link.a.switch, "") != part.get(link.b.switch, "")
    )


def _breadth_first(neighbours: Neighbours, first: str) -> tuple[list[str], dict[str, int], dict[str, str]]:
    """The switches by rising distance from the first; their distances; each one's predecessor."""
    order, depth, parent = [first], {first: 0}, {}
    for switch in order:
        for other in neighbours[switch]:
            if other not in depth:
                depth[other], parent[other] = depth[switch] + 1, switch
                order.append(other)
    return order, depth, parent


def _is_long(neighbours: Neighbours, switches: list[str], most: int) -> bool:
    """Whether a shortest path passes more than ``most`` switches; True without a check for a large set."""
    if len(switches) > _LOOKED_AT:
        return True
    for first in switches:
        order, depth, _ = _breadth_first(neighbours, first)
        if depth[order[-1]] >= most:
            return True
    return False


def _parts(order: Iterable[str], parent: Mapping[str, str], most: int) -> dict[str, str]:
    """Switch -> the first switch of its part: a tree is cut into parts of at most ``most`` switches."""
    listed = list(order)
    size = dict.fromkeys(listed, 1)
    whole: dict[str, bool] = {}
    for switch in reversed(listed[1:]):
        above = parent[switch]
        whole[switch] = size[above] + size[switch] <= most
        if whole[switch]:
            size[above] += size[switch]
    part: dict[str, str] = {}
    for switch in listed:
        part[switch] = part[parent[switch]] if whole.get(switch) else switch
    return part
