"""Operations on a running lab: add, move and remove namespaces, wires, ports and tunnels."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

from dataplane.change.operations import (
    AddSpace,
    AddTunnel,
    AddWire,
    ConfigureWire,
    Forward,
    MoveWire,
    Operation,
    RemoveSpace,
    RemoveTunnel,
    RemoveWire,
    SetEnds,
    SetMtu,
    SetPorts,
    SetTimeouts,
)
from dataplane.fabric.building import Building
from dataplane.fabric.underlay import UnderlayFabric
from dataplane.hosts import interface
from dataplane.hosts.drivers import driver
from dataplane.netlink.overlay import move_device
from dataplane.netlink.route import delete_link, set_index, set_link
from dataplane.netlink.shaping import qdiscs
from dataplane.ovs import ovsdb
from dataplane.ovs.openvswitch import OpenVSwitch
from dataplane.plan.lab import BridgePlan, DomainPlan, PortPlan, WirePlan
from dataplane.sandbox import namespaces
from dataplane.sandbox.namespaces import in_threads

GONE = frozenset({errno.ENODEV})
"""The kernel's error for a device that is already deleted: a pair is deleted with either end."""

Ports = Mapping[str, frozenset[PortPlan]]


class Operating(Building):
    """A lab on which operations can be done."""

    def carry_out(self, operations: Sequence[Operation], done: list[Operation] | None = None) -> None:
        """Do the operations in order; successive operations of one kind are done together.

        Each finished operation is added to ``done``. Raises the first error.
        """
        for kind, group in groupby(operations, type):
            some = list(group)
            # These may be done in part, or done although they failed; they can be undone in each case.
            uncertain = kind in (AddSpace, AddWire, AddTunnel, SetPorts)
            if done is not None and uncertain:
                done += some
            self._carry_out(kind, some)
            if done is not None and not uncertain:
                done += some

    def _carry_out(self, kind: type[Operation], some: list[Any]) -> None:
        one_by_one: dict[Any, Callable[[Any], None]] = {
            RemoveSpace: self._remove_space,
            RemoveWire: lambda operation: self._remove_wire(operation.wire),
            MoveWire: lambda operation: self._move_wire(operation.old, operation.new),
            ConfigureWire: lambda operation: self._configure_wire(operation.old, operation.new),
            SetEnds: self._set_ends,
            SetTimeouts: self._set_timeouts,
            AddTunnel: lambda operation: self._tunnels.add_device(operation.device),
            RemoveTunnel: lambda operation: self._tunnels.remove_device(operation.device),
            Forward: lambda operation: self._tunnels.forward(operation),
            SetMtu: lambda operation: self._tunnels.set_mtu(operation.end, operation.new),
        }
        if kind is AddSpace:
            self._add_spaces(some)
        elif kind is AddWire:
            wires = [operation.wire for operation in some]
            self.make_wires(wires)
            domains = {domain.netns for domain in self.plan.domains}
            self.address_wires([wire for wire in wires if wire.near.netns not in domains])
        elif kind is SetPorts:
            self._set_ports(some)
        else:
            for operation in some:
                one_by_one[kind](operation)

    @property
    def _tunnels(self) -> UnderlayFabric:
        assert self._underlay is not None
        return self._underlay

    def _add_spaces(self, some: Sequence[AddSpace]) -> None:
        self._hosts |= {each.netns: each.host for each in some if each.host is not None}
        self.make_spaces({each.netns: each.kind for each in some})

    def _remove_space(self, operation: RemoveSpace) -> None:
        try:
            if (host := self._hosts.pop(operation.netns, None)) is not None:
                self.stop_host(host)
        finally:
            space = self._spaces.pop(operation.netns, None)
            if space is not None:
                namespaces.remove(space)

    def _remove_wire(self, wire: WirePlan) -> None:
        # Delete it by the switch's end: the host may have renamed or moved the other end.
        self._spaces[wire.far.netns].netlink.run([delete_link(wire.far.device)], GONE)

    def _move_wire(self, old: WirePlan, new: WirePlan) -> None:
        here, there = self._spaces[old.far.netns].netlink, self._spaces[new.far.netns]
        here.run([move_device(here.index_of(old.far.device), there.fd, new.far.device)])
        self.deafen_ports([new.far])
        index = there.netlink.index_of(new.far.device)
        shaping = qdiscs(index, new.shaping) if new.shaping else []
        there.netlink.run([*shaping, set_index(index, True)])

    def _configure_wire(self, old: WirePlan, new: WirePlan) -> None:
        space, host = self._spaces[new.near.netns], self._hosts.get(new.near.netns)
        if host is None:
            interface.reconfigure(space, old, new)
        else:
            driver(host.kind).rewire(host, space, old, new)

    def _set_timeouts(self, operation: SetTimeouts) -> None:
        self._switches[operation.domain].apply(ovsdb.timeout_operations(self.datapath, operation.new))

    def _set_ends(self, operation: SetEnds) -> None:
        for ends, up in ((operation.down, False), (operation.up, True)):
            for netns, device in sorted(ends):
                self._spaces[netns].netlink.run([set_link(device, up)], GONE)

    def _set_ports(self, some: Iterable[SetPorts]) -> None:
        """Change ports: in several domains at the same time, and in one transaction for each domain."""
        wanted = {operation.switch: operation for operation in some}
        jobs = []
        for domain in self.plan.domains:
            here = [(each, wanted[each.switch]) for each in domain.bridges if each.switch in wanted]
            if here:
                jobs.append(partial(self._set_ports_in, self._switches[domain.name], here))
        in_threads(jobs)

    @staticmethod
    def _set_ports_in(switch: OpenVSwitch, some: Iterable[tuple[BridgePlan, SetPorts]]) -> None:
        rows = switch.port_rows()
        operations = [
            each
            for bridge, operation in some
            for each in _exchange(bridge, operation.lost, operation.gained, rows)
        ]
        if operations:
            switch.apply(operations)

    def set_ports(self, old: Ports, new: Ports) -> None:
        """Change the ports of all switches from ``old`` to ``new``. A switch without an entry has failed."""
        for domain in self.plan.domains:
            operations = self._port_changes(domain, old, new)
            if operations:
                self._switches[domain.name].apply(operations)

    def _port_changes(self, domain: DomainPlan, old: Ports, new: Ports) -> list[ovsdb.Operation]:
        operations: list[ovsdb.Operation] = []
        changed = [each for each in domain.bridges if old.get(each.switch) != new.get(each.switch)]
        if not changed:
            return []
        switch = self._switches[domain.name]
        rows, bridges = switch.port_rows(), switch.bridge_rows()
        for bridge in changed:
            before, after = old.get(bridge.switch), new.get(bridge.switch)
            there = bridges.get(bridge.device)
            if after is None:
                operations += ovsdb.remove_bridge(there) if there is not None else []
            elif there is None:
                ports = tuple(port for port in bridge.ports if port in after)
                whole = replace(bridge, ports=ports)
                operations += ovsdb.bridge_operations([whole], self.datapath, self._target(bridge))
            else:
                operations += _exchange(bridge, (before or frozenset()) - after, after, rows)
        return operations


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
