"""A lab's switches, wires and hosts, built and changed while it runs; Mininet's view of it is in ``net``.

It must run inside the sandbox.  The caller's network namespace becomes the management network.
Mininet is not imported here: that alone takes longer than building a small lab.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from dataplane.building import Building as Building
from dataplane.building import Report as Report
from dataplane.mirror import add_mirror, remove_mirror, tap_name
from dataplane.moving import moved_hosts, only_hosts_moved, renamed, steps
from dataplane.namespaces import in_threads
from dataplane.ovsdb import (
    Operation,
    add_ports,
    bridge_operations,
    remove_bridge,
    remove_ports,
)
from dataplane.plan import DomainPlan, EndPlan, HostPlan, LinkPlan, Plan, plan
from dataplane.rtnetlink import (
    add_veth,
    delete_link,
    set_index,
    set_link,
)
from dataplane.rtnetlink_overlay import move_device
from dataplane.shaping import qdiscs
from dataplane.wiring import Wiring, link_states, wiring
from topologies.model import Topology


class LinkError(KeyError):
    """There is no link or switch of that name."""


class Fabric(Building):
    """A lab as it runs: what ``Building`` built, and how it is asked, changed and looked at."""

    # Asking and changing

    def namespace_fd(self, host: str) -> int:
        """An open nsfs descriptor of a host's network namespace; it stays the fabric's."""
        return self._spaces[self._host_netns(host)].fd

    def _host_netns(self, host: str) -> str:
        return next(plan.netns for plan in self.plan.hosts if plan.name == host)

    def link_states(self) -> dict[str, bool]:
        """Every link's name (a host's wire is ``h1-s1``), and whether it is up: not cut, no end failed."""
        return link_states(self.plan, self._links_down, self._switches_down)

    def set_link(self, name: str, up: bool) -> None:
        """Cut a link or a host's wire, or mend it. Raises ``LinkError`` for an unknown name."""
        if name not in self.link_states():
            raise LinkError(name)
        changed = frozenset({name})
        cut = self._links_down - changed if up else self._links_down | changed
        self._change(cut, self._switches_down)

    def set_switch(self, name: str, up: bool) -> None:
        """Have a switch fail (its bridge and all its ports go) or return, empty, to its controller."""
        if name not in self._bridges:
            raise LinkError(name)
        changed = frozenset({name})
        failed = self._switches_down - changed if up else self._switches_down | changed
        self._change(self._links_down, failed)

    def replace(self, topology: Topology) -> None:
        """Take the running lab to a topology in which hosts are on other switches.

        A host's own interface stays, with all its addresses. Raises ``ValueError`` for any other difference.
        """
        if not only_hosts_moved(self.topology, topology):
            raise ValueError("only hosts can move in a running lab")
        new = plan(topology, self._as_devices)
        pairs = moved_hosts(self.plan, new)
        links_down = renamed(self._links_down, pairs)
        before = wiring(self.plan, self._links_down, self._switches_down)
        after = wiring(new, links_down, self._switches_down)
        between = steps(pairs, before, after)
        if self._underlay is not None:
            self._underlay.add_devices(new.underlay)
        self._bridges = {b.switch: b for d in new.domains for b in d.bridges}
        self._reach(new, before, between.made)
        if self._underlay is not None:
            self._underlay.forward(new.underlay)
        for old_host, new_host in pairs:
            self._move(old_host, new_host, new_host.far in {EndPlan(*each) for each in after.down})
        self._reach(new, between.made, between.moved)
        self._reach(new, between.moved, after)
        if self._underlay is not None:
            self._underlay.remove_devices(new.underlay)
        self.topology, self.plan, self._links_down = topology, new, links_down

    # Looking

    def make_device(self, link: str, wanted: bool) -> None:
        """Turn a link between two switches into a pair of devices, so that it can be looked at, or back into
        patch ports. Some milliseconds of traffic may be lost. Without effect on a link that needs devices."""
        devices = self._as_devices | {link} if wanted else self._as_devices - {link}
        new = plan(self.topology, devices)
        if new != self.plan:
            now = next(each for each in new.links if each.name == link)
            if wanted:
                self._wire_link(now)
            before = wiring(self.plan, self._links_down, self._switches_down)
            self._reach(new, before, wiring(new, self._links_down, self._switches_down))
            if not wanted:
                self._spaces[now.end_a.netns].netlink.run([delete_link(now.end_a.device)])
            self._bridges = {b.switch: b for d in new.domains for b in d.bridges}
            self.plan = new
        self._as_devices = devices

    def _wire_link(self, link: LinkPlan) -> None:
        assert self._netlink is not None
        a, b = link.end_a, link.end_b
        self._netlink.run([add_veth(self._end(a.netns, a.device, up=True), self._end(b.netns, b.device))])
        down = wiring(plan(self.topology, self._as_devices | {link.name}), self._links_down, frozenset()).down
        for end in (a, b):
            up = (end.netns, end.device) not in down
            self._spaces[end.netns].netlink.run([set_link(end.device, up)])

    def add_mirror(self, switch: str) -> tuple[str, str]:
        """A tap that gets a copy of all that passes a switch: (namespace's name, device), which is up."""
        if switch not in self._bridges or switch in self._switches_down:
            raise LinkError(switch)
        self._taps += 1
        tap = tap_name(self._taps)
        domain = self._domain_of(switch)
        self._switches[domain.name].apply(add_mirror(self._bridges[switch].device, tap))
        self._spaces[domain.netns].netlink.run([set_link(tap, True)])
        return domain.netns, tap

    def remove_mirror(self, switch: str, tap: str) -> None:
        """Take a tap away; without effect when the switch has failed meanwhile, and the tap with it."""
        open_vswitch = self._switches[self._domain_of(switch).name]
        rows = open_vswitch.client.select("Mirror", ["_uuid"], [["name", "==", tap]])
        port = open_vswitch.port_rows().get(tap)
        if rows and port is not None:
            mirrors = [row["_uuid"][1] for row in rows]
            open_vswitch.apply(remove_mirror(self._bridges[switch].device, port, mirrors))

    def _domain_of(self, switch: str) -> DomainPlan:
        return next(d for d in self.plan.domains for b in d.bridges if b.switch == switch)

    def _move(self, old: HostPlan, new: HostPlan, down: bool) -> None:
        """The switch's end of a host's wire, to where it belongs now."""
        here, there = self._spaces[old.far.netns].netlink, self._spaces[new.far.netns]
        here.run([move_device(here.index_of(old.far.device), there.fd, new.far.device)])
        index = there.netlink.index_of(new.far.device)
        shaping = qdiscs(index, new.shaping) if new.shaping else []
        there.netlink.run([*shaping, set_index(index, not down)])

    def _reach(self, new: Plan, old: Wiring, wanted: Wiring) -> None:
        """Change the ports of all switches, those of several domains at the same time."""
        jobs = []
        for domain in new.domains:
            operations = self._port_changes(domain, old, wanted)
            if operations:
                jobs.append(partial(self._switches[domain.name].apply, operations))
        in_threads(jobs)

    def _change(self, links_down: frozenset[str], switches_down: frozenset[str]) -> None:
        """Carry out the difference between the wiring that is and the one that shall be."""
        old = wiring(self.plan, self._links_down, self._switches_down)
        new = wiring(self.plan, links_down, switches_down)
        for netns, device in new.down - old.down:
            self._spaces[netns].netlink.run([set_link(device, False)])
        # Up before a returning switch gets its ports, so that it finds them up.
        for netns, device in old.down - new.down:
            self._spaces[netns].netlink.run([set_link(device, True)])
        for domain in self.plan.domains:
            operations = self._port_changes(domain, old, new)
            if operations:
                self._switches[domain.name].apply(operations)
        self._links_down, self._switches_down = links_down, switches_down

    def _port_changes(self, domain: DomainPlan, old: Wiring, new: Wiring) -> list[Operation]:
        operations: list[Operation] = []
        switch = self._switches[domain.name]
        for bridge in domain.bridges:
            before, after = old.ports.get(bridge.switch), new.ports.get(bridge.switch)
            if before == after:
                continue
            if after is None:
                operations += remove_bridge(switch.bridge_rows()[bridge.device])
            elif before is None:
                ports = tuple(port for port in bridge.ports if port in after)
                operations += bridge_operations([replace(bridge, ports=ports)], self.datapath, self._target)
            else:
                rows = switch.port_rows()
                lost = [rows[port.device] for port in before - after]
                operations += remove_ports(bridge.device, lost) if lost else []
                gained = sorted(after - before, key=lambda port: port.number)
                operations += add_ports(bridge.device, gained) if gained else []
        return operations

    def stop(self) -> None:
        """End the daemons, quicker than the end of the sandbox would; the rest ends with it."""
        if self._underlay is not None:
            self._underlay.stop()
        for switch in self._switches.values():
            switch.stop()
        for space in self._spaces.values():
            space.close()
        if self._netlink is not None:
            self._netlink.close()
        self._spaces, self._switches, self._netlink = {}, {}, None
