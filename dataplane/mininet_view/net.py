"""Mininet's view of a lab: ``net['h1'].cmd('ip a')``, its shell, its names.

``LabNet`` is a ``mininet.net.Mininet`` whose nodes exist already; a node's bash starts at its first use.  A
``LabNet`` either owns a ``Fabric`` and builds it, or is attached to a lab that another process has built;
then it runs in a process that has entered the sandbox.  This module imports mininet (0.3 s); to build a lab,
``dataplane.fabric.fabric`` is enough.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mininet.link import Intf, Link
from mininet.log import error, output
from mininet.net import Mininet
from mininet.node import Host, OVSSwitch

from dataplane.fabric.builder import Report
from dataplane.fabric.fabric import Fabric, LinkError
from dataplane.fabric.switches import OWN_CONTROLLER
from dataplane.hosts.driver import GivesTerminals, Place, place_of
from dataplane.hosts.drivers import driver
from dataplane.mininet_view.iperf import CannotMeasure, measure
from dataplane.mininet_view.node_shell import SafeShell, any_shell, with_terminal
from dataplane.ovs.datapaths import USERSPACE, chosen
from dataplane.plan.wiring import wire_names
from dataplane.sandbox.namespaces import RUN_NETNS, run_in
from linux import syscalls
from topologies.model.topology import Topology

SetLink = Callable[[str, bool], None]


class _LazyShell(SafeShell):
    """A Mininet node in a namespace that exists, whose shell starts when a command first needs it."""

    inNamespace: bool
    netns: str
    environment: dict[str, str]

    def startShell(self, mnopts: str | None = None) -> None:
        """Mininet's constructor calls this; the shell starts later."""

    def wake(self) -> None:
        """Start the shell if there is none."""
        if self.shell is not None:
            return
        fd = os.open(RUN_NETNS / self.netns, os.O_RDONLY | os.O_CLOEXEC)
        # mnexec -n would make a namespace; without it, the shell stays in its thread's.
        self.inNamespace = False
        try:
            run_in(fd, self._start_here)
        finally:
            self.inNamespace = True
            os.close(fd)

    def _start_here(self) -> None:
        """In a thread inside the node's network namespace: a mount namespace too, so that /sys fits, and a
        host name of its own."""
        with contextlib.suppress(OSError):
            syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS)
            socket.sethostname(self.name)
            syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
            syscalls.mount("sysfs", "/sys", "sysfs")
        super().startShell()

    def _popen(self, cmd: list[str], **params: Any) -> Any:
        params.setdefault("env", {**os.environ, **self.environment})
        return super()._popen(cmd, **params)

    def cmd(self, *args: Any, **kwargs: Any) -> str:
        """Run a shell command and return its output."""
        self.wake()
        return str(super().cmd(*args, **kwargs))  # type: ignore[misc]

    def popen(self, *args: Any, **kwargs: Any) -> Any:
        """A process in this node's namespace, as ``subprocess.Popen``."""
        self.wake()
        return super().popen(*args, **kwargs)  # type: ignore[misc]

    def addIntf(self, intf: Any, port: int | None = None, moveIntfFn: Any = None) -> None:
        """Register an interface, which is already in its namespace."""
        super().addIntf(intf, port=port, moveIntfFn=lambda *_: None)  # type: ignore[misc]

    def __repr__(self) -> str:
        pid = self.pid if self.shell is not None else "(no shell yet)"  # type: ignore[attr-defined]
        intfs = ",".join(f"{i}:{i.IP()}" for i in self.intfList())  # type: ignore[attr-defined]
        return f"<{type(self).__name__} {self.name}: {intfs} pid={pid}> "


class LabRouter(_LazyShell, Host):  # type: ignore[misc]
    """A router of the underlay, or a function's instance: a namespace of the lab itself."""

    def __init__(self, name: str, netns: str, **params: Any) -> None:
        self.netns, self.environment = netns, {}
        Host.__init__(self, name, **params)


class LabHost(LabRouter):
    """A host of a lab: its driver defines how a command enters it."""

    def __init__(self, place: Place, **params: Any) -> None:
        self.place = place
        LabRouter.__init__(self, place.name, place.netns, **params)

    def wake(self) -> None:
        """Start the shell if there is none; each command enters the host in a process of its own."""
        if self.shell is None:
            self.inNamespace = False  # mnexec has nothing to make
            try:
                super(_LazyShell, self).startShell()
            finally:
                self.inNamespace = True

    def _popen(self, cmd: list[str], **params: Any) -> Any:
        hosts = driver(self.place.kind)
        if cmd[:2] == ["mnexec", "-da"]:  # it would join the namespaces of the process that entered
            cmd = cmd[3:] if isinstance(hosts, GivesTerminals) else ["mnexec", "-d", *cmd[3:]]
        if cmd[:2] == ["mnexec", "-cd"] and isinstance(hosts, GivesTerminals):
            # mnexec and bash may not be there. Out here the terminal is that of the program that enters.
            words = ["setsid", "--ctty", *hosts.command(self.place, any_shell(self.name))]
        else:
            words = hosts.command(self.place, with_terminal(cmd))
        return super()._popen(words, **params)


class LabSwitch(_LazyShell, OVSSwitch):  # type: ignore[misc]
    """A switch of a lab: a bridge in its domain's Open vSwitch; ``device`` is the bridge's name."""

    OVSVersion = "3.0"

    def __init__(self, name: str, netns: str, device: str, run_dir: Path, **params: Any) -> None:
        self.netns, self.device = netns, device
        self.environment = {key: str(run_dir) for key in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR")}
        self.set_up: Callable[[bool], None] = lambda up: None
        OVSSwitch.__init__(self, name, protocols="OpenFlow15", **params)

    @classmethod
    def setup(cls) -> None:
        """Mininet looks for a system-wide Open vSwitch here; a lab has its own."""

    def dpctl(self, *args: Any) -> str:
        """Run ovs-ofctl on this switch."""
        return self.cmd("ovs-ofctl", "-O", "OpenFlow15", args[0], self.device, *args[1:])

    def defaultIntf(self) -> LabIntf | None:
        """None: no interface of a switch has an address that a host could send to."""
        return None

    def connected(self) -> bool:
        """Is it connected to the controller?"""
        return "true" in self.cmd("ovs-vsctl get-controller", self.device, "&& ovs-vsctl list controller")

    def start(self, controllers: Any) -> None:
        """Make the switch return."""
        self.set_up(True)

    def stop(self, deleteIntfs: bool = True) -> None:
        """Make the switch fail."""
        self.set_up(False)


class LabIntf(Intf):  # type: ignore[misc]
    """An interface that is already configured."""

    def __init__(
        self, name: str, node: Any, port: int, link: Any, mac: str | None, address: str | None
    ) -> None:
        Intf.__init__(self, name, node=node, port=port, link=link, mac=mac)
        if address is not None:
            self.ip, self.prefixLen = address.split("/")

    def config(self, **_params: Any) -> dict[str, Any]:
        """Nothing to do."""
        return {}

    def updateIP(self) -> str | None:
        """The address that the file gives it. (Mininet asks ifconfig, and forgets it where there is none.)"""
        return str(self.ip) if self.ip else None


class LabLink(Link):  # type: ignore[misc]
    """An existing wire; ``name`` is its name in the lab."""

    def __init__(self, name: str, is_up: Callable[[str], bool]) -> None:
        self.name, self._is_up = name, is_up
        self.intf1: LabIntf | None = None
        self.intf2: LabIntf | None = None

    def status(self) -> str:
        """The state for Mininet's ``links``: whether the link is cut, or at a failed switch."""
        return "(OK OK)" if self._is_up(self.name) else "(down)"

    def stop(self) -> None:
        """The sandbox's end removes it."""


class LabNet(Mininet):  # type: ignore[misc]
    """A lab with Mininet's interface.

    The parameters are those of ``Fabric``, but for ``datapath``, which is a user's word.  ``fabric`` is None
    when attached; changes then go through the ``set_link`` and ``set_switch`` that ``attach`` got.
    """

    def __init__(
        self,
        topology: Topology,
        run_dir: str | Path,
        controllers: Mapping[str, tuple[str, int]] = OWN_CONTROLLER,
        datapath: str = USERSPACE.name,
        report: Report = lambda stage, seconds: None,
    ) -> None:
        self.topology, self.run_dir = topology, Path(run_dir)
        self.fabric: Fabric | None = Fabric(topology, run_dir, controllers, chosen(datapath), report)
        self.change_link: SetLink = self.fabric.set_link
        self.change_switch: SetLink = self.fabric.set_switch
        self.ask_links: Callable[[], dict[str, bool]] | None = self.fabric.link_states
        self._populate(self.fabric)

    @classmethod
    def attach(
        cls,
        topology: Topology,
        run_dir: str | Path,
        set_link: SetLink | None = None,
        set_switch: SetLink | None = None,
        link_states: Callable[[], dict[str, bool]] | None = None,
    ) -> LabNet:
        """Mininet's view of a running lab, for a process inside its sandbox.

        Mininet's ``link`` and ``switch`` commands call ``set_link(name, up)`` and ``set_switch(name, up)``.
        These, and ``link_states()``, should ask the supervisor.
        """

        def cannot(name: str, up: bool) -> None:
            error(f"{name} can only be changed by the lab's supervisor\n")

        net = cls.__new__(cls)
        net.topology, net.run_dir, net.fabric = topology, Path(run_dir), None
        net.change_link, net.change_switch = set_link or cannot, set_switch or cannot
        net.ask_links = link_states
        net._populate(Fabric(topology, run_dir))
        return net

    def _populate(self, fabric: Fabric) -> None:
        Mininet.inited = True  # its set-up is for whole machines: it raises limits and wants to be root
        Mininet.__init__(self, build=False)
        self.built = True
        plan = fabric.plan
        for host in plan.hosts:
            if host.host.of:
                continue
            node = LabHost(place_of(host, self.run_dir))
            self.hosts.append(node)
            self.nameToNode[host.name] = node
        for router in plan.underlay.routers:  # by name only: pingall and the like are about hosts
            self.nameToNode[router] = LabRouter(router, plan.underlay.nodes[router])
        for instance in plan.instances:
            self.nameToNode[instance.name] = LabRouter(instance.name, instance.netns)
        for domain in plan.domains:
            for bridge in domain.bridges:
                run_dir = self.run_dir / domain.netns
                switch = LabSwitch(
                    bridge.switch, domain.netns, bridge.device, run_dir, dpid=f"{bridge.dpid:x}"
                )
                switch.set_up = lambda up, name=bridge.switch: self.change_switch(name, up)  # type: ignore[misc]
                self.switches.append(switch)
                self.nameToNode[bridge.switch] = switch
        model = {host.name: host for host in self.topology.hosts}
        wires = wire_names(self.topology)
        links: dict[str, LabLink] = {}
        for host in plan.hosts:
            near = model[host.name]
            link = links.setdefault(wires[host.name], LabLink(wires[host.name], self.is_up))
            address = str(near.ipv4) if near.ipv4 is not None else None
            node = self[near.node]
            number = len(node.intfs)
            own = LabIntf(host.near.device, node, number, link, near.mac, address)
            if link.intf1 is not None:  # the second end of a wire between hosts
                link.intf2 = own
                self.links.append(link)
                continue
            link.intf1 = own
            if near.port is None:
                continue
            number = near.port.number
            link.intf2 = LabIntf(host.far.device, self[host.switch], number, link, None, None)
            self.links.append(link)
        for wire in plan.links:
            link = LabLink(wire.name, self.is_up)
            a, b = self[wire.a.switch], self[wire.b.switch]
            link.intf1 = LabIntf(wire.end_a.device, a, wire.a.number, link, None, None)
            link.intf2 = LabIntf(wire.end_b.device, b, wire.b.number, link, None, None)
            self.links.append(link)

    # Building and changing

    def _own(self) -> Fabric:
        if self.fabric is None:
            raise RuntimeError("attached to a lab that another process built")
        return self.fabric

    def build_lab(self) -> None:
        """Start everything; returns when every switch has its ports."""
        self._own().build_lab()

    def set_link(self, name: str, up: bool) -> None:
        """Cut or repair a link by its name; raises ``LinkError`` for an unknown name."""
        self.change_link(name, up)

    def set_switch(self, name: str, up: bool) -> None:
        """Make a switch fail or return."""
        self.change_switch(name, up)

    def link_states(self) -> dict[str, bool]:
        """Every link's name, and whether it is up."""
        return self.ask_links() if self.ask_links is not None else self._own().link_states()

    def is_up(self, link: str) -> bool:
        """Whether a link or a host's wire is up."""
        return self.link_states().get(link, True)

    def namespace_fd(self, host: str) -> int:
        """An open descriptor of a host's network namespace."""
        return self._own().namespace_fd(host)

    def start(self) -> None:
        """Do nothing: the lab runs already."""

    def stop(self) -> None:
        """End the shells and, when this object built it, the lab."""
        self.stopXterms() if self.terms else None
        for node in self.nameToNode.values():
            node.terminate()
        if self.fabric is not None:
            self.fabric.stop()

    def iperf(
        self,
        hosts: Any = None,
        l4Type: str = "TCP",
        udpBw: str = "10M",
        fmt: str | None = None,
        seconds: int = 5,
        port: int = 5201,
    ) -> list[str]:
        """The rates between two hosts, measured by iperf3 (default: the first and the last host)."""
        if hosts is None and len(self.hosts) < 2:
            raise CannotMeasure("there are no two hosts")
        client, server = hosts or (self.hosts[0], self.hosts[-1])
        for node in (client, server):
            if node not in self.hosts:
                raise CannotMeasure(f"{node.name} is no host")
        output(f"*** iperf3: {l4Type} from {client.name} to {server.name} for {seconds} s\n")
        udp = udpBw if l4Type == "UDP" else ""
        rates = [*([udpBw] if udp else []), *measure(client, server, udp, seconds, port)]
        output(f"*** Results: {rates}\n")
        return rates

    def configLinkStatus(self, src: str, dst: str, status: str) -> None:
        """Mininet's ``link A B up|down``: all links between two nodes."""
        for name in (src, dst):
            if name not in self.nameToNode:
                error(f"{name} not in network\n")
                return
        ends = {src, dst}
        links = [link for link in self.links if {link.intf1.node.name, link.intf2.node.name} == ends]
        if not links:
            error(f"src and dst not connected: {src} {dst}\n")
        for link in links:
            try:
                self.set_link(link.name, status == "up")
            except LinkError:
                error(f"no link {link.name}\n")


def _refused(name: str) -> Callable[..., None]:
    def refuse(_self: LabNet, *_args: Any, **_params: Any) -> None:
        raise NotImplementedError(
            f"{name}: this shell can't change the lab; change its file, and run: sdnlab apply FILE"
        )

    refuse.__doc__ = "Refused: it would change Mininet's picture of the lab, and not the lab."
    return refuse


for _name in (
    "addHost", "addSwitch", "addController", "addNAT", "addLink", "addCluster", "build", "buildFromTopo",
    "delHost", "delSwitch", "delController", "delNode", "delLink", "delLinkBetween", "removeHost",
    "removeLink", "removeSwitch", "configHosts", "startTerms", "interact",
):  # fmt: skip
    setattr(LabNet, _name, _refused(_name))
