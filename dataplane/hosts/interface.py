"""A device that the IP stack of its network namespace uses: addresses, routes, MTU, offloads.

This is the near end of a wire of a host that is a namespace, and of a function with addresses.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from dataplane.hosts import congestion
from dataplane.hosts.offloads import set_offloads
from dataplane.netlink.overlay import (
    RT_TABLE_MAIN,
    Hop,
    add_rule,
    delete_route,
    delete_rule,
    set_largest,
    set_mtu,
    set_route,
)
from dataplane.netlink.route import Request, add_address, delete_address, set_index
from dataplane.netlink.shaping import LARGEST
from dataplane.sandbox import namespaces
from dataplane.sandbox.namespaces import Namespace, run_in

if TYPE_CHECKING:
    from dataplane.plan.pieces import WirePlan

EVERYWHERE: dict[int, IPv4Network | IPv6Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
_LATER = 1024
"""More than the kernel's own metric of routes to subnets: 0, and 256 for IPv6."""
UNSET = frozenset({errno.ESRCH, errno.EADDRNOTAVAIL, errno.EEXIST})
"""The kernel's errors for an address or route that a user has already changed by hand."""


def configure(space: Namespace, wire: WirePlan) -> None:
    """Set addresses, routes, MTU and offloads of a new device, and set its namespace's loopback up."""
    # By name: if tunnel modules are loaded, a new namespace already has devices (sit0, ...).
    device = space.netlink.index_of(wire.near.device)
    requests = [set_index(namespaces.LOOPBACK, True)]
    requests += [set_mtu(device, wire.mtu)] if wire.mtu != 1500 and not wire.thick else []
    requests += [set_largest(device, wire.largest)] if wire.largest != LARGEST else []
    requests += [add_address(device, address, _metric(wire)) for address in wire.addresses]
    requests += _routes(device, wire)
    space.netlink.run(requests)
    if wire.table:
        _answer_for_itself(space, wire)
        space.netlink.run([add_rule(address.ip, wire.table) for address in wire.addresses], UNSET)
    if wire.congestion:
        congestion.use(space, wire.congestion)
    if wire.whole:
        _set_offloads(space, wire, False)


def _routes(device: int, wire: WirePlan) -> list[Request]:
    """The routes by the wire's gateways, and others; in a table of its own also its subnets."""
    table = wire.table or RT_TABLE_MAIN
    own = [address.network for address in wire.addresses] if wire.table else []
    requests = [set_route(network, [Hop(device, None)], table=table) for network in own]
    requests += [
        set_route(EVERYWHERE[gateway.version], [Hop(device, gateway)], table=table)
        for gateway in wire.gateways
    ]
    return requests + [set_route(route.to, [Hop(device, route.via)]) for route in wire.routes]


def _metric(wire: WirePlan) -> int:
    """That of the route to the wire's subnet in the main table. What the host itself begins leaves by its
    first interface of a subnet, whichever device the kernel got last."""
    return _LATER + wire.table if wire.table else 0


def _answer_for_itself(space: Namespace, wire: WirePlan) -> None:
    """Let the device answer and ask by ARP for its own addresses only: another one has the same subnet, maybe
    (arp_ignore, arp_announce in the kernel's ip-sysctl)."""
    settings = {
        f"ipv4/conf/all/{name}": value for name, value in (("arp_ignore", "1"), ("arp_announce", "2"))
    }
    run_in(space.fd, partial(namespaces.write_settings, settings))


def reconfigure(space: Namespace, old: WirePlan, new: WirePlan) -> None:
    """Change the configuration of the device from ``old`` to ``new``."""
    device = space.netlink.index_of(new.near.device)
    requests: list[Request] = []
    requests += [set_mtu(device, new.mtu)] if old.mtu != new.mtu else []
    requests += [set_largest(device, new.largest)] if old.largest != new.largest else []
    if old.table:
        requests += [delete_rule(address.ip, old.table) for address in old.addresses]
    # The old ones first: with the first address of a subnet the kernel deletes all others of it. They also
    # come anew where the route to their subnet gets another metric.
    stay = {*old.addresses} & {*new.addresses} if _metric(old) == _metric(new) else set()
    requests += [delete_address(device, address) for address in old.addresses if address not in stay]
    requests += [
        add_address(device, address, _metric(new)) for address in new.addresses if address not in stay
    ]
    kept = {gateway.version for gateway in new.gateways} if old.table == new.table else set()
    table = old.table or RT_TABLE_MAIN
    requests += [delete_route(EVERYWHERE[g.version], table) for g in old.gateways if g.version not in kept]
    requests += [delete_route(route.to) for route in old.routes if route not in new.routes]
    # The kernel forgets a default route with the address that it needed: set them all again.
    requests += _routes(device, new)
    if new.table:
        requests += [add_rule(address.ip, new.table) for address in new.addresses]
        _answer_for_itself(space, new)
    if replace(old, whole=new.whole) != new:
        space.netlink.run(requests, UNSET)
    if old.congestion != new.congestion:
        congestion.use(space, new.congestion)
    if old.whole != new.whole:
        _set_offloads(space, new, not new.whole)


def _set_offloads(space: Namespace, wire: WirePlan, on: bool) -> None:
    """Allow or forbid offloads: packets that another device segments and checksums. Raises OSError."""
    run_in(space.fd, lambda: set_offloads(wire.near.device, on))
