"""Routes of the underlay: computes next hops on all shortest paths from the links that are up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from dataplane.plan.underlay import UnderlayPlan


class Via(NamedTuple):
    """A next hop: out of ``device``, to the neighbour's address ``gateway``."""

    device: str
    gateway: IPv4Address


Routes = Mapping[str, Mapping[IPv4Network, tuple[Via, ...]]]
"""Node -> VTEP's /32 -> next hops, sorted; no entry if there is no path."""


def routes(
    plan: UnderlayPlan, down: frozenset[str] = frozenset()
) -> dict[str, dict[IPv4Network, tuple[Via, ...]]]:
    """Every node's routes to every VTEP over all equal shortest paths; ``down``: names of dead links.

    Every link costs one hop. Domains are ends of paths only: only routers forward.
    """
    out: dict[str, list[tuple[str, Via]]] = {node: [] for node in plan.nodes}
    for link in plan.links:
        if link.name not in down:
            out[link.a.node].append((link.b.node, Via(link.a.device, link.b.address.ip)))
            out[link.b.node].append((link.a.node, Via(link.b.device, link.a.address.ip)))
    forwarding = set(plan.routers)
    routes_of: dict[str, dict[IPv4Network, tuple[Via, ...]]] = {node: {} for node in plan.nodes}
    for domain, address in plan.vteps.items():
        distance = {domain: 0}
        frontier = [domain]
        while frontier:
            following = []
            for node in frontier:
                if node != domain and node not in forwarding:
                    continue
                for other, _ in out[node]:
                    if other not in distance:
                        distance[other] = distance[node] + 1
                        following.append(other)
            frontier = following
        prefix = IPv4Network((address, 32))
        for node, away in distance.items():
            hops = [
                via
                for other, via in out[node]
                if distance.get(other) == away - 1 and (other == domain or other in forwarding)
            ]
            if hops:
                routes_of[node][prefix] = tuple(sorted(hops))
    return routes_of


class Change(NamedTuple):
    """One node's route to set, or (no ``hops``) to delete."""

    node: str
    to: IPv4Network
    hops: tuple[Via, ...]


def changes(old: Routes, new: Routes) -> list[Change]:
    """The changes from one set of routes to another."""
    differences = []
    for node, wanted in new.items():
        held = old.get(node, {})
        differences += [Change(node, to, hops) for to, hops in wanted.items() if held.get(to) != hops]
        differences += [Change(node, to, ()) for to in held if to not in wanted]
    return differences
