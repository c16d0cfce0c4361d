"""The wires of a running lab: pairs of devices between a switch and a host, a function or a switch."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby

from dataplane.change.operations import End as Device
from dataplane.fabric.hosts import Hosts
from dataplane.fabric.spaces import Spaces
from dataplane.hosts import interface
from dataplane.netlink.overlay import move_device, set_mtu
from dataplane.netlink.route import (
    End,
    Request,
    Socket,
    add_address,
    add_bridge,
    add_veth,
    delete_link,
    notice_carrier,
    set_index,
    set_link,
)
from dataplane.netlink.shaping import qdiscs, reshape
from dataplane.plan.lab import MANAGEMENT
from dataplane.plan.pieces import DomainPlan, EndPlan, WirePlan
from dataplane.sandbox import namespaces
from dataplane.sandbox.namespaces import run_in
from linux.carrier import PATIENCE, await_carrier

BRIDGE = "mgmt0"
NOTICED = 80
"""Devices whose carriers a kernel notices in a second, at least."""
GONE = frozenset({errno.ENODEV})
"""The kernel's error for a device that is already deleted: a pair is deleted with either end."""


class Wires:
    """Makes, moves and removes wires between the namespaces ``spaces``. Drivers configure those of ``hosts``.

    The caller's network namespace is the management network, in all calls.
    """

    def __init__(self, spaces: Spaces, hosts: Hosts) -> None:
        self._spaces = spaces
        self._hosts = hosts

    def make_management(self, domains: Sequence[DomainPlan]) -> None:
        """Join every domain to the management network, where its switches find their controllers."""
        with closing(Socket()) as netlink:
            netlink.run([set_index(namespaces.LOOPBACK, True), add_bridge(BRIDGE)])
            bridge = socket.if_nametoindex(BRIDGE)
            requests = [add_address(bridge, MANAGEMENT)]
            for index, domain in enumerate(domains):
                # The kernel accepts a master for the first end only, so the bridge's end comes first.
                port = End(f"mgmt-{index}", up=True, master=bridge)
                requests.append(add_veth(port, End("mgmt", self._spaces[domain.netns].fd)))
            netlink.run(requests)
        for domain in domains:
            space = self._spaces[domain.netns]
            # We look it up by name: Open vSwitch makes devices in this namespace at the same time.
            device = space.netlink.index_of("mgmt")
            requests = [add_address(device, domain.address), set_index(device, True)]
            space.netlink.run([*requests, set_index(namespaces.LOOPBACK, True)])
            # The only device of this namespace that may answer ARP for its address.
            answers = {"ipv4/conf/mgmt/arp_ignore": "1"}
            run_in(space.fd, partial(namespaces.write_settings, answers))
        with closing(Socket()) as netlink:
            for index in range(len(domains)):
                netlink.run([notice_carrier(f"mgmt-{index}")])

    def make(self, wires: Sequence[WirePlan]) -> None:
        """Make pairs of devices, up at both ends and shaped; addresses are for ``address``."""
        with closing(Socket()) as netlink:
            netlink.run(
                add_veth(
                    self._end(wire.near, wire.mtu if wire.thick else None, up=True),
                    self._end(wire.far, wire.far_mtu),
                )
                for wire in wires
            )
        self._spaces.deafen_ports([end for wire in wires for end in (wire.near, wire.far)])
        self._raise_ends(wire.far for wire in wires)
        # The far ends work now; the near ones were up before they had a carrier.
        self._notice_carriers((view.near.netns, view.near.device) for wire in wires for view in wire.views)
        for wire in wires:
            # Each direction of a wire is shaped at the device where it leaves a switch or a host.
            for end, way in wire.ends if wire.shaping else ():
                own = self._spaces[end.netns].netlink
                own.run(qdiscs(own.index_of(end.device), way, wire.mtu))

    def _end(self, end: EndPlan, mtu: int | None, up: bool = False) -> End:
        return End(end.device, self._spaces[end.netns].fd, end.mac, mtu, up=up)

    def _raise_ends(self, ends: Iterable[EndPlan]) -> None:
        """Set devices up. The second end of a veth pair can't be created up, and Open vSwitch doesn't set it
        up."""
        by_netns: dict[str, list[Request]] = {}
        for end in ends:
            by_netns.setdefault(end.netns, []).append(set_link(end.device, True))
        for netns, requests in by_netns.items():
            self._spaces[netns].netlink.run(requests)

    def address(self, wires: Iterable[WirePlan]) -> None:
        """Configure the near ends of new wires in hosts and functions."""
        for wire in wires:
            for view in wire.views:
                host = self._hosts.at(view.near.netns)
                if host is None:
                    interface.configure(self._spaces[view.near.netns], view)
                else:
                    self._hosts.wire_in(host, view)

    def configure(self, old: WirePlan, new: WirePlan) -> None:
        """Change the near end's addresses or default routes, the MTU or the shaping in place."""
        if old.far_mtu != new.far_mtu and new.back is None:
            far = self._spaces[new.far.netns].netlink
            far.run([set_mtu(far.index_of(new.far.device), new.far_mtu)])
        if (old.shaping, old.mtu) != (new.shaping, new.mtu):
            for (end, way), (_, was) in zip(new.ends, old.ends, strict=True):
                own = self._spaces[end.netns].netlink
                own.run(reshape(own.index_of(end.device), (was, old.mtu), (way, new.mtu)))
        for before, view in zip(old.views, new.views, strict=True):
            host = self._hosts.at(view.near.netns)
            if host is None:
                interface.reconfigure(self._spaces[view.near.netns], before, view)
            else:
                self._hosts.rewire(host, before, view)

    def restore(self, wire: WirePlan) -> None:
        """Give the ends of a wire between hosts, which were down, the addresses and routes that the kernel
        has forgotten."""
        for view in wire.views:
            if (host := self._hosts.at(view.near.netns)) is not None:
                self._hosts.rewire(host, view.unaddressed, view)

    def move(self, old: WirePlan, new: WirePlan) -> None:
        """Move the far end to another namespace. The near end stays unchanged."""
        here, there = self._spaces[old.far.netns].netlink, self._spaces[new.far.netns]
        here.run([move_device(here.index_of(old.far.device), there.fd, new.far.device)])
        self._spaces.deafen_ports([new.far])
        index = there.netlink.index_of(new.far.device)
        # A device that stays in its namespace keeps its queueing disciplines.
        comes = old.far.netns != new.far.netns
        shaping = qdiscs(index, new.shaping.ways[1], new.mtu) if comes else []
        there.netlink.run([*shaping, set_mtu(index, new.far_mtu), set_index(index, True)])
        self._notice_carriers([(new.near.netns, new.near.device)])

    def remove(self, wire: WirePlan) -> None:
        """Delete a pair of devices."""
        # Delete it by the switch's end: the host may have renamed or moved the other end. A wire between
        # hosts is gone if one of them still knows its own.
        for end in (wire.far, wire.near) if wire.back is not None else (wire.far,):
            self._spaces[end.netns].netlink.run([delete_link(end.device)], GONE)

    def set_ends(self, ends: Iterable[Device], up: bool, gone: frozenset[int] = frozenset()) -> None:
        """Set devices up or down, in the order of their names. ``gone``: errors of the kernel (errno) for
        a device that does not exist, which are ignored."""
        for netns, device in sorted(ends):
            self._spaces[netns].netlink.run([set_link(device, up)], gone)

    def await_carriers(self, ends: Iterable[Device]) -> None:
        """Wait until packets pass devices that were set up, for a time at most that kernels need to notice
        so many carriers."""
        waiting = sorted(ends)
        deadline = time.monotonic() + PATIENCE + len(waiting) / NOTICED
        for netns, some in groupby(waiting, _netns_of):
            space, devices = self._spaces[netns], [device for _, device in some]
            if not run_in(space.fd, partial(await_carrier, devices, 0.0)):
                self._notice_carriers((netns, device) for device in devices)
                run_in(space.fd, partial(await_carrier, devices, deadline - time.monotonic()))

    def _notice_carriers(self, ends: Iterable[Device]) -> None:
        # One at a time: the answers to many would not fit in the socket's buffer.
        for netns, device in ends:
            self._spaces[netns].netlink.run([notice_carrier(device)], GONE)


def _netns_of(end: Device) -> str:
    return end[0]
