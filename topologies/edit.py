"""Changes of a resolved topology: functions from a topology to the changed one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from typing_extensions import assert_never

from topologies.model.applications import Application
from topologies.model.attachment import (
    AtPorts,
    EndSystem,
    Flows,
    Inline,
    InlineInstance,
    Scalable,
    Tap,
    TapInstance,
)
from topologies.model.endpoints import plugs
from topologies.model.functions import Function
from topologies.model.host_wires import host_wires, seen_from_other_end
from topologies.model.topology import Port, Topology
from topologies.model.trunks import beside
from topologies.model.wires import Shaping, both_ways
from topologies.resolve.functions import INSTANCE_PORT, instance_names
from topologies.resolve.mtus import misfits
from topologies.resolve.shaping import faults
from topologies.syntax import units
from topologies.syntax.problem import shown
from topologies.syntax.service_units import MOST_INSTANCES


class Impossible(ValueError):
    """The change cannot be made: ``what`` is wrong, and the ``remedy``."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def switch_in(topology: Topology, domain: str) -> str:
    """The first switch of ``domain``, to which a host moves when the user names only the domain."""
    domains = [domain.name for domain in topology.domains]
    if domain not in domains:
        raise Impossible(f"there is no domain {shown(domain)}", f"there are: {', '.join(domains[:12])}")
    for switch in topology.switches:
        if switch.domain == domain and switch.role == "switch":
            return switch.name
    raise Impossible(f"domain {domain} has no switch for hosts", "move it to another domain")


def refuse_on_wires(topology: Topology, host: str) -> None:
    """Raise ``Impossible`` for an interface on a wire to another host: it is at no switch."""
    peer = next((known.peer for known in topology.hosts if known.name == host), "")
    if peer:
        what = f"{host} can't move to a switch: it is on a wire to {peer}"
        raise Impossible(what, "write switch: instead of peer: in the file, and apply it")


def move(topology: Topology, host: str, switch: str) -> Topology:
    """The same lab with ``host`` on ``switch``, at its lowest free port; addresses stay.

    All VLANs of a trunk move together. A host that is there already stays where it is. Raises ``Impossible``.
    """
    hosts = {existing.name: existing for existing in topology.hosts}
    if host not in hosts:
        some = ", ".join([*hosts][:12])
        raise Impossible(f"there is no host {shown(host)}", f"there are: {some}")
    switches = {existing.name: existing for existing in topology.switches if existing.role == "switch"}
    if switch not in switches:
        some = ", ".join([*switches][:12])
        raise Impossible(f"there is no switch {shown(switch)} for hosts", f"there are: {some}")
    refuse_on_wires(topology, host)
    moved = hosts[host]
    if moved.at.switch == switch:
        return topology
    for other in beside(topology, moved):
        number = _free_port(topology, switch, 1)
        hosts[other.name] = other.model_copy(update={"port": Port(switch=switch, number=number)})
        topology = topology.model_copy(update={"hosts": tuple(hosts.values())})
    return topology


_EFFECTS: dict[str, Callable[[str], Any]] = {
    "bandwidth": units.bandwidth,
    "delay": units.delay,
    "jitter": units.delay,
    "loss": units.loss,
    "reorder": units.loss,
    "duplicate": units.loss,
    "corrupt": units.loss,
    "queue": units.queue,
}
NOTHING = "none"
"""The value that takes an effect away from a wire."""


def shape(topology: Topology, wire: str, values: Mapping[str, str], source: str = "") -> Topology:
    """The same lab in which a link (``s1-s2``) or a wire of hosts (``h1-s1``, ``r1-r2``) does what ``values``
    say.

    ``values``: key of a topology file -> its text, or ``none``. What they don't name stays. ``source``: only
    what comes from this end changes; empty: both directions. Raises ``Impossible``.
    """
    changes: dict[str, Any] = {}
    for key, text in values.items():
        if key != "mtu" and key not in _EFFECTS:
            allowed = ", ".join((*_EFFECTS, "mtu"))
            raise Impossible(f"a wire has no {shown(key)}", f"allowed: {allowed}")
        try:
            if key == "mtu":
                changes[key] = units.wire_mtu(text)
            else:
                changes[key] = None if text == NOTHING else _EFFECTS[key](text) or None
        except units.BadValue as bad:
            raise Impossible(f"{key}: {bad.what}", bad.remedy or f"allowed: {bad.allowed}") from None
    mtu = changes.pop("mtu", None)
    for link in topology.links:
        if link.name == wire:
            ends = link.a.switch, link.b.switch
            new: dict[str, Any] = {"shaping": _reshaped(link.shaping, ends, changes, source)}
            new |= {"mtu": mtu} if mtu is not None else {}
            changed = {**{one.name: one for one in topology.links}, wire: link.model_copy(update=new)}
            return _fitting(topology.model_copy(update={"links": tuple(changed.values())}))
    for between in host_wires(topology):
        if between.name == wire:
            one_way = _reshaped(between.shaping, between.ends, changes, source)
            there = {between.a.name: one_way, between.b.name: seen_from_other_end(one_way)}
            more = {"mtu": mtu} if mtu is not None else {}
            ended = tuple(
                host.model_copy(update={"shaping": there[host.name], **more}) if host.name in there else host
                for host in topology.hosts
            )
            return _fitting(topology.model_copy(update={"hosts": ended}))
    for host in topology.attached:
        if f"{host.name}-{host.at.switch}" == wire:
            ends = host.name, host.at.switch
            new = {"shaping": _reshaped(host.shaping, ends, changes, source)}
            new |= {"mtu": mtu} if mtu is not None else {}
            hosts = {**{one.name: one for one in topology.hosts}, host.name: host.model_copy(update=new)}
            return _fitting(topology.model_copy(update={"hosts": tuple(hosts.values())}))
    if topology.underlay is not None and any(link.name == wire for link in topology.underlay.links):
        remedy = "change the file, then: sdnlab down, sdnlab up FILE"
        raise Impossible(f"{wire} is a link of the underlay, which can't change while the lab runs", remedy)
    some = ", ".join([link.name for link in topology.links][:12])
    raise Impossible(f"there is no link {shown(wire)}", f"there are: {some}" if some else "")


def _reshaped(shaping: Shaping, ends: tuple[str, str], changes: Mapping[str, Any], source: str) -> Shaping:
    if source and source not in ends:
        raise Impossible(f"the wire does not end at {shown(source)}", f"it ends at {ends[0]} and {ends[1]}")
    ways = [
        way.model_copy(update=changes) if source in ("", end) else way
        for end, way in zip(ends, shaping.ways, strict=True)
    ]
    for way in ways:
        for fault in faults(way):
            raise Impossible(fault.what, f"allowed: {fault.allowed}")
    return both_ways(*ways)


def _fitting(topology: Topology) -> Topology:
    """The same lab, if packets of every host fit into links and tunnels, and what IPv6 needs."""
    for misfit in misfits(topology):
        raise Impossible(misfit.what, f"allowed: {misfit.allowed}")
    return topology


def controlled_by(topology: Topology, application: Application) -> Topology:
    """The same lab with ``application`` as the controller of all its switches.

    Raises ``Impossible`` if it has functions: nobody would steer traffic to them.
    """
    if topology.functions:
        some = ", ".join(function.name for function in topology.functions)
        remedy = "write controller: at some switches in the file, and leave those of functions to sdnlab"
        raise Impossible(f"an app steers nothing to the lab's functions ({some})", remedy)
    ours = {"controller": application.name}
    switches = [
        switch.model_copy(update=ours) if switch.role == "switch" else switch for switch in topology.switches
    ]
    return topology.model_copy(
        update={
            "domains": tuple(domain.model_copy(update=ours) for domain in topology.domains),
            "switches": tuple(switches),
            "applications": (application,),
        }
    )


def scale(topology: Topology, function: str, count: int) -> Topology:
    """The same lab with ``count`` instances of ``function``. Raises ``Impossible``.

    Instances that stay keep their names and ports. When there are fewer, the last ones are removed.
    """
    functions = {existing.name: existing for existing in topology.functions}
    if function not in functions:
        some = ", ".join([*functions][:12])
        raise Impossible(f"there is no function {shown(function)}", f"there are: {some}" if some else "")
    old = functions[function]
    attachment = old.attachment
    if not isinstance(attachment, Scalable):
        scaled = ", ".join(scalable.name for scalable in topology.functions if scalable.instances)
        what = f"function {function} has no instances: {_place(attachment)} does its work"
        raise Impossible(what, f"there are of: {scaled}" if scaled else "")
    if not 1 <= count <= MOST_INSTANCES:
        raise Impossible(f"{count} is out of range", f"1 to {MOST_INSTANCES} instances")
    names = instance_names(function, count)
    taken = _names(topology) - {instance.name for instance in attachment.instances}
    clash = next((name for name in names if name in taken), None)
    if clash is not None:
        raise Impossible(f"{clash} is the name of something else", "rename that")
    attachment = _first(attachment, count)
    changed = _attached(topology, old, attachment)
    for name in names[len(attachment.instances) :]:
        attachment = _with_instance(changed, attachment, name)
        changed = _attached(topology, old, attachment)
    return changed


def _first(attachment: Scalable, count: int) -> Scalable:
    """The first ``count`` instances alone."""
    match attachment:
        case Inline():
            return replace(attachment, instances=attachment.instances[:count])
        case Tap():
            return replace(attachment, instances=attachment.instances[:count])
    assert_never(attachment)


def _with_instance(topology: Topology, attachment: Scalable, name: str) -> Scalable:
    """One more instance, at the lowest free ports of its switch."""

    def lowest(least: int) -> Port:
        return Port(switch=attachment.switch, number=_free_port(topology, attachment.switch, least))

    inward = lowest(INSTANCE_PORT)
    match attachment:
        case Inline():
            bump = InlineInstance(name=name, inward=inward, outward=lowest(inward.number + 1))
            return replace(attachment, instances=(*attachment.instances, bump))
        case Tap():
            tap = TapInstance(name=name, inward=inward)
            return replace(attachment, instances=(*attachment.instances, tap))
    assert_never(attachment)


def _attached(topology: Topology, function: Function, attachment: Scalable) -> Topology:
    """The same lab with ``function`` attached like this."""
    changed = function.model_copy(update={"attachment": attachment})
    functions = tuple(changed if other.name == function.name else other for other in topology.functions)
    return topology.model_copy(update={"functions": functions})


def _place(attachment: Flows | AtPorts | EndSystem) -> str:
    """Where a function without instances is carried out, in words."""
    match attachment:
        case Flows():
            return f"switch {attachment.switch}"
        case AtPorts():
            return "every switch"
        case EndSystem():
            return "one host"
    assert_never(attachment)


def _names(topology: Topology) -> set[str]:
    """All names that a new instance may not have."""
    parts = (topology.domains, topology.networks, topology.switches, topology.hosts, topology.routers)
    names = {member.name for part in parts for member in part}
    names |= set(topology.underlay.routers) if topology.underlay is not None else set()
    names |= {function.name for function in topology.functions}
    return names | {instance.name for function in topology.functions for instance in function.instances}


def _free_port(topology: Topology, switch: str, least: int) -> int:
    """The lowest free port number of a switch from ``least`` on."""
    used = {plug.port.number for plug in plugs(topology) if plug.port.switch == switch}
    return next(number for number in range(least, least + len(used) + 1) if number not in used)
