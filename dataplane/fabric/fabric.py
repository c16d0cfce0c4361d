"""A lab's switches, wires and hosts: built, and changed while the lab runs.

It must run inside the sandbox.  The caller's network namespace becomes the management network.  Mininet's
view is in ``dataplane.mininet_view.net``: an import of Mininet takes longer than the build of a small lab.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dataplane.change.steps import renamed, steps, unchangeable
from dataplane.fabric.builder import Builder, Report
from dataplane.fabric.changing import Change
from dataplane.fabric.executor import Executor, jobs
from dataplane.fabric.hosts import Hosts
from dataplane.fabric.mirrors import Mirrors
from dataplane.fabric.outages import Outages
from dataplane.fabric.parts import Parts
from dataplane.fabric.spaces import Spaces
from dataplane.fabric.switches import OWN_CONTROLLER, Session, Switches, TellDaemon
from dataplane.fabric.underlay import UnderlayFabric
from dataplane.fabric.wires import Wires
from dataplane.hosts.driver import Place, place_of
from dataplane.hosts.drivers import driver
from dataplane.ovs.datapaths import USERSPACE, Datapath
from dataplane.plan.lab import MANAGEMENT, Plan, devices_of, instance_netns, plan
from dataplane.plan.pieces import EndPlan, HostPlan
from dataplane.plan.stretches import breaks
from dataplane.plan.wiring import link_states, wiring
from topologies.model.topology import Topology


class LinkError(KeyError):
    """There is no link or switch of this name."""


class Unchangeable(ValueError):
    """A running lab can't change to this topology; ``what`` lists the differences that can't change."""

    def __init__(self, what: list[str]) -> None:
        super().__init__("; ".join(what))
        self.what = what


class Fabric:
    """A running lab, which owns its parts: queries, changes, and captures.

    ``run_dir`` gets a directory for each domain's Open vSwitch.  ``controllers``, ``datapath`` and
    ``tell_daemon`` are for the switches (see ``Switches``).  ``build_lab`` calls ``report`` with each
    finished stage and its seconds.  ``executor`` does the operations of every change.
    """

    def __init__(
        self,
        topology: Topology,
        run_dir: str | Path,
        controllers: Mapping[str, tuple[str, int]] = OWN_CONTROLLER,
        datapath: Datapath = USERSPACE,
        report: Report = lambda stage, seconds: None,
        tell_daemon: TellDaemon = lambda domain, news: None,
    ) -> None:
        self.topology = topology
        self.run_dir = Path(run_dir)
        self.plan: Plan = plan(topology)
        self._host_plans: tuple[Plan | None, dict[str, HostPlan]] = None, {}
        domains = self.plan.domains
        spaces = Spaces((domain.netns for domain in domains), datapath)
        hosts = Hosts(spaces, self.run_dir)
        self.parts = Parts(
            spaces,
            hosts,
            Wires(spaces, hosts),
            Switches(domains, self.run_dir, controllers, datapath, tell_daemon, self.plan.trunks),
            UnderlayFabric(self.plan.underlay, spaces),
        )
        self.executor = Executor(jobs(self.parts))
        self._report = report
        self._mirrors = Mirrors(spaces, self.parts.switches)
        self._outages = Outages(self.parts.wires, self.parts.switches, self._mirrors)
        self._as_devices: frozenset[str] = frozenset()
        self._broken: frozenset[str] = frozenset()
        """Links that are devices because an outage has made paths long. They stay so: a change back would
        cost packets."""
        self._moves: dict[str, int] = {}

    def build_lab(self) -> None:
        """Start everything. Returns when every switch has its ports. Raises the first error."""
        Builder(self.plan, self.parts, self._report).build()

    # Asking

    @property
    def datapath(self) -> Datapath:
        """What the switches forward with."""
        return self.parts.switches.datapath

    def namespace_fd(self, host: str) -> int:
        """An open nsfs descriptor of a host's network namespace; it stays the fabric's."""
        return self.space_fd(self.host_plan(host).netns)

    def space_fd(self, netns: str) -> int:
        """An open nsfs descriptor of the namespace with this file name. Raises KeyError if there is none."""
        return self.parts.spaces[netns].fd

    def instance_fd(self, instance: str) -> int:
        """An open nsfs descriptor of a function's instance, also during a change that adds it. Raises
        KeyError."""
        return self.space_fd(instance_netns(instance))

    def weakness(self) -> str:
        """A text that says which frames of tenants this kernel lets reach the lab's own IP stacks; empty:
        none."""
        if not self.parts.spaces.heard:
            return ""
        return (
            "this kernel lacks the nftables hooks that keep what tenants send from the network stacks of "
            "switches and functions (CONFIG_NETFILTER_INGRESS, CONFIG_NF_TABLES_NETDEV, CONFIG_NF_TABLES_INET"
            "): only their settings do; see docs/security.md"
        )

    def host_plan(self, host: str) -> HostPlan:
        """The plan of a host. Raises KeyError if there is no such host."""
        plan, by_name = self._host_plans
        if plan is not self.plan:
            plan, by_name = self._host_plans = self.plan, {host.name: host for host in self.plan.hosts}
        return by_name[host]

    def place(self, host: str) -> Place:
        """The place of a host, or of that with this interface, for its driver. Raises KeyError if there is no
        such host."""
        planned = self.host_plan(host)
        node = planned if not planned.host.of else self.host_plan(planned.host.of)
        return place_of(node, self.run_dir)

    def places(self) -> dict[str, Place]:
        """Host -> its place, for its driver; also for each further interface of a host."""
        nodes = {
            planned.name: place_of(planned, self.run_dir)
            for planned in self.plan.hosts
            if not planned.host.of
        }
        return {planned.name: nodes[planned.host.node] for planned in self.plan.hosts}

    def seen_at(self, host: str) -> EndPlan:
        """The device that all frames of a host pass. Raises KeyError if there is no such host."""
        planned = self.host_plan(host)
        return driver(planned.kind).seen_at(planned)

    def link_states(self) -> dict[str, bool]:
        """Every link's name (a host's wire is ``h1-s1``), and whether it is up: not cut, no end failed."""
        return link_states(self.plan, self._outages.links, self._outages.switches)

    def sessions(self) -> dict[str, Session]:
        """Switch -> what its Open vSwitch says of its controller, of those that answer."""
        return self.parts.switches.sessions()

    def daemon_sockets(self) -> dict[tuple[str, str], tuple[int, Path]]:
        """(domain, program) -> process id and control socket of every daemon that runs."""
        return self.parts.switches.daemon_sockets()

    def openflow_socket(self, switch: str) -> Path:
        """The Unix socket at which a switch takes OpenFlow messages. Raises KeyError if there is no such
        switch."""
        for domain in self.plan.domains:
            for bridge in domain.bridges:
                if bridge.switch == switch:
                    return self.run_dir / domain.netns / f"{bridge.device}.mgmt"
        raise KeyError(switch)

    # Changing

    def set_link(self, name: str, up: bool) -> None:
        """Cut a link or a host's wire, or repair it. Raises ``LinkError`` for an unknown name."""
        if name not in self.link_states():
            raise LinkError(name)
        self._break_long_paths(*self._outages.after_link(name, up))
        self._outages.set_link(self.plan, name, up)

    def set_switch(self, name: str, up: bool) -> None:
        """Make a switch fail (its bridge and all its ports are removed), or return, without flows."""
        if name not in self.parts.switches.names():
            raise LinkError(name)
        self._break_long_paths(*self._outages.after_switch(name, up))
        self._outages.set_switch(self.plan, name, up)

    def know_controllers(self, ports: Mapping[str, int]) -> None:
        """Other controllers have come, or have gone: name -> TCP port in the management network. For switches
        that get one from now on."""
        self.parts.switches.know({name: (str(MANAGEMENT.ip), port) for name, port in ports.items()})

    def changing(self, topology: Topology, leaving: str | None = None) -> Change:
        """The change of the running lab to ``topology``. Raises ``Unchangeable`` if something can't
        change.

        ``leaving``: a host that gets a new namespace, beside its old one till the end of the change.
        """
        wrong = unchangeable(self.topology, topology)
        if wrong:
            raise Unchangeable(wrong)
        moves = dict(self._moves)
        if leaving is not None:
            moves[leaving] = moves.get(leaving, 0) + 1
        return self._change(topology, self._as_devices, moves)

    def replace(self, topology: Topology) -> None:
        """Change the running lab to another topology with the same switches. Only differences change.

        Raises ``Unchangeable``, or the first error; then what was done is undone, as far as possible.
        """
        self.changing(topology).all()

    def _change(self, topology: Topology, as_devices: frozenset[str], moves: Mapping[str, int]) -> Change:
        there = {host.name for host in topology.hosts}
        moves = {host: number for host, number in moves.items() if host in there}
        new = plan(topology, as_devices | self._broken, moves)
        links_down = renamed(self._outages.links, self.plan, new)
        if broken := breaks(topology, devices_of(new), links_down, self._outages.switches):
            new = plan(topology, as_devices | self._broken | broken, moves)
        before, after = self._outages.wiring(self.plan), wiring(new, links_down, self._outages.switches)
        become = partial(self._become, topology, new, links_down, moves, self._broken | broken)
        return Change(self.executor, steps(self.plan, new, before, after), new, become)

    def _break_long_paths(self, links_down: frozenset[str], switches_down: frozenset[str]) -> None:
        """Before these outages: change links into devices where the paths that are left are too long for
        one translation."""
        broken = breaks(self.topology, devices_of(self.plan), links_down, switches_down)
        if broken:
            self._change(self.topology, self._as_devices | broken, self._moves).all()
            self._broken |= broken

    def _become(
        self,
        topology: Topology,
        new: Plan,
        links_down: frozenset[str],
        moves: Mapping[str, int],
        broken: frozenset[str],
    ) -> None:
        """Remember the new plan as that of the lab."""
        self._moves, self._broken = dict(moves), broken
        self.topology, self.plan, self._outages.links = topology, new, links_down
        self.parts.hosts.expect(new.hosts)
        self.parts.switches.domains = new.domains
        self.parts.underlay.plan = new.underlay

    def notice_devices(self) -> None:
        """Wait until all switches, and the underlay's routing, have read the kernel's events about
        devices."""
        self.parts.switches.notice_devices()
        self.parts.underlay.settle(self._outages.links)

    def await_carriers(self) -> None:
        """Wait until packets pass every wire of a lab in which nothing is cut."""
        wires = self.plan.wires.values()
        self.parts.wires.await_carriers((wire.near.netns, wire.near.device) for wire in wires)

    def forget_worked_out(self) -> None:
        """Make all switches drop their cached translations, so that the present flows apply to every
        packet."""
        self.parts.switches.forget_worked_out()

    # Looking

    def make_device(self, link: str, wanted: bool) -> None:
        """Change a link between two switches into a pair of devices, for a capture, or back into patch ports.

        Some milliseconds of traffic may be lost. A link that needs devices anyway does not change.
        """
        devices = self._as_devices | {link} if wanted else self._as_devices - {link}
        if plan(self.topology, devices | self._broken, self._moves) != self.plan:
            self._change(self.topology, devices, self._moves).all()
        self._as_devices = devices

    def add_mirror(self, switch: str) -> tuple[str, str]:
        """A device, set up, that gets a copy of each frame of a switch: (namespace's name, device).

        It stays when the switch fails, and gets copies again when the switch returns.
        """
        if switch not in self.parts.switches.names():
            raise LinkError(switch)
        return self._mirrors.add(switch, switch not in self._outages.switches)

    def remove_mirror(self, switch: str, tap: str) -> None:
        """Remove the mirror again."""
        self._mirrors.remove(switch, tap)

    def stop(self) -> None:
        """End the daemons, which is faster than to let the sandbox do it; the rest ends with the sandbox."""
        self.parts.hosts.stop()
        self.parts.underlay.stop()
        self.parts.switches.stop()
        self.parts.spaces.close()
