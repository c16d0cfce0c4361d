"""The operations that lead from one plan to another plan of the same switches, in order. Pure.

Make before break: ``extend`` adds the new parts beside the old ones and changes no old part; ``shift`` moves
and replaces parts that can't exist twice (a host's wire, a port's number); ``finish`` removes the parts that
are no longer used.  A part that is equal in both plans needs no operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from dataplane.change.operations import (
    AddSpace,
    AddTunnel,
    AddWire,
    ConfigureWire,
    End,
    Forward,
    MoveWire,
    Operation,
    RemoveSpace,
    RemoveTunnel,
    RemoveWire,
    SetController,
    SetEnds,
    SetMtu,
    SetPorts,
    SetShaped,
    SetTimeouts,
    SetTrunks,
)
from dataplane.plan.lab import Plan, space_kinds
from dataplane.plan.pieces import PortPlan, WirePlan
from dataplane.plan.trunks import TrunkPlan
from dataplane.plan.underlay import VxlanPlan
from dataplane.plan.volumes import impossible
from dataplane.plan.wiring import Wiring, wire_name
from topologies.model.choices import SDNLAB
from topologies.model.topology import Switch, Topology

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Steps:
    """Operations in order, in three parts."""

    extend: tuple[Operation, ...]
    shift: tuple[Operation, ...]
    finish: tuple[Operation, ...]

    @property
    def all(self) -> tuple[Operation, ...]:
        """All of them."""
        return (*self.extend, *self.shift, *self.finish)


def unchangeable(old: Topology, new: Topology) -> list[str]:
    """The differences that can't be changed while a lab runs, as texts; empty when all can be changed."""
    differences: list[str] = []
    all_switches = [_whoever_controls(topology) for topology in (old, new)]
    drawn = [[switch for switch in switches if switch.role == "switch"] for switches in all_switches]
    for kind, a, b in (("domain", old.domains, new.domains), ("switch", drawn[0], drawn[1])):
        before, after = {part.name: part for part in a}, {part.name: part for part in b}
        differences += [f"{kind} {name} would be added" for name in after if name not in before]
        differences += [f"{kind} {name} would be removed" for name in before if name not in after]
        both = [name for name in after if name in before]
        differences += [f"{kind} {name} would change" for name in both if before[name] != after[name]]
    if old.underlay != new.underlay:
        what = "change"
        if old.underlay is None or new.underlay is None:
            what = "be added" if old.underlay is None else "be removed"
        differences.append(f"the underlay between domains would {what}")
    differences += impossible(old, new)
    if not differences and all_switches[0] != all_switches[1]:
        differences.append("the switches at the ends of tunnels would change")
    return differences


def _whoever_controls(topology: Topology) -> list[Switch]:
    """The switches without their controllers, which can change."""
    return [switch.model_copy(update={"controller": SDNLAB}) for switch in topology.switches]


def renamed(links_down: frozenset[str], old: Plan, new: Plan) -> frozenset[str]:
    """Names of cut links in the new plan: a host's cut wire stays cut when it moves; removed links are left
    out."""
    before = {host.name: wire_name(host.name, host.switch) for host in old.hosts if host.switch}
    names = {before[h.name]: wire_name(h.name, h.switch) for h in new.hosts if h.switch and h.name in before}
    there = {link.name for link in new.links} | {wire.name for wire in new.underlay.links}
    there |= {wire.name for wire in new.host_wires}
    kept = {names[name] for name in links_down if name in names}
    return frozenset(kept | {name for name in links_down if name in there})


def steps(old: Plan, new: Plan, before: Wiring, after: Wiring) -> Steps:
    """``before``, ``after``: the wiring of the two plans. Their bridges must be the same, except for their
    controllers."""
    wires = _Wires(old.wires, new.wires)
    spaces = space_kinds(old), space_kinds(new)
    hosts = [{host.netns: host for host in plan.hosts if not host.host.of} for plan in (old, new)]
    tunnels = _tunnels(old), _tunnels(new)
    ports = _Ports(old, before, after, wires)
    extend: list[Operation] = [
        AddSpace(n, kind, hosts[1].get(n)) for n, kind in spaces[1].items() if n not in spaces[0]
    ]
    timeouts = _timeouts(old, new)
    extend += timeouts[0]
    extend += [AddTunnel(device) for end, device in tunnels[1].items() if end not in tunnels[0]]
    extend += [ConfigureWire(was, replace(was, whole=True)) for was in wires.no_longer_aided]
    extend += [AddWire(wire) for wire in wires.early]
    extend += ports.set({}, ports.extending)
    extend += ports.set_shaped(True)
    lost, gained = _trunks(old, new, wires)
    shift: list[Operation] = [SetTrunks(lost=lost)] if lost else []
    shift += ports.set(ports.cleared, {})
    shift += [RemoveWire(wire) for wire in wires.cleared]
    finish: list[Operation] = []
    for end, device in tunnels[1].items():
        if end in tunnels[0] and tunnels[0][end] != device:
            first, then, last = _change_forwarding(end, tunnels[0][end], device)
            extend += first
            shift += then
            finish += last
    shift += [MoveWire(a, b) for a, b in wires.moved]
    shift += [ConfigureWire(a, b) for a, b in wires.configured]
    shift += [AddWire(wire) for wire in wires.late]
    shift += _set_ends(before, after, wires)
    shift += ports.set(ports.swapped, ports.shifting)
    shift += [SetTrunks(gained=gained)] if gained else []
    shift += _set_controllers(old, new)
    finish += [ConfigureWire(replace(wire, whole=True), wire) for wire in wires.aided_again]
    finish += ports.set_shaped(False)
    finish += ports.set(ports.finishing, {})
    finish += [RemoveWire(wire) for wire in wires.last]
    finish += [RemoveTunnel(device) for end, device in tunnels[0].items() if end not in tunnels[1]]
    finish += timeouts[1]
    finish += [RemoveSpace(n, kind, hosts[0].get(n)) for n, kind in spaces[0].items() if n not in spaces[1]]
    return Steps(tuple(extend), tuple(shift), tuple(finish))


def _set_controllers(old: Plan, new: Plan) -> Iterator[Operation]:
    """Give switches to other controllers when they have all that these may want to know of them."""
    was = {bridge.switch: bridge.controller for domain in old.domains for bridge in domain.bridges}
    for domain in new.domains:
        for bridge in domain.bridges:
            before = was.get(bridge.switch, bridge.controller)
            if before != bridge.controller:
                yield SetController(bridge.switch, before, bridge.controller)


def _trunks(old: Plan, new: Plan, wires: _Wires) -> tuple[tuple[TrunkPlan, ...], tuple[TrunkPlan, ...]]:
    """The trunks whose bridges go before wires change, and those whose bridges come after. A bridge is made
    anew when any of its devices is."""
    touched = wires.remade | wires.leaving | wires.coming
    same = {trunk for trunk in {*old.trunks} & {*new.trunks} if not trunk.ends & touched}
    lost = tuple(trunk for trunk in old.trunks if trunk not in same)
    return lost, tuple(trunk for trunk in new.trunks if trunk not in same)


def _timeouts(old: Plan, new: Plan) -> tuple[list[Operation], list[Operation]]:
    """Operations to do first and last: new zones and new times come first, unused ones go last."""
    before = {domain.name: domain.udp_timeouts for domain in old.domains}
    first: list[Operation] = []
    last: list[Operation] = []
    for domain in new.domains:
        was = before.get(domain.name, domain.udp_timeouts)
        both = tuple(sorted({**dict(was), **dict(domain.udp_timeouts)}.items()))
        first += [SetTimeouts(domain.name, was, both)] if both != was else []
        last += [SetTimeouts(domain.name, both, domain.udp_timeouts)] if both != domain.udp_timeouts else []
    return first, last


def _tunnels(plan: Plan) -> dict[End, VxlanPlan]:
    return {(device.netns, device.device): device for device in plan.underlay.devices}


def _ends_of(wire: WirePlan) -> tuple[End, End]:
    return (wire.near.netns, wire.near.device), (wire.far.netns, wire.far.device)


class _Wires:
    """``early``: new wires whose ends are free; ``late``: other new wires. ``cleared``: old wires that must
    be removed before the late ones; ``last``: other old wires.

    If a host must send whole packets (without offloads) in one of the plans, it does so during the change:
    ``no_longer_aided`` (old wires) from the first part on, ``aided_again`` (new wires) at the end.
    """

    def __init__(self, old: Mapping[Key, WirePlan], new: Mapping[Key, WirePlan]) -> None:
        held = {end for wire in old.values() for end in _ends_of(wire)}
        self.moved: list[tuple[WirePlan, WirePlan]] = []
        self.configured: list[tuple[WirePlan, WirePlan]] = []
        self.no_longer_aided: list[WirePlan] = []
        self.aided_again: list[WirePlan] = []
        gone = [wire for key, wire in old.items() if key not in new]
        come = [wire for key, wire in new.items() if key not in old]
        self.kept: set[End] = set()
        for key, wire in new.items():
            was = old.get(key)
            if was is None:
                continue
            alike = (was.near, was.thick) == (wire.near, wire.thick)
            # a function holds the devices of its wires together by their MTU
            alike = alike and (not wire.thick or was.mtu == wire.mtu or key[0] == "link")
            stays = alike and was.far == wire.far
            if not stays and (not alike or key[0] in ("link", "between") or _ends_of(wire)[1] in held):
                gone.append(was)
                come.append(wire)
                continue
            if was.whole != wire.whole and wire.back is None:
                (self.no_longer_aided if wire.whole else self.aided_again).append(was if wire.whole else wire)
                was, wire = replace(was, whole=True), replace(wire, whole=True)
            if stays:
                self.kept |= set(_ends_of(wire))
                self.configured += [(was, wire)] if was != wire else []
            else:
                there = _configured(was, wire)
                self.moved.append((was, there))
                self.configured += [(there, wire)] if there != wire else []
        self.early = [wire for wire in come if not held & set(_ends_of(wire))]
        self.late = [wire for wire in come if held & set(_ends_of(wire))]
        taken = {end for wire in self.late for end in _ends_of(wire)}
        self.cleared = [wire for wire in gone if taken & set(_ends_of(wire))]
        self.last = [wire for wire in gone if not taken & set(_ends_of(wire))]
        self.leaving = {_ends_of(a)[1] for a, _ in self.moved}
        self.coming = {_ends_of(b)[1] for _, b in self.moved} | taken
        self.remade = {end for wire in self.cleared for end in _ends_of(wire)}


def _configured(was: WirePlan, wire: WirePlan) -> WirePlan:
    """``wire`` after its move, before it is configured."""
    return replace(
        wire,
        addresses=was.addresses,
        gateways=was.gateways,
        mtu=was.mtu,
        shaping=was.shaping,
        congestion=was.congestion,
        whole=was.whole,
        largest=was.largest,
        table=was.table,
        routes=was.routes,
    )


class _Ports:
    """Which ports are added and removed in each part; each is a mapping from switch to ports."""

    def __init__(self, old: Plan, before: Wiring, after: Wiring, wires: _Wires) -> None:
        names = {b.switch: domain.netns for domain in old.domains for b in domain.bridges}
        self.turned: dict[str, frozenset[PortPlan]] = {}
        """Ports, as they become, for which only it changes whether they are shaped."""
        self.extending: dict[str, frozenset[PortPlan]] = {}
        self.cleared: dict[str, frozenset[PortPlan]] = {}
        self.swapped: dict[str, frozenset[PortPlan]] = {}
        self.shifting: dict[str, frozenset[PortPlan]] = {}
        self.finishing: dict[str, frozenset[PortPlan]] = {}
        lost: dict[str, set[PortPlan]] = {}
        gained: dict[str, set[PortPlan]] = {}
        for switch, have in before.ports.items():
            wanted = after.ports.get(switch, frozenset())
            # For Open vSwitch, a new device with the name of an old one is another device
            others = wires.remade | wires.leaving | wires.coming
            same = {p for p in have & wanted if not (p.is_device and (names[switch], p.device) in others)}
            turned = {p for p in wanted - have if replace(p, shaped=not p.shaped) in have - wanted}
            turned = {p for p in turned if (names[switch], p.device) not in others}
            self.turned[switch] = frozenset(turned)
            were = {replace(p, shaped=not p.shaped) for p in turned}
            lost[switch], gained[switch] = set(have - same - were), set(wanted - same - turned)
        held = {(names[switch], port.device) for switch, some in lost.items() for port in some}
        for switch, some in gained.items():
            numbers = {port.number for port in lost[switch]}
            later = {
                port
                for port in some
                if port.number in numbers
                or (names[switch], port.device) in held
                or (port.is_device and (names[switch], port.device) in wires.coming)
            }
            self.extending[switch], self.shifting[switch] = frozenset(some - later), frozenset(later)
        wanted_now = {(names[s], port.device) for s, some in self.shifting.items() for port in some}
        for switch, some in lost.items():
            numbers = {port.number for port in self.shifting.get(switch, frozenset())}
            ends = {port: (names[switch], port.device) for port in some}
            replaced = wires.remade | {ends[port] for port in some if port in gained[switch]}
            cleared = {port for port in some if port.is_device and ends[port] in replaced}
            swapped = {
                port
                for port in some - cleared
                if port.number in numbers
                or ends[port] in wanted_now
                or (port.is_device and ends[port] in wires.leaving)
            }
            self.cleared[switch], self.swapped[switch] = frozenset(cleared), frozenset(swapped)
            self.finishing[switch] = frozenset(some - cleared - swapped)

    def set_shaped(self, shaped: bool) -> list[Operation]:
        """An operation for each switch with ports that are shaped from now on, or no longer."""
        operations: list[Operation] = []
        for switch, ports in sorted(self.turned.items()):
            gained = frozenset(port for port in ports if port.shaped is shaped)
            if gained:
                lost = frozenset(replace(port, shaped=not shaped) for port in gained)
                operations.append(SetShaped(switch, lost, gained))
        return operations

    def set(
        self, lost: Mapping[str, frozenset[PortPlan]], gained: Mapping[str, frozenset[PortPlan]]
    ) -> list[Operation]:
        """An operation for each switch with changed ports."""
        none: frozenset[PortPlan] = frozenset()
        operations: list[Operation] = []
        for switch in sorted({*lost, *gained}):
            less, more = lost.get(switch, none), gained.get(switch, none)
            if less or more:
                operations.append(SetPorts(switch, less, more))
        return operations


def _set_ends(before: Wiring, after: Wiring, wires: _Wires) -> Iterator[Operation]:
    """Set new and moved wires up; set devices of cut links and of failed switches down again."""
    touched = {end for wire in (*wires.early, *wires.late) for end in _ends_of(wire)} | wires.coming
    up = frozenset((before.down - after.down) & wires.kept)
    down = frozenset(end for end in after.down if end in touched or end not in before.down)
    if up or down:
        yield SetEnds(up, down)


def _change_forwarding(
    end: End, old: VxlanPlan, new: VxlanPlan
) -> tuple[list[Operation], list[Operation], list[Operation]]:
    """Add the new entries first, then change others, and remove old ones last."""
    was, now = dict(old.unicast), dict(new.unicast)
    more = frozenset((mac, vtep) for mac, vtep in now.items() if mac not in was)
    less = frozenset((mac, vtep) for mac, vtep in was.items() if mac not in now)
    elsewhere = {mac for mac, vtep in now.items() if mac in was and was[mac] != vtep}
    flood, flooded = frozenset(new.flood), frozenset(old.flood)
    first: list[Operation] = [SetMtu(end, old.mtu, new.mtu)] if old.mtu < new.mtu else []
    last: list[Operation] = [SetMtu(end, old.mtu, new.mtu)] if old.mtu > new.mtu else []
    add = Forward(end, gained=more, flood_gained=flood - flooded)
    turn = Forward(
        end, frozenset((mac, was[mac]) for mac in elsewhere), frozenset((mac, now[mac]) for mac in elsewhere)
    )
    drop = Forward(end, lost=less, flood_lost=flooded - flood)
    return (
        [*first, *([add] if add else [])],
        [turn] if turn else [],
        [*last, *([drop] if drop else [])],
    )
