"""The switches of a running lab: one Open vSwitch for each domain, and the ports of its bridges."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dataplane.change.operations import SetController, SetPorts, SetShaped
from dataplane.ovs import ofctl, ovsdb, queues
from dataplane.ovs.daemon import News
from dataplane.ovs.datapaths import USERSPACE, Datapath
from dataplane.ovs.openvswitch import OpenVSwitch, OpenVSwitchError
from dataplane.ovs.unixctl import control_socket
from dataplane.plan.lab import MANAGEMENT
from dataplane.plan.pieces import BridgePlan, DomainPlan, PortPlan
from dataplane.plan.trunks import TrunkPlan
from dataplane.sandbox.namespaces import Namespace, in_threads, start_thread
from topologies.model.choices import SDNLAB

OWN_CONTROLLER: Mapping[str, tuple[str, int]] = {SDNLAB: (str(MANAGEMENT.ip), 6653)}
"""Address of the lab's own controller; the port is OpenFlow's (IANA)."""
DEFAULT_RUN_DIR = Path("/run/openvswitch")
TellDaemon = Callable[[str, News], None]
Ports = Mapping[str, frozenset[PortPlan]]
"""Switch -> its ports. A switch that has failed has no entry."""


class Session(NamedTuple):
    """A switch's connection to its controller (ovs-vswitchd.conf.db(5), Controller). ``given``: it has one;
    ``state``: of the connection, as ``ACTIVE``; ``error``: why the last attempt ended."""

    given: bool
    connected: bool
    state: str
    error: str


class Switches:
    """The Open vSwitch of every domain.

    ``domains``: those of the lab's plan, set again when the plan changes.  ``run_dir`` gets a directory for
    each.  ``controllers``: name -> address; switches of a controller without an entry get no controller.
    ``datapath``: what they forward with.
    ``tell_daemon`` is called when a domain's daemon ends or starts again.  ``trunks``: those of the lab when
    it starts.
    """

    def __init__(
        self,
        domains: tuple[DomainPlan, ...],
        run_dir: Path,
        controllers: Mapping[str, tuple[str, int]] = OWN_CONTROLLER,
        datapath: Datapath = USERSPACE,
        tell_daemon: TellDaemon = lambda domain, news: None,
        trunks: tuple[TrunkPlan, ...] = (),
    ) -> None:
        self.domains = domains
        self._trunks = trunks
        self.datapath = datapath
        self._run_dir = run_dir
        self._controllers = dict(controllers)
        self._tell = tell_daemon
        self._running: dict[str, OpenVSwitch] = {}  # by domain
        self._bare: frozenset[str] = frozenset()

    def start(
        self, spaces: Mapping[str, Namespace], hosts: int, bare: frozenset[str] = frozenset()
    ) -> list[Future[None]]:
        """Start all daemons in their domains' namespaces (``spaces``, by file name). ``hosts``: their number
        in the lab. ``bare``: the switches that connect to their controllers before they have ports. Each
        future is done when one domain has its bridges."""
        self._bare = bare
        if len(self.domains) == 1:
            # Open vSwitch's own tools look here; if there are several domains, OVS_RUNDIR must name one.
            with contextlib.suppress(OSError):
                DEFAULT_RUN_DIR.symlink_to(self._run_dir / self.domains[0].netns)
        for domain in self.domains:
            self._running[domain.name] = OpenVSwitch(
                domain.name,
                self._run_dir / domain.netns,
                spaces[domain.netns].fd,
                hosts,
                self._tell_daemon,
            )
        return [start_thread(partial(self._start, domain)) for domain in self.domains]

    def _start(self, domain: DomainPlan) -> None:
        """Start the daemons and add bridges and patch ports, which need no device.

        ovs-vswitchd measures the processor's clock for 0.1 s when it gets its first bridge.
        """
        switch = self._running[domain.name]
        switch.start()
        bare = [replace(b, ports=tuple(p for p in b.ports if not p.is_device)) for b in domain.bridges]
        kind, zones = self.datapath.type, domain.udp_timeouts
        timeouts = ovsdb.timeout_operations(kind, zones) if zones else []
        controllers = self._controllers_of(b for b in domain.bridges if b.switch in self._bare)
        switch.order(ovsdb.bridge_operations(bare, kind, None) + controllers + timeouts)

    def _controllers_of(self, bridges: Iterable[BridgePlan]) -> list[ovsdb.Operation]:
        return [
            operation
            for bridge in bridges
            for operation in ovsdb.controller_operations(bridge, target(bridge, self._controllers))
        ]

    def complete(self) -> list[Future[None]]:
        """Add the ports that are devices, and the addresses of the other controllers. The wires must exist.

        Each future is done when one domain is complete.
        """
        return [start_thread(partial(self._complete, domain)) for domain in self.domains]

    def _complete(self, domain: DomainPlan) -> None:
        operations: list[ovsdb.Operation] = []
        for bridge in domain.bridges:
            operations += ovsdb.add_ports(bridge.device, [port for port in bridge.ports if port.is_device])
        operations += self._controllers_of(b for b in domain.bridges if b.switch not in self._bare)
        here = [trunk for trunk in self._trunks if trunk.netns == domain.netns]
        operations += ovsdb.trunk_operations(here, self.datapath.type)
        self._running[domain.name].apply(operations)

    def verify(self) -> None:
        """Check that each port has its number: Open vSwitch may ignore ofport_request, but the flows rely on
        it. Raises ``OpenVSwitchError``."""
        for domain in self.domains:
            rows = self._running[domain.name].select("Interface", ["name", "ofport", "error"])
            got = {row["name"]: row for row in rows}
            for bridge in domain.bridges:
                for port in bridge.ports:
                    row = got[port.device]
                    if row["ofport"] != port.number:
                        raise OpenVSwitchError(
                            f"switch {bridge.switch} did not get port {port.number} ({port.device}): "
                            f"{row['error'] or row['ofport']}"
                        )

    # Which there are

    def names(self) -> frozenset[str]:
        """Every switch, also one that has failed."""
        return frozenset(bridge.switch for domain in self.domains for bridge in domain.bridges)

    def domain_of(self, switch: str) -> DomainPlan:
        """The domain of a switch."""
        return next(d for d in self.domains for bridge in d.bridges if bridge.switch == switch)

    def bridge(self, switch: str) -> BridgePlan:
        """The plan of a switch's bridge."""
        return next(bridge for d in self.domains for bridge in d.bridges if bridge.switch == switch)

    def open_vswitch(self, switch: str) -> OpenVSwitch:
        """The Open vSwitch that a switch is a bridge of."""
        return self._running[self.domain_of(switch).name]

    def sessions(self) -> dict[str, Session]:
        """Switch -> what its Open vSwitch says of its controller. A silent domain's are left out."""
        answers: dict[str, Session] = {}
        for domain in self.domains:
            devices = {bridge.device: bridge.switch for bridge in domain.bridges}
            try:
                bridges = self._running[domain.name].select("Bridge", ["name", "controller"])
                rows = self._running[domain.name].select("Controller", ["_uuid", "is_connected", "status"])
            except (OSError, ovsdb.OvsdbError, OpenVSwitchError):
                continue
            by_id = {row["_uuid"][1]: row for row in rows}
            for bridge in bridges:
                kind, value = bridge["controller"]
                row = by_id.get(value) if kind == "uuid" else None
                if bridge["name"] in devices:
                    status = dict(row["status"][1]) if row is not None else {}
                    answers[devices[bridge["name"]]] = Session(
                        row is not None,
                        row is not None and row["is_connected"],
                        status.get("state", ""),
                        status.get("last_error", ""),
                    )
        return answers

    # Changing

    def set_timeouts(self, domain: str, timeouts: tuple[tuple[int, int], ...]) -> None:
        """Change the timeouts of idle UDP connections in a domain; see ``DomainPlan``."""
        self._running[domain].apply(ovsdb.timeout_operations(self.datapath.type, timeouts))

    def set_shaped(self, operation: SetShaped) -> None:
        """Change whether the queueing disciplines of ports are left alone."""
        switch = self.open_vswitch(operation.switch)
        rows = switch.port_rows()
        changes = [
            change
            for port in sorted(operation.gained, key=lambda port: port.number)
            if port.device in rows
            for change in ovsdb.shaped_operations(rows[port.device], port)
        ]
        if changes:
            switch.apply(changes)

    def set_trunks(self, lost: Iterable[TrunkPlan], gained: Iterable[TrunkPlan]) -> None:
        """Remove the bridges of trunks, and add others."""
        for domain in self.domains:
            going = [trunk for trunk in lost if trunk.netns == domain.netns]
            coming = [trunk for trunk in gained if trunk.netns == domain.netns]
            if not going and not coming:
                continue
            # an earlier request may have been done although its answer was lost
            switch = self._running[domain.name]
            there = switch.bridge_rows()
            wanted = {bridge.device for trunk in (*going, *coming) for bridge in trunk.bridges}
            operations = [
                operation
                for device in sorted(wanted & there.keys())
                for operation in ovsdb.remove_bridge(there[device])
            ]
            if operations:
                switch.apply(operations)
            if coming:
                switch.apply(ovsdb.trunk_operations(coming, self.datapath.type))

    def exchange_ports(self, some: Iterable[SetPorts]) -> None:
        """Change ports: in several domains at the same time, and in one transaction for each domain."""
        wanted = {operation.switch: operation for operation in some}
        jobs = []
        for domain in self.domains:
            here = [(bridge, wanted[bridge.switch]) for bridge in domain.bridges if bridge.switch in wanted]
            if here:
                jobs.append(partial(_exchange_in, self._running[domain.name], here))
        in_threads(jobs)

    def know(self, controllers: Mapping[str, tuple[str, int]]) -> None:
        """Other controllers have come, or have gone: name -> address."""
        self._controllers = dict(controllers)

    def give(self, some: Iterable[SetController]) -> None:
        """Give switches to other controllers, with empty tables; a switch that has failed gets its controller
        when it returns.

        The tables are emptied while a switch has no controller: the old one can't add to them any more, and
        the new one finds them empty when the switch connects. Raises ``OpenVSwitchError``.
        """
        wanted = {operation.switch: operation for operation in some}
        jobs = []
        for domain in self.domains:
            here = [
                replace(bridge, controller=wanted[bridge.switch].new)
                for bridge in domain.bridges
                if bridge.switch in wanted
            ]
            if here:
                jobs.append(partial(self._give_in, self._running[domain.name], here))
        in_threads(jobs)

    def _give_in(self, switch: OpenVSwitch, some: Iterable[BridgePlan]) -> None:
        there = switch.bridge_rows()
        bridges = [bridge for bridge in some if bridge.device in there]
        switch.apply([operation for b in bridges for operation in ovsdb.no_controller(b.device)])
        for bridge in bridges:
            try:
                ofctl.clear(switch.run_dir, bridge.device)
            except ofctl.NoAnswer as silence:
                raise OpenVSwitchError(f"the tables of {bridge.switch} can't be emptied: {silence}") from None
        operations = [
            operation
            for bridge in bridges
            for operation in ovsdb.other_controller(bridge, target(bridge, self._controllers))
        ]
        switch.apply(operations)

    def set_ports(self, old: Ports, new: Ports) -> None:
        """Change the ports of all switches from ``old`` to ``new``. A switch without an entry has failed."""
        for domain in self.domains:
            operations = self._port_changes(domain, old, new)
            if operations:
                self._running[domain.name].apply(operations)

    def _port_changes(self, domain: DomainPlan, old: Ports, new: Ports) -> list[ovsdb.Operation]:
        operations: list[ovsdb.Operation] = []
        changed = [bridge for bridge in domain.bridges if old.get(bridge.switch) != new.get(bridge.switch)]
        if not changed:
            return []
        switch = self._running[domain.name]
        rows, bridges = switch.port_rows(), switch.bridge_rows()
        for bridge in changed:
            before, after = old.get(bridge.switch), new.get(bridge.switch)
            there = bridges.get(bridge.device)
            if after is None:
                operations += ovsdb.remove_bridge(there) if there is not None else []
            elif there is None:
                ports = tuple(port for port in bridge.ports if port in after)
                whole = replace(bridge, ports=ports)
                to = target(bridge, self._controllers)
                operations += ovsdb.bridge_operations([whole], self.datapath.type, to)
            else:
                operations += _exchange(bridge, (before or frozenset()) - after, after, rows)
        return operations

    # Asking

    def notice_devices(self) -> None:
        """Wait until all have read the kernel's events about devices."""
        in_threads([switch.notice_devices for switch in self._running.values()])

    def forget_worked_out(self) -> None:
        """Make all drop their cached translations, so that the present flows apply to every packet."""
        in_threads([switch.forget_worked_out for switch in self._running.values()])
        for domain in self.domains:
            self._make_room(domain)

    def _tell_daemon(self, domain: str, news: News) -> None:
        """Pass on what happens to a daemon; a new ovs-vswitchd has new sockets."""
        if news.state == "working" and news.program == "ovs-vswitchd":
            for planned in self.domains:
                if planned.name == domain:
                    self._make_room(planned)
        self._tell(domain, news)

    def _make_room(self, domain: DomainPlan) -> None:
        """Let what waits for a shaped wire of a domain cost no other wire (see ``dataplane.ovs.queues``)."""
        shaped = [(bridge, port) for bridge in domain.bridges for port in bridge.ports if port.shaped]
        switch = self._running[domain.name]
        pid = switch.pids().get("ovs-vswitchd", 0)
        if not shaped or not pid or self.datapath != USERSPACE or queues.widen(pid):
            return
        bridge, port = shaped[0]
        with contextlib.suppress(ofctl.NoAnswer):  # a switch that has failed; the next change comes back here
            ofctl.send(switch.run_dir, bridge.device, port.number, queues.WAKING)
            queues.widen(pid)

    def daemon_sockets(self) -> dict[tuple[str, str], tuple[int, Path]]:
        """(domain, program) -> process id and control socket of every daemon that runs."""
        return {
            (domain, program): (pid, control_socket(switch.run_dir, program, pid))
            for domain, switch in list(self._running.items())
            for program, pid in switch.pids().items()
            if pid
        }

    def stop(self) -> None:
        """End all daemons."""
        for switch in self._running.values():
            switch.stop()
        self._running = {}


def target(bridge: BridgePlan, controllers: Mapping[str, tuple[str, int]]) -> str | None:
    """The target of a switch's controller in Open vSwitch's form (ovs-vswitchd.conf.db(5)); None: no
    controller.

    ``controllers``: name -> address and TCP port.
    """
    address = controllers.get(bridge.controller)
    return f"tcp:{address[0]}:{address[1]}" if address is not None else None


def _exchange_in(switch: OpenVSwitch, some: Iterable[tuple[BridgePlan, SetPorts]]) -> None:
    rows = switch.port_rows()
    operations = [
        operation
        for bridge, change in some
        for operation in _exchange(bridge, change.lost, change.gained, rows)
    ]
    if operations:
        switch.apply(operations)


def _exchange(
    bridge: BridgePlan, lost: frozenset[PortPlan], gained: frozenset[PortPlan], rows: Mapping[str, str]
) -> list[ovsdb.Operation]:
    """The removals and additions of ports that are still necessary; ``rows`` are the present ports.

    An earlier request may have been done although its answer was lost.
    """
    going = {port.device for port in lost if port.device in rows}
    coming = [port for port in gained if port.device not in rows or port.device in going]
    operations = (
        ovsdb.remove_ports(bridge.device, [rows[device] for device in sorted(going)]) if going else []
    )
    return operations + ovsdb.add_ports(bridge.device, sorted(coming, key=lambda port: port.number))
