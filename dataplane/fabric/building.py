"""Building a lab: namespaces, wires, Open vSwitch, the underlay, in the order that hides what takes long.

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
"""Where the lab's own controller listens; IANA gives OpenFlow the port."""
DEFAULT_RUN_DIR = Path("/run/openvswitch")
Report = Callable[[str, float], None]
TellDaemon = Callable[[str, News], None]


class Building:
    """A lab as it runs.

    ``run_dir`` gets a directory for each domain's Open vSwitch.  ``controllers`` says where the switches of
    each find it (those of others have none).  ``datapath`` is ``auto``, ``netdev`` or ``system``; once built,
    it is what was taken.  ``report`` is told each finished stage and its seconds, ``tell_daemon`` what
    becomes of a domain's daemons.
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
        """Namespaces whose own stack gets what tenants send, since this kernel can't drop it before."""
        self._taps = 0
        self._mirrors: dict[str, tuple[str, str]] = {}  # device -> the switch that it sees, its other end
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
        # The switches take up their ports while the hosts get their addresses.
        applying = [start_thread(partial(self._complete_bridges, domain)) for domain in self.plan.domains]
        self.address_wires([wire for key, wire in wires.items() if key[0] != "link"])
        started = self._tell("addresses", started)
        for done in applying:
            done.result()
        started = self._tell("bridges", started)
        self._verify()
        self._tell("verify", started)

    def make_spaces(self, kinds: Mapping[str, SpaceKind]) -> None:
        """Make the network namespaces of hosts and functions. In those of hosts, and nowhere else, root of a
        host has the say."""
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
        """What needs the wires: the ports that are devices, and the way to the controller."""
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
            # Where Open vSwitch's own tools look; with several domains OVS_RUNDIR must say which.
            with contextlib.suppress(OSError):
                DEFAULT_RUN_DIR.symlink_to(self.run_dir / self.plan.domains[0].netns)
        for domain in self.plan.domains:
            fd = self._spaces[domain.netns].fd
            self._switches[domain.name] = OpenVSwitch(
                domain.name, self.run_dir / domain.netns, fd, len(self.plan.hosts), self._tell_daemon
            )
        return [start_thread(partial(self._start_switch, domain)) for domain in self.plan.domains]

    def _start_switch(self, domain: DomainPlan) -> None:
        """Start the daemons and hand them bridges and patch ports, which need nothing else to be there.

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
            # The one device in there that may say which address it has.
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
            # Each direction of a shaped wire is shaped where it leaves a switch or a host.
            for end in (wire.near, wire.far) if wire.shaping else ():
                netlink = self._spaces[end.netns].netlink
                netlink.run(qdiscs(netlink.index_of(end.device), wire.shaping))

    def deafen_ports(self, ends: Iterable[EndPlan]) -> None:
        """Let a domain's own stack hear nothing from those of the ends that are its switches'."""
        domains = {domain.netns for domain in self.plan.domains}
        by_netns: dict[str, list[str]] = {}
        for end in ends:
            if end.netns in domains:
                by_netns.setdefault(end.netns, []).append(end.device)
        for netns, devices in by_netns.items():
            if not deafness.deafen(self._spaces[netns], devices):
                self.heard.add(netns)

    def _set_up(self, ends: Iterable[EndPlan]) -> None:
        """Second ends of veth pairs cannot be created up; Open vSwitch leaves its devices as they are."""
        by_netns: dict[str, list[Request]] = {}
        for end in ends:
            by_netns.setdefault(end.netns, []).append(set_link(end.device, True))
        for netns, requests in by_netns.items():
            self._spaces[netns].netlink.run(requests)

    def address_wires(self, wires: Sequence[WirePlan]) -> None:
        """Bring hosts and functions to the near ends of new wires; a host starts with its first one."""
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
        """End what a host consists of, but for its namespace."""
        self._started.discard(host.netns)
        if (space := self._spaces.get(host.netns)) is not None:
            driver(host.kind).stop(place_of(host, self.run_dir), space)

    def _verify(self) -> None:
        """Open vSwitch takes ofport_request as a wish; the compiled tables take it as a fact."""
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
    """Where a switch finds its controller, as Open vSwitch writes it (ovs-vswitchd.conf.db(5)); None: it has
    none. ``controllers``: name -> address and TCP port."""
    address = controllers.get(bridge.controller)
    return f"tcp:{address[0]}:{address[1]}" if address is not None else None


def raise_file_limit() -> None:
    """Allow as many open files as the hard limit does: a big lab holds several for each host."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
