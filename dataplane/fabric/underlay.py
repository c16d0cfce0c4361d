"""The underlay of a running lab: wires, addresses, vxlan devices, routing."""

from __future__ import annotations

import errno
from ipaddress import IPv4Interface

from dataplane.change.operations import End as Device
from dataplane.change.operations import Forward
from dataplane.fabric.routing import Routing, prepare
from dataplane.fabric.spaces import Spaces
from dataplane.netlink.overlay import EVERYBODY, add_default, add_vxlan, delete_fdb, set_fdb, set_mtu
from dataplane.netlink.route import End, Request, Socket, add_address, add_veth, delete_link, set_index
from dataplane.netlink.shaping import qdiscs
from dataplane.plan.underlay import UnderlayPlan, VxlanPlan
from dataplane.sandbox import namespaces

GONE = frozenset({errno.ENODEV})


class UnderlayFabric:
    """The running underlay of a lab. ``spaces`` stay the caller's."""

    def __init__(self, plan: UnderlayPlan, spaces: Spaces) -> None:
        self.plan = plan
        self._spaces = spaces
        self._routing: Routing | None = None

    def build(self) -> None:
        """Make all of it."""
        for node, netns in self.plan.nodes.items():
            prepare(self._spaces[netns], node in self.plan.routers)
        netlink = Socket()
        netlink.run(
            add_veth(
                End(link.a.device, self._spaces[link.a.netns].fd, mtu=self.plan.mtu, up=True),
                End(link.b.device, self._spaces[link.b.netns].fd, mtu=self.plan.mtu),
            )
            for link in self.plan.links
        )
        netlink.close()
        requests: dict[str, list[Request]] = {
            netns: [set_index(namespaces.LOOPBACK, True)] for netns in self.plan.nodes.values()
        }
        for domain, address in self.plan.vteps.items():
            own = add_address(namespaces.LOOPBACK, IPv4Interface((address, 32)))
            requests[self.plan.nodes[domain]].append(own)
        for link in self.plan.links:
            for end, way in zip((link.a, link.b), link.shaping.ways, strict=True):
                index = self._spaces[end.netns].netlink.index_of(end.device)
                requests[end.netns] += [set_index(index, True), add_address(index, end.address)]
                requests[end.netns] += qdiscs(index, way, self.plan.mtu)
        for netns, some in requests.items():
            self._spaces[netns].netlink.run(some)
        for device in self.plan.devices:
            self.add_device(device)
        self._routing = Routing(self.plan, self._spaces)
        self._routing.start()

    def add_device(self, device: VxlanPlan) -> None:
        """Make a vxlan device with its forwarding database."""
        ports = self._spaces[device.netns]
        request = add_vxlan(device.device, device.vni, device.local, device.mtu, ports.fd)
        self._spaces[device.underlay].netlink.run([request])
        self._spaces.deafen(device.netns, [device.device])
        netlink = ports.netlink
        index = netlink.index_of(device.device)
        netlink.run(
            [
                *(set_fdb(index, mac, vtep) for mac, vtep in device.unicast),
                *(add_default(index, vtep) for vtep in device.flood),
            ]
        )

    def remove_device(self, device: VxlanPlan) -> None:
        """Delete a vxlan device."""
        self._spaces[device.netns].netlink.run([delete_link(device.device)], GONE)

    def forward(self, change: Forward) -> None:
        """Change a device's forwarding database."""
        netlink = self._spaces[change.end[0]].netlink
        index = netlink.index_of(change.end[1])
        now = dict(change.gained)
        netlink.run(
            [
                *(set_fdb(index, mac, vtep) for mac, vtep in change.gained),
                *(delete_fdb(index, mac, vtep) for mac, vtep in change.lost if mac not in now),
                *(add_default(index, vtep) for vtep in change.flood_gained),
                *(delete_fdb(index, EVERYBODY, vtep) for vtep in change.flood_lost),
            ]
        )

    def set_mtu(self, end: Device, mtu: int) -> None:
        """Change a device's MTU."""
        netlink = self._spaces[end[0]].netlink
        netlink.run([set_mtu(netlink.index_of(end[1]), mtu)])

    def settle(self, links_down: frozenset[str]) -> None:
        """Wait until the routes are those of the links that are not cut (``links_down``)."""
        if self._routing is not None:
            self._routing.settle(links_down)

    def stop(self) -> None:
        """End the routing."""
        if self._routing is not None:
            self._routing.stop()
            self._routing = None
