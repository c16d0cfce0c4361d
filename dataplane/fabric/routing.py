"""The underlay's routing: follows the kernel's link events and sets routes.

Data centres run an interior gateway protocol or BGP with equal-cost paths in the underlay, and BFD (RFC 5880)
to detect dead links that stay up.  A lab's wires are veth pairs: the kernel reports immediately that an end
is down, so BFD would add nothing.  A routing daemon for every router would cost megabytes and seconds.  So
when a link's state changes, one thread computes for all nodes what a link-state protocol computes.  It is not
part of the SDN controller and works without it, since the underlay doesn't know tenants.  Until the thread
has set the routes, the kernel itself omits next hops whose own link is down (ignore_routes_with_linkdown).

It can't detect a wire that is up and loses all packets.  A real network needs BFD for this.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time
from collections.abc import Mapping

from dataplane.netlink.overlay import Hop, delete_route, set_route
from dataplane.netlink.route import NetlinkError, Request, Socket, notice_carrier
from dataplane.plan.routes import Change, Routes, changes, routes
from dataplane.plan.underlay import UnderlayPlan
from dataplane.sandbox.namespaces import Namespace, run_in, write_settings
from linux.carrier import PATIENCE, is_up

RTMGRP_LINK = 1
GONE = frozenset({errno.ESRCH, errno.ENODEV, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH})
"""The kernel's error for a route whose device went down: the kernel has already deleted the route."""
FORWARD = {
    "ipv4/fib_multipath_hash_policy": "1",  # by ports, too: VXLAN's source port tells flows apart
    "ipv4/conf/all/ignore_routes_with_linkdown": "1",
    "ipv4/conf/default/ignore_routes_with_linkdown": "1",
    "ipv4/conf/all/rp_filter": "0",  # with several ways, answers may come by another
    "ipv4/conf/default/rp_filter": "0",
}


def prepare(space: Namespace, forwards: bool) -> None:
    """Set a node's kernel parameters, before it has any device."""

    settings = {**FORWARD, "ipv4/ip_forward": "1" if forwards else "0"}
    run_in(space.fd, lambda: write_settings(settings))


class Routing:
    """Keeps the routes of all nodes up to date. ``spaces``: the nodes' namespaces by file name."""

    def __init__(self, plan: UnderlayPlan, spaces: Mapping[str, Namespace]) -> None:
        self.plan = plan
        self.held: Routes = {}
        self._netlink = {node: run_in(spaces[netns].fd, Socket) for node, netns in plan.nodes.items()}
        self._events = {node: run_in(spaces[netns].fd, _events) for node, netns in plan.nodes.items()}
        self._stop, self._stopped = os.pipe()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Set the first routes, then follow the links."""
        self.refresh()
        self._thread = threading.Thread(target=self._follow, name="routing", daemon=True)
        self._thread.start()

    def refresh(self, stirred: frozenset[str] = frozenset()) -> None:
        """Read the state of all links, and set the routes that differ.

        For the nodes in ``stirred``, set all routes: the kernel deletes the routes of a device that was down,
        even for a moment.
        """
        with self._lock:
            self._refresh(stirred)

    def settle(self, links_down: frozenset[str], patience: float = PATIENCE) -> None:
        """Set the routes when every link that is not in ``links_down`` has a carrier.

        A link gets its carrier a moment after both ends are set up.
        """
        ends = [
            (end.node, end.device)
            for link in self.plan.links
            if link.name not in links_down
            for end in (link.a, link.b)
        ]
        for node, device in ends:
            if not self._is_up(node, device):
                self._netlink[node].run([notice_carrier(device)], GONE)
        deadline = time.monotonic() + patience
        while not all(self._is_up(*end) for end in ends) and time.monotonic() < deadline:
            time.sleep(0.002)
        self.refresh()

    def _refresh(self, stirred: frozenset[str]) -> None:
        down = frozenset(link.name for link in self.plan.links if not self._is_up(link.a.node, link.a.device))
        down |= {link.name for link in self.plan.links if not self._is_up(link.b.node, link.b.device)}
        wanted = routes(self.plan, down)
        requests: dict[str, list[Request]] = {}
        again = [Change(node, to, hops) for node in stirred for to, hops in wanted[node].items()]
        for node, to, hops in {*changes(self.held, wanted), *again}:
            index = self._netlink[node].index_of
            if hops:
                ways = [Hop(index(via.device), via.gateway) for via in hops]
                requests.setdefault(node, []).append(set_route(to, ways, self.plan.vteps.get(node)))
            else:
                requests.setdefault(node, []).append(delete_route(to))
        for node, some in requests.items():
            with contextlib.suppress(NetlinkError):
                self._netlink[node].run(some, GONE)
        self.held = wanted

    def _is_up(self, node: str, device: str) -> bool:
        return is_up(self._events[node], device)

    def _follow(self) -> None:
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        node_of = {events.fileno(): node for node, events in self._events.items()}
        for fd in node_of:
            poll.register(fd, select.POLLIN)
        while True:
            stirred = set()
            for fd, _ in poll.poll():
                if fd == self._stop:
                    return
                stirred.add(node_of[fd])
                with contextlib.suppress(
                    OSError
                ):  # a full queue gives an error once, which also wakes the thread
                    while True:
                        self._events[node_of[fd]].recv(1 << 16, socket.MSG_DONTWAIT)
            with contextlib.suppress(OSError):
                self.refresh(frozenset(stirred))

    def stop(self) -> None:
        """End the thread and close the descriptors."""
        os.close(self._stopped)
        if self._thread is not None:
            self._thread.join()
        os.close(self._stop)
        for netlink in self._netlink.values():
            netlink.close()
        for events in self._events.values():
            events.close()


def _events() -> socket.socket:
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    events.bind((0, RTMGRP_LINK))
    return events
