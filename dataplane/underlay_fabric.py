"""The underlay as it is built: wires, addresses, vxlan devices, and the routing that keeps it joined."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface

from dataplane import namespaces
from dataplane.namespaces import Namespace
from dataplane.routing import Routing, prepare
from dataplane.rtnetlink import End, Request, Socket, add_address, add_veth, delete_link, set_index
from dataplane.rtnetlink_overlay import EVERYBODY, add_default, add_vxlan, delete_fdb, set_fdb
from dataplane.shaping import qdiscs
from dataplane.underlay_plan import UnderlayPlan, VxlanPlan


class UnderlayFabric:
    """The running underlay of a lab. ``spaces``: namespaces by file name; they stay the caller's."""

    def __init__(self, plan: UnderlayPlan, spaces: Mapping[str, Namespace]) -> None:
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
            for end in (link.a, link.b):
                index = self._spaces[end.netns].netlink.index_of(end.device)
                requests[end.netns] += [set_index(index, True), add_address(index, end.address)]
                requests[end.netns] += qdiscs(index, link.shaping) if link.shaping else []
        for netns, some in requests.items():
            self._spaces[netns].netlink.run(some)
        for device in self.plan.devices:
            self._add_device(device)
        self._routing = Routing(self.plan, self._spaces)
        self._routing.start()

    def _add_device(self, device: VxlanPlan) -> None:
        netlink = self._spaces[device.netns].netlink
        netlink.run([add_vxlan(device.device, device.vni, device.local, device.mtu)])
        index = netlink.index_of(device.device)
        netlink.run(
            [
                *(set_fdb(index, mac, vtep) for mac, vtep in device.unicast),
                *(add_default(index, vtep) for vtep in device.flood),
            ]
        )

    def add_devices(self, plan: UnderlayPlan) -> None:
        """Make the vxlan devices that ``plan`` has and this one lacks."""
        have = {(each.netns, each.device) for each in self.plan.devices}
        for device in plan.devices:
            if (device.netns, device.device) not in have:
                self._add_device(device)

    def forward(self, plan: UnderlayPlan) -> None:
        """Change the forwarding databases of the devices that stay to what ``plan`` says."""
        old = {(each.netns, each.device): each for each in self.plan.devices}
        for device in plan.devices:
            before = old.get((device.netns, device.device))
            if before is None or before == device:
                continue
            netlink = self._spaces[device.netns].netlink
            index = netlink.index_of(device.device)
            was, now = dict(before.unicast), dict(device.unicast)
            netlink.run(
                [
                    *(set_fdb(index, mac, vtep) for mac, vtep in now.items() if was.get(mac) != vtep),
                    *(delete_fdb(index, mac, vtep) for mac, vtep in was.items() if mac not in now),
                    *(add_default(index, vtep) for vtep in device.flood if vtep not in before.flood),
                    *(
                        delete_fdb(index, EVERYBODY, vtep)
                        for vtep in before.flood
                        if vtep not in device.flood
                    ),
                ]
            )

    def remove_devices(self, plan: UnderlayPlan) -> None:
        """Remove the vxlan devices that ``plan`` has no more, and take it as the plan."""
        wanted = {(each.netns, each.device) for each in plan.devices}
        for device in self.plan.devices:
            if (device.netns, device.device) not in wanted:
                self._spaces[device.netns].netlink.run([delete_link(device.device)])
        self.plan = plan

    def stop(self) -> None:
        """End the routing."""
        if self._routing is not None:
            self._routing.stop()
            self._routing = None
