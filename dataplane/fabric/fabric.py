"""A lab's switches, wires and hosts: built, and changed while the lab runs.

It must run inside the sandbox.  The caller's network namespace becomes the management network.  Mininet's
view is in ``dataplane.mininet_view.net``: an import of Mininet takes longer than the build of a small lab.
"""

from __future__ import annotations

import contextlib
from functools import partial
from itertools import groupby
from pathlib import Path

from dataplane.change.operations import AddWire, Operation, undone
from dataplane.change.steps import Steps, renamed, steps, unchangeable
from dataplane.fabric.building import Report as Report
from dataplane.fabric.deafness import deafen
from dataplane.fabric.operating import Operating
from dataplane.fabric.routing import await_carrier
from dataplane.hosts.driver import Place, place_of
from dataplane.hosts.drivers import driver
from dataplane.netlink.route import End, add_veth, delete_link, set_link
from dataplane.ovs.mirror import add_mirror, remove_mirror, tap_names
from dataplane.ovs.unixctl import control_socket
from dataplane.plan.lab import DomainPlan, EndPlan, HostPlan, Plan, instance_netns, plan
from dataplane.plan.wiring import Wiring, link_states, wiring
from dataplane.sandbox.namespaces import in_threads, run_in
from topologies.model.topology import Topology


class LinkError(KeyError):
    """There is no link or switch of this name."""


class Unchangeable(ValueError):
    """A running lab can't change to this topology; ``what`` lists the differences that can't change."""

    def __init__(self, what: list[str]) -> None:
        super().__init__("; ".join(what))
        self.what = what


class Change:
    """A change of a running lab, in three parts (see ``dataplane.change.steps``).

    ``undo`` undoes what was done of the first two parts.  An operation that fails counts as not done.
    """

    def __init__(
        self, fabric: Fabric, topology: Topology, new: Plan, links_down: frozenset[str], some: Steps
    ) -> None:
        self.steps = some
        self._fabric, self._topology, self._new, self._links_down = fabric, topology, new, links_down
        self._done: list[Operation] = []

    def renews(self, instance: str) -> bool:
        """Whether a function's instance gets new devices only in ``shift``, because old devices hold their
        names.

        A process that runs there loses its devices at that time.
        """
        netns = instance_netns(instance)
        return any(isinstance(each, AddWire) and each.wire.near.netns == netns for each in self.steps.shift)

    def extend(self) -> None:
        """Add the new parts beside the old ones."""
        self._fabric.carry_out(self.steps.extend, self._done)

    def shift(self) -> None:
        """Move and replace the parts that can't exist twice."""
        self._fabric.carry_out(self.steps.shift, self._done)

    def finish(self) -> None:
        """Remove the parts that are no longer used. This can't be undone."""
        self._fabric.become(self._topology, self._new, self._links_down)
        self._fabric.carry_out(self.steps.finish)

    def all(self) -> None:
        """Do all three parts."""
        self.extend()
        self.shift()
        self.finish()

    def undo(self) -> list[str]:
        """Undo what was done, as far as possible; texts of the operations that could not be undone."""
        back, self._done = undone(self._done), []
        failed = []
        for operation in back:
            try:
                self._fabric.carry_out([operation])
            except Exception as error:
                failed.append(f"{type(operation).__name__}: {error}")
        return failed


class Fabric(Operating):
    """A running lab that ``Building`` has built: queries, changes, and captures."""

    # Asking and changing

    def namespace_fd(self, host: str) -> int:
        """An open nsfs descriptor of a host's network namespace; it stays the fabric's."""
        return self._spaces[self._host_netns(host)].fd

    def space_fd(self, netns: str) -> int:
        """An open nsfs descriptor of the namespace with this file name. Raises KeyError if there is none."""
        return self._spaces[netns].fd

    def instance_fd(self, instance: str) -> int:
        """An open nsfs descriptor of a function's instance, also during a change that adds it. Raises
        KeyError."""
        return self._spaces[instance_netns(instance)].fd

    def weakness(self) -> str:
        """A text that says which frames of tenants this kernel lets reach the lab's own IP stacks; empty:
        none."""
        if not self.heard:
            return ""
        return (
            "this kernel lacks the nftables hooks that keep what tenants send from the network stacks of "
            "switches and functions (CONFIG_NETFILTER_INGRESS, CONFIG_NF_TABLES_NETDEV, CONFIG_NF_TABLES_INET"
            "): only their settings do; see docs/security.md"
        )

    def host_plan(self, host: str) -> HostPlan:
        """The plan of a host. Raises KeyError if there is no such host."""
        for each in self.plan.hosts:
            if each.name == host:
                return each
        raise KeyError(host)

    def place(self, host: str) -> Place:
        """The place of a host, for its driver. Raises KeyError if there is no such host."""
        return place_of(self.host_plan(host), self.run_dir)

    def seen_at(self, host: str) -> EndPlan:
        """The device that all frames of a host pass. Raises KeyError if there is no such host."""
        planned = self.host_plan(host)
        return driver(planned.kind).seen_at(planned)

    def _host_netns(self, host: str) -> str:
        return self.host_plan(host).netns

    def link_states(self) -> dict[str, bool]:
        """Every link's name (a host's wire is ``h1-s1``), and whether it is up: not cut, no end failed."""
        return link_states(self.plan, self._links_down, self._switches_down)

    def set_link(self, name: str, up: bool) -> None:
        """Cut a link or a host's wire, or repair it. Raises ``LinkError`` for an unknown name."""
        if name not in self.link_states():
            raise LinkError(name)
        changed = frozenset({name})
        cut = self._links_down - changed if up else self._links_down | changed
        self._change(cut, self._switches_down)

    def set_switch(self, name: str, up: bool) -> None:
        """Make a switch fail (its bridge and all its ports are removed), or return, without flows."""
        if name not in self._bridges:
            raise LinkError(name)
        changed = frozenset({name})
        failed = self._switches_down - changed if up else self._switches_down | changed
        self._change(self._links_down, failed)

    def changing(self, topology: Topology) -> Change:
        """The change of the running lab to ``topology``. Raises ``Unchangeable`` if something can't
        change."""
        wrong = unchangeable(self.topology, topology)
        if wrong:
            raise Unchangeable(wrong)
        new = plan(topology, self._as_devices)
        links_down = renamed(self._links_down, self.plan, new)
        before = wiring(self.plan, self._links_down, self._switches_down)
        after = wiring(new, links_down, self._switches_down)
        return Change(self, topology, new, links_down, steps(self.plan, new, before, after))

    def replace(self, topology: Topology) -> None:
        """Change the running lab to another topology with the same switches. Only differences change.

        Raises ``Unchangeable``, or the first error; then what was done is undone, as far as possible.
        """
        change = self.changing(topology)
        try:
            change.extend()
            change.shift()
        except Exception:
            change.undo()
            raise
        change.finish()

    def become(self, topology: Topology, new: Plan, links_down: frozenset[str]) -> None:
        """Remember the new plan as that of the lab."""
        self.topology, self.plan, self._links_down = topology, new, links_down
        self._hosts |= {host.netns: host for host in new.hosts}
        self._bridges = {b.switch: b for d in new.domains for b in d.bridges}
        if self._underlay is not None:
            self._underlay.plan = new.underlay

    # Looking

    def make_device(self, link: str, wanted: bool) -> None:
        """Change a link between two switches into a pair of devices, for a capture, or back into patch ports.

        Some milliseconds of traffic may be lost. A link that needs devices anyway does not change.
        """
        devices = self._as_devices | {link} if wanted else self._as_devices - {link}
        new = plan(self.topology, devices)
        if new != self.plan:
            before = wiring(self.plan, self._links_down, self._switches_down)
            after = wiring(new, self._links_down, self._switches_down)
            Change(self, self.topology, new, self._links_down, steps(self.plan, new, before, after)).all()
        self._as_devices = devices

    def add_mirror(self, switch: str) -> tuple[str, str]:
        """A device, set up, that gets a copy of each frame of a switch: (namespace's name, device).

        It stays when the switch fails, and gets copies again when the switch returns.
        """
        if switch not in self._bridges:
            raise LinkError(switch)
        self._taps += 1
        tap, feed = tap_names(self._taps)
        space = self._spaces[self._domain_of(switch).netns]
        space.netlink.run([add_veth(End(tap, up=True), End(feed)), set_link(feed, True)])
        deafen(space, [tap, feed])
        self._mirrors[tap] = switch, feed
        if switch not in self._switches_down:
            self._mirror(switch)
        return self._domain_of(switch).netns, tap

    def _mirror(self, switch: str) -> None:
        """Configure the mirrors of a switch again, for all devices that get its copies."""
        for at, feed in self._mirrors.values():
            open_vswitch = self._switches[self._domain_of(switch).name]
            if at == switch and feed not in open_vswitch.port_rows():
                open_vswitch.apply(add_mirror(self._bridges[switch].device, feed))

    def remove_mirror(self, switch: str, tap: str) -> None:
        """Remove the mirror again."""
        _switch, feed = self._mirrors.pop(tap)
        domain = self._domain_of(switch)
        try:
            open_vswitch = self._switches[domain.name]
            rows = open_vswitch.select("Mirror", ["_uuid"], [["name", "==", feed]])
            port = open_vswitch.port_rows().get(feed)
            if rows and port is not None:
                mirrors = [row["_uuid"][1] for row in rows]
                open_vswitch.apply(remove_mirror(self._bridges[switch].device, port, mirrors))
        finally:
            self._spaces[domain.netns].netlink.run([delete_link(tap)])

    def _domain_of(self, switch: str) -> DomainPlan:
        return next(d for d in self.plan.domains for b in d.bridges if b.switch == switch)

    def _change(self, links_down: frozenset[str], switches_down: frozenset[str]) -> None:
        """Do the operations from the present wiring to the wanted wiring. If one fails, undo all, as far as
        possible."""
        old = wiring(self.plan, self._links_down, self._switches_down)
        new = wiring(self.plan, links_down, switches_down)
        try:
            self._rewire(old, new)
        except Exception:
            with contextlib.suppress(Exception):  # what went wrong first is what matters
                self._rewire(new, old)
            raise
        self._links_down, self._switches_down = links_down, switches_down

    def _rewire(self, old: Wiring, new: Wiring) -> None:
        for netns, device in new.down - old.down:
            self._spaces[netns].netlink.run([set_link(device, False)])
        # Set the devices up before a returning switch adds them as ports.
        risen = sorted(old.down - new.down)
        for netns, device in risen:
            self._spaces[netns].netlink.run([set_link(device, True)])
        for netns, some in groupby(risen, lambda end: end[0]):
            run_in(self._spaces[netns].fd, partial(await_carrier, [device for _, device in some]))
        self.set_ports(old.ports, new.ports)
        for switch in new.ports.keys() - old.ports.keys():
            self._mirror(switch)

    def notice_devices(self) -> None:
        """Wait until all switches, and the underlay's routing, have read the kernel's events about
        devices."""
        in_threads([switch.notice_devices for switch in self._switches.values()])
        if self._underlay is not None:
            self._underlay.settle(self._links_down)

    def forget_worked_out(self) -> None:
        """Make all switches drop their cached translations, so that the present flows apply to every
        packet."""
        in_threads([switch.forget_worked_out for switch in self._switches.values()])

    def daemon_sockets(self) -> dict[tuple[str, str], tuple[int, Path]]:
        """(domain, program) -> process id and control socket of every daemon that runs."""
        return {
            (domain, program): (pid, control_socket(switch.run_dir, program, pid))
            for domain, switch in list(self._switches.items())
            for program, pid in switch.pids().items()
            if pid
        }

    def stop(self) -> None:
        """End the daemons, which is faster than to let the sandbox do it; the rest ends with the sandbox."""
        for host in self._hosts.values():
            try:
                self.stop_host(host)
            except Exception as error:  # of whatever driver; the end of the sandbox ends it in any case
                print(f"host {host.name} was not stopped: {error!r}", flush=True)  # into the log
        if self._underlay is not None:
            self._underlay.stop()
        for switch in self._switches.values():
            switch.stop()
        for space in self._spaces.values():
            space.close()
        if self._netlink is not None:
            self._netlink.close()
        self._spaces, self._switches, self._netlink = {}, {}, None
