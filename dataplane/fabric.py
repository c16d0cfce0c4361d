"""A lab's switches, wires and hosts, built and changed while it runs; Mininet's view of it is in ``net``.

It must run inside the sandbox.  The caller's network namespace becomes the management network.
Mininet is not imported here: that alone takes longer than building a small lab.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from dataplane import kernel_datapath, namespaces
from dataplane.mirror import add_mirror, remove_mirror, tap_name
from dataplane.moving import moved_hosts, only_hosts_moved, renamed, steps
from dataplane.namespaces import Namespace, in_threads, start_thread
from dataplane.openvswitch import OpenVSwitch, OpenVSwitchError
from dataplane.ovsdb import (
    Operation,
    add_ports,
    bridge_operations,
    controller_operations,
    remove_bridge,
    remove_ports,
)
from dataplane.plan import MANAGEMENT, DomainPlan, EndPlan, HostPlan, LinkPlan, Plan, plan
from dataplane.rtnetlink import (
    End,
    Request,
    Socket,
    add_address,
    add_bridge,
    add_veth,
    delete_link,
    set_index,
    set_link,
)
from dataplane.rtnetlink_overlay import Hop, move_device, set_mtu, set_route
from dataplane.shaping import qdiscs
from dataplane.underlay_fabric import UnderlayFabric
from dataplane.wiring import Wiring, link_states, wiring
from topologies.model import Topology

BRIDGE = "mgmt0"
EVERYWHERE: dict[int, IPv4Network | IPv6Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
DEFAULT_RUN_DIR = Path("/run/openvswitch")
Report = Callable[[str, float], None]


class LinkError(KeyError):
    """There is no link or switch of that name."""


class Fabric:
    """A lab as it runs.

    ``run_dir`` gets a directory for each domain's Open vSwitch.  ``controller_address`` is where switches
    find their controller (None: none).  ``datapath`` is ``auto``, ``netdev`` or ``system``; once built, it
    is what was taken.  ``report`` is told each finished stage and its seconds.
    """

    def __init__(
        self,
        topology: Topology,
        run_dir: str | Path,
        controller_address: tuple[str, int] | None = (str(MANAGEMENT.ip), 6653),
        datapath: str = "auto",
        report: Report | None = None,
    ) -> None:
        self.topology = topology
        self.run_dir = Path(run_dir)
        self.plan: Plan = plan(topology)
        self._controller = controller_address
        self.datapath = datapath
        self._report = report or (lambda stage, seconds: None)
        self._spaces: dict[str, Namespace] = {}
        self._switches: dict[str, OpenVSwitch] = {}
        self._netlink: Socket | None = None
        self._underlay: UnderlayFabric | None = None
        self._as_devices: frozenset[str] = frozenset()
        self._taps = 0
        self._links_down: frozenset[str] = frozenset()
        self._switches_down: frozenset[str] = frozenset()
        self._bridges = {b.switch: b for d in self.plan.domains for b in d.bridges}

    # Building

    def build_lab(self) -> None:
        """Start everything; returns when every switch has its ports. Raises what went wrong first."""
        raise_file_limit()
        started = time.monotonic()
        if self.datapath == "auto":
            self.datapath = "system" if kernel_datapath.usable() else "netdev"
        # Domains first: their daemons start, and make the bridges, while the rest is being built.
        domains = [domain.netns for domain in self.plan.domains]
        self._spaces = namespaces.create(domains, frozenset(domains))
        starting = self._start_switches()
        routers = [self.plan.underlay.nodes[router] for router in self.plan.underlay.routers]
        self._spaces |= namespaces.create(routers, frozenset(routers))
        self._spaces |= namespaces.create([host.netns for host in self.plan.hosts])
        started = self._tell("namespaces", started)
        self._wire_management()
        self._wire_hosts()
        self._wire_links()
        self._shape()
        started = self._tell("wires", started)
        if self.plan.underlay.nodes:
            self._underlay = UnderlayFabric(self.plan.underlay, self._spaces)
            self._underlay.build()
            started = self._tell("underlay", started)
        for future in starting:
            future.result()
        started = self._tell("daemons", started)
        # The switches take up their ports while the hosts get their addresses.
        applying = [start_thread(partial(self._complete_bridges, domain)) for domain in self.plan.domains]
        self._address_hosts()
        started = self._tell("addresses", started)
        for done in applying:
            done.result()
        started = self._tell("bridges", started)
        self._verify()
        self._tell("verify", started)

    def _complete_bridges(self, domain: DomainPlan) -> None:
        """What needs the wires: the ports that are devices, and the way to the controller."""
        operations: list[Operation] = []
        for bridge in domain.bridges:
            operations += add_ports(bridge.device, [port for port in bridge.ports if port.is_device])
            operations += controller_operations(bridge.device, self._target)
        self._switches[domain.name].apply(operations)

    @property
    def _target(self) -> str | None:
        return f"tcp:{self._controller[0]}:{self._controller[1]}" if self._controller else None

    def _tell(self, stage: str, started: float) -> float:
        now = time.monotonic()
        self._report(stage, now - started)
        return now

    def _start_switches(self) -> list[Future[None]]:
        if len(self.plan.domains) == 1:
            # Where Open vSwitch's own tools look; with several domains OVS_RUNDIR must say which.
            with contextlib.suppress(OSError):
                DEFAULT_RUN_DIR.symlink_to(self.run_dir / self.plan.domains[0].netns)
        for domain in self.plan.domains:
            fd = self._spaces[domain.netns].fd
            self._switches[domain.name] = OpenVSwitch(
                domain.name, self.run_dir / domain.netns, fd, len(self.plan.hosts)
            )
        return [start_thread(partial(self._start_switch, domain)) for domain in self.plan.domains]

    def _start_switch(self, domain: DomainPlan) -> None:
        """Start the daemons and hand them bridges and patch ports, which need nothing else to be there.

        ovs-vswitchd measures the processor's clock for 0.1 s when it gets its first bridge.
        """
        switch = self._switches[domain.name]
        switch.start()
        bare = [replace(b, ports=tuple(p for p in b.ports if not p.is_device)) for b in domain.bridges]
        switch.client.transact(bridge_operations(bare, self.datapath, None))

    def _wire_management(self) -> None:
        self._netlink = Socket()
        self._netlink.run([set_index(namespaces.LOOPBACK, True), add_bridge(BRIDGE)])
        bridge = socket.if_nametoindex(BRIDGE)
        requests = [add_address(bridge, MANAGEMENT)]
        for index, domain in enumerate(self.plan.domains):
            # The kernel heeds a master for the first end only, so the bridge's end comes first.
            port = End(f"mgmt-{index}", up=True, master=bridge)
            requests.append(add_veth(port, End("mgmt", self._spaces[domain.netns].fd)))
        self._netlink.run(requests)
        for domain in self.plan.domains:
            netlink = self._spaces[domain.netns].netlink
            # Asked for by name: Open vSwitch makes devices of its own in here at the same time.
            device = netlink.index_of("mgmt")
            requests = [add_address(device, domain.address), set_index(device, True)]
            netlink.run([*requests, set_index(namespaces.LOOPBACK, True)])

    def _end(self, netns: str, device: str, mac: str | None = None, up: bool = False) -> End:
        return End(device, self._spaces[netns].fd, mac, up=up)

    def _wire_hosts(self) -> None:
        assert self._netlink is not None
        self._netlink.run(
            add_veth(
                self._end(host.near.netns, host.near.device, host.near.mac, up=True),
                self._end(host.far.netns, host.far.device),
            )
            for host in self.plan.hosts
        )
        self._set_up(host.far for host in self.plan.hosts)

    def _set_up(self, ends: Iterable[EndPlan]) -> None:
        """Second ends of veth pairs cannot be created up; Open vSwitch leaves its devices as they are."""
        by_netns: dict[str, list[Request]] = {}
        for end in ends:
            by_netns.setdefault(end.netns, []).append(set_link(end.device, True))
        for netns, requests in by_netns.items():
            self._spaces[netns].netlink.run(requests)

    def _wire_links(self) -> None:
        assert self._netlink is not None
        self._netlink.run(
            add_veth(
                self._end(link.end_a.netns, link.end_a.device, up=True),
                self._end(link.end_b.netns, link.end_b.device),
            )
            for link in self.plan.links
            if link.kind == "veth"
        )
        self._set_up(link.end_b for link in self.plan.links if link.kind == "veth")

    def _shape(self) -> None:
        """Each direction of a shaped wire is shaped where it leaves a switch or a host."""
        wires = [(host.near, host.far, host.shaping) for host in self.plan.hosts]
        wires += [(link.end_a, link.end_b, link.shaping) for link in self.plan.links]
        for a, b, shaping in wires:
            for end in (a, b) if shaping else ():
                netlink = self._spaces[end.netns].netlink
                netlink.run(qdiscs(netlink.index_of(end.device), shaping))

    def _address_hosts(self) -> None:
        for host in self.plan.hosts:
            space = self._spaces[host.netns]
            # By name: where tunnel modules are loaded, a new namespace has devices before ours (sit0, ...).
            device = space.netlink.index_of(host.near.device)
            requests = [set_index(namespaces.LOOPBACK, True)]
            requests += [set_mtu(device, host.mtu)] if host.mtu != 1500 else []
            requests += [add_address(device, address) for address in host.addresses]
            requests += [
                set_route(EVERYWHERE[gateway.version], [Hop(device, gateway)]) for gateway in host.gateways
            ]
            space.netlink.run(requests)

    def _verify(self) -> None:
        """Open vSwitch takes ofport_request as a wish; the compiled tables take it as a fact."""
        for domain in self.plan.domains:
            rows = self._switches[domain.name].client.select("Interface", ["name", "ofport", "error"])
            got = {row["name"]: row for row in rows}
            for bridge in domain.bridges:
                for port in bridge.ports:
                    row = got[port.device]
                    if row["ofport"] != port.number:
                        raise OpenVSwitchError(
                            f"switch {bridge.switch} did not get port {port.number} ({port.device}): "
                            f"{row['error'] or row['ofport']}"
                        )

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


def raise_file_limit() -> None:
    """Allow as many open files as the hard limit does: a big lab holds several for each host."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
