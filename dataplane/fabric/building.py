"""Building a lab: namespaces, wires, Open vSwitch, the underlay. Slow steps run beside others.

It must run inside the sandbox.  The caller's network namespace becomes the management network.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path

from dataplane.fabric import deafness
from dataplane.fabric.underlay import UnderlayFabric
from dataplane.hosts import interface, users
from dataplane.hosts.driver import place_of
from dataplane.hosts.drivers import driver
from dataplane.netlink.route import (
    End,
    Request,
    Socket,
    add_address,
    add_bridge,
    add_veth,
    set_index,
    set_link,
)
from dataplane.netlink.shaping import qdiscs
from dataplane.ovs import kernel_datapath
from dataplane.ovs.daemon import News
from dataplane.ovs.openvswitch import OpenVSwitch, OpenVSwitchError
from dataplane.ovs.ovsdb import (
    Operation,
    add_ports,
    bridge_operations,
    controller_operations,
    timeout_operations,
)
from dataplane.plan.lab import MANAGEMENT, DomainPlan, EndPlan, Plan, WirePlan, plan, space_kinds
from dataplane.plan.pieces import BridgePlan, HostPlan, SpaceKind
from dataplane.sandbox import namespaces
from dataplane.sandbox.namespaces import Namespace, run_in, start_thread
from topologies.model.choices import SDNLAB
from topologies.model.topology import Topology

BRIDGE = "mgmt0"
OWN_CONTROLLER: Mapping[str, tuple[str, int]] = {SDNLAB: (str(MANAGEMENT.ip), 6653)}
"""Address of the lab's own controller; the port is OpenFlow's (IANA)."""
DEFAULT_RUN_DIR = Path("/run/openvswitch")
Report = Callable[[str, float], None]
TellDaemon = Callable[[str, News], None]


class Building:
    """A running lab.

    ``run_dir`` gets a directory for each domain's Open vSwitch.  ``controllers``: name -> address; switches
    of a controller without an entry get no controller.  ``datapath`` is ``auto``, ``netdev`` or ``system``;
    after the build, it is the chosen one.  ``report`` is called with each finished stage and its seconds,
    ``tell_daemon`` when a domain's daemon ends or starts again.
    """

    def __init__(
        self,
        topology: Topology,
        run_dir: str | Path,
        controllers: Mapping[str, tuple[str, int]] = OWN_CONTROLLER,
        datapath: str = "auto",
        report: Report | None = None,
        tell_daemon: TellDaemon = lambda domain, news: None,
    ) -> None:
        self.topology = topology
        self.run_dir = Path(run_dir)
        self.plan: Plan = plan(topology)
        self._controllers = dict(controllers)
        self.datapath = datapath
        self._report = report or (lambda stage, seconds: None)
        self._tell_daemon = tell_daemon
        self._spaces: dict[str, Namespace] = {}
        self._switches: dict[str, OpenVSwitch] = {}
        self._netlink: Socket | None = None
        self._underlay: UnderlayFabric | None = None
        self._as_devices: frozenset[str] = frozenset()
        self._host_users: int | None = None
        self._hosts: dict[str, HostPlan] = {}  # by namespace: those that have one
        self._started: set[str] = set()  # of these, by namespace
        self.heard: set[str] = set()
        """Namespaces whose own IP stack receives tenants' frames, because this kernel can't drop them
        before."""
        self._taps = 0
        self._mirrors: dict[str, tuple[str, str]] = {}  # device -> the switch that it sees, its other end
        self._links_down: frozenset[str] = frozenset()
        self._switches_down: frozenset[str] = frozenset()
        self._bridges = {b.switch: b for d in self.plan.domains for b in d.bridges}

    # Building

    def build_lab(self) -> None:
        """Start everything. Returns when every switch has its ports. Raises the first error."""
        raise_file_limit()
        started = time.monotonic()
        if self.datapath == "auto":
            self.datapath = "system" if kernel_datapath.usable() else "netdev"
        # Domains first: their daemons start and make the bridges while the rest is built.
        domains = [domain.netns for domain in self.plan.domains]
        self._spaces = namespaces.create(domains, namespaces.DEAF)
        starting = self._start_switches()
        self._spaces |= namespaces.create(list(self.plan.underlay.nodes.values()), namespaces.QUIET)
        self._hosts = {host.netns: host for host in self.plan.hosts}
        self.make_spaces(space_kinds(self.plan))
        started = self._tell("namespaces", started)
        self._wire_management()
        wires = self.plan.wires
        self.make_wires(list(wires.values()))
        started = self._tell("wires", started)
        if self.plan.underlay.nodes:
            self._underlay = UnderlayFabric(self.plan.underlay, self._spaces)
            self._underlay.build()
            started = self._tell("underlay", started)
        for future in starting:
            future.result()
        started = self._tell("daemons", started)
        # The switches add their ports while the hosts get their addresses.
        applying = [start_thread(partial(self._complete_bridges, domain)) for domain in self.plan.domains]
        self.address_wires([wire for key, wire in wires.items() if key[0] != "link"])
        started = self._tell("addresses", started)
        for done in applying:
            done.result()
        started = self._tell("bridges", started)
        self._verify()
        self._tell("verify", started)

    def make_spaces(self, kinds: Mapping[str, SpaceKind]) -> None:
        """Make the network namespaces of hosts and functions. Root of a host has capabilities in the hosts'
        namespaces only."""
        by_kind = {kind: [name for name, each in kinds.items() if each == kind] for kind in kinds.values()}
        if self._host_users is None and by_kind.keys() - {"quiet"}:
            self._host_users = users.create()
        for kind, names in by_kind.items():
            if kind == "quiet":
                quiet = namespaces.create(names, namespaces.DEAF)
                self.heard |= {name for name, space in quiet.items() if not deafness.close(space)}
                self._spaces |= quiet
            else:
                settings = namespaces.ATTACHED if kind == "attached" else None
                self._spaces |= namespaces.create(names, settings, owner=self._host_users)

    def _complete_bridges(self, domain: DomainPlan) -> None:
        """Add the ports that are devices, and the route to the controller. The wires must exist."""
        operations: list[Operation] = []
        for bridge in domain.bridges:
            operations += add_ports(bridge.device, [port for port in bridge.ports if port.is_device])
            operations += controller_operations(bridge.device, self._target(bridge))
        self._switches[domain.name].apply(operations)

    def _target(self, bridge: BridgePlan) -> str | None:
        return target(bridge, self._controllers)

    def _tell(self, stage: str, started: float) -> float:
        now = time.monotonic()
        self._report(stage, now - started)
        return now

    def _start_switches(self) -> list[Future[None]]:
        if len(self.plan.domains) == 1:
            # Open vSwitch's own tools look here; if there are several domains, OVS_RUNDIR must name one.
            with contextlib.suppress(OSError):
                DEFAULT_RUN_DIR.symlink_to(self.run_dir / self.plan.domains[0].netns)
        for domain in self.plan.domains:
            fd = self._spaces[domain.netns].fd
            self._switches[domain.name] = OpenVSwitch(
                domain.name, self.run_dir / domain.netns, fd, len(self.plan.hosts), self._tell_daemon
            )
        return [start_thread(partial(self._start_switch, domain)) for domain in self.plan.domains]

    def _start_switch(self, domain: DomainPlan) -> None:
        """Start the daemons and add bridges and patch ports, which need no device.

        ovs-vswitchd measures the processor's clock for 0.1 s when it gets its first bridge.
        """
        switch = self._switches[domain.name]
        switch.start()
        bare = [replace(b, ports=tuple(p for p in b.ports if not p.is_device)) for b in domain.bridges]
        timeouts = timeout_operations(self.datapath, domain.udp_timeouts) if domain.udp_timeouts else []
        switch.order(bridge_operations(bare, self.datapath, None) + timeouts)

    def _wire_management(self) -> None:
        self._netlink = Socket()
        self._netlink.run([set_index(namespaces.LOOPBACK, True), add_bridge(BRIDGE)])
        bridge = socket.if_nametoindex(BRIDGE)
        requests = [add_address(bridge, MANAGEMENT)]
        for index, domain in enumerate(self.plan.domains):
            # The kernel accepts a master for the first end only, so the bridge's end comes first.
            port = End(f"mgmt-{index}", up=True, master=bridge)
            requests.append(add_veth(port, End("mgmt", self._spaces[domain.netns].fd)))
        self._netlink.run(requests)
        for domain in self.plan.domains:
            netlink = self._spaces[domain.netns].netlink
            # We look it up by name: Open vSwitch makes devices in this namespace at the same time.
            device = netlink.index_of("mgmt")
            requests = [add_address(device, domain.address), set_index(device, True)]
            netlink.run([*requests, set_index(namespaces.LOOPBACK, True)])
            # The only device of this namespace that may answer ARP for its address.
            answers = {"ipv4/conf/mgmt/arp_ignore": "1"}
            run_in(self._spaces[domain.netns].fd, partial(namespaces.write_settings, answers))

    def _end(self, end: EndPlan, mtu: int | None, up: bool = False) -> End:
        return End(end.device, self._spaces[end.netns].fd, end.mac, mtu, up=up)

    def make_wires(self, wires: Sequence[WirePlan]) -> None:
        """Make pairs of devices, up at both ends and shaped; addresses are for ``address_wires``."""
        assert self._netlink is not None
        self._netlink.run(
            add_veth(
                self._end(wire.near, wire.mtu if wire.thick else None, up=True),
                self._end(wire.far, wire.mtu if wire.thick else None),
            )
            for wire in wires
        )
        self.deafen_ports([end for wire in wires for end in (wire.near, wire.far)])
        self._set_up(wire.far for wire in wires)
        for wire in wires:
            # Each direction of a wire is shaped at the device where it leaves a switch or a host.
            for end in (wire.near, wire.far) if wire.shaping else ():
                netlink = self._spaces[end.netns].netlink
                netlink.run(qdiscs(netlink.index_of(end.device), wire.shaping))

    def deafen_ports(self, ends: Iterable[EndPlan]) -> None:
        """Keep frames that come in at a domain's switch ports from the IP stack of its namespace."""
        domains = {domain.netns for domain in self.plan.domains}
        by_netns: dict[str, list[str]] = {}
        for end in ends:
            if end.netns in domains:
                by_netns.setdefault(end.netns, []).append(end.device)
        for netns, devices in by_netns.items():
            if not deafness.deafen(self._spaces[netns], devices):
                self.heard.add(netns)

    def _set_up(self, ends: Iterable[EndPlan]) -> None:
        """Set devices up. The second end of a veth pair can't be created up, and Open vSwitch doesn't set it
        up."""
        by_netns: dict[str, list[Request]] = {}
        for end in ends:
            by_netns.setdefault(end.netns, []).append(set_link(end.device, True))
        for netns, requests in by_netns.items():
            self._spaces[netns].netlink.run(requests)

    def address_wires(self, wires: Sequence[WirePlan]) -> None:
        """Configure the near ends of new wires in hosts and functions. A host starts with its first wire."""
        for wire in wires:
            space = self._spaces[wire.near.netns]
            host = self._hosts.get(wire.near.netns)
            if host is None:
                interface.configure(space, wire)
                continue
            hosts = driver(host.kind)
            hosts.wire_in(host, space, wire)
            if host.netns not in self._started:
                self._started.add(host.netns)
                hosts.start(place_of(host, self.run_dir), space)

    def stop_host(self, host: HostPlan) -> None:
        """End everything of a host except its namespace."""
        self._started.discard(host.netns)
        if (space := self._spaces.get(host.netns)) is not None:
            driver(host.kind).stop(place_of(host, self.run_dir), space)

    def _verify(self) -> None:
        """Check that each port has its number: Open vSwitch may ignore ofport_request, but the flows rely on
        it."""
        for domain in self.plan.domains:
            rows = self._switches[domain.name].select("Interface", ["name", "ofport", "error"])
            got = {row["name"]: row for row in rows}
            for bridge in domain.bridges:
                for port in bridge.ports:
                    row = got[port.device]
                    if row["ofport"] != port.number:
                        raise OpenVSwitchError(
                            f"switch {bridge.switch} did not get port {port.number} ({port.device}): "
                            f"{row['error'] or row['ofport']}"
                        )


def target(bridge: BridgePlan, controllers: Mapping[str, tuple[str, int]]) -> str | None:
    """The target of a switch's controller in Open vSwitch's form (ovs-vswitchd.conf.db(5)); None: no
    controller.

    ``controllers``: name -> address and TCP port.
    """
    address = controllers.get(bridge.controller)
    return f"tcp:{address[0]}:{address[1]}" if address is not None else None


def raise_file_limit() -> None:
    """Raise the limit of open files to the hard limit: a big lab holds several for each host."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
