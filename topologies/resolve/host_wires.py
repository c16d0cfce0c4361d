"""Wires between hosts: which interfaces of the file are their ends, and the network of each. Pure.

A wire is an entry of ``links`` whose ends are hosts, or an interface with ``peer``. An end for which the file
has no interface becomes one more interface of its host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from topologies.model import host_wires, names
from topologies.model.choices import NAMESPACE, VM
from topologies.syntax.fields import Shaped
from topologies.syntax.host_specification import KINDS, HostSpec, InterfaceSpec
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import LinkSpec, NetworkSpec

Slot = tuple[str, int]
"""A host, and the place of an interface among its interfaces."""


class Added(NamedTuple):
    """An interface that a wire adds to a host. ``device``: its name if the file gives it; ``path``: where the
    file has the wire."""

    device: str
    path: Path


class Drawn(NamedTuple):
    """A wire between two interfaces: what it does, its MTU in bytes, and where the file has it."""

    a: Slot
    b: Slot
    spec: Shaped
    mtu: int | None
    path: Path


@dataclass(frozen=True)
class Drawing:
    """All wires between hosts of a file. ``links``: the indices of the links that are such wires."""

    wires: tuple[Drawn, ...] = ()
    added: Mapping[str, tuple[Added, ...]] = field(default_factory=dict)
    links: frozenset[int] = frozenset()


class Wire(NamedTuple):
    """A wire between two interfaces, by their names; ``network``: its own."""

    a: str
    b: str
    spec: Shaped
    mtu: int | None
    path: Path
    network: str


class _End(NamedTuple):
    """A host, and an interface of it: its place, or the name of one that it has not yet, or neither."""

    host: str
    place: int | None
    device: str


class _Pen:
    """Draws wires one by one."""

    def __init__(self, hosts: Mapping[str, HostSpec], report: Report) -> None:
        self.hosts, self.report = hosts, report
        self.slots = {name: _slots(spec) for name, spec in hosts.items()}
        self.added: dict[str, list[Added]] = {}
        self.joined: set[Slot] = set()
        self.wires: list[Drawn] = []

    def meant(self, text: str) -> _End | None:
        """The end that a text means: ``h1``, or ``h1.eth1``. None: there is no such host."""
        host, _, device = (text, "", "") if text in self.hosts else text.rpartition(".")
        if host not in self.hosts:
            return None
        named = {key: place for place, (key, _) in enumerate(self.slots[host])}
        return _End(host, named.get(device) if device else None, device)

    def spec(self, slot: Slot) -> InterfaceSpec | None:
        """The interface at a place; None: it is one that a wire has added."""
        some = self.slots[slot[0]]
        return some[slot[1]][1] if slot[1] < len(some) else None

    def path(self, slot: Slot) -> Path:
        """Where the file has the interface at a place."""
        spec = self.hosts[slot[0]]
        if not spec.interfaces:
            return ("hosts", slot[0])
        return ("hosts", slot[0], "interfaces", [*spec.interfaces][slot[1]])

    def plug(self, end: _End, path: Path) -> Slot | None:
        """The place of an end that is free; one that the host has not yet is added. None, with a problem,
        when it is taken."""
        if end.place is not None:
            slot = end.host, end.place
            spec = self.spec(slot)
            if slot in self.joined or (spec is not None and spec.switch is not None):
                to = (
                    "a wire"
                    if slot in self.joined
                    else f"switch {spec.switch.switch if spec and spec.switch else ''}"
                )
                what = f"{end.host}.{end.device} is at {to} already"
                self.report.add(path, what, remedy="name another interface, or none: then one is added")
                return None
            return slot
        kind = self.hosts[end.host].kind or NAMESPACE
        place = len(self.slots[end.host]) + len(self.added.get(end.host, ()))
        if place and "interfaces" not in KINDS.get(kind, ()):
            what = f"{end.host} is a {kind}, which has one interface"
            self.report.add(path, what, remedy="remove the wire, or change the kind")
            return None
        self.added.setdefault(end.host, []).append(Added(end.device, path))
        return end.host, place

    def forget(self, path: Path) -> None:
        """Forget the interfaces that the wire at this path has added: it can't be drawn."""
        for host, some in self.added.items():
            self.added[host] = [one for one in some if one.path != path]

    def draw(self, a: Slot | None, b: Slot | None, spec: Shaped, mtu: int | None, path: Path) -> None:
        """Join two interfaces, if both are known, and their hosts can be on such a wire."""
        machines = [slot[0] for slot in (a, b) if slot is not None and self.hosts[slot[0]].kind == VM]
        if machines:
            what = f"{machines[0]} is a virtual machine, which has one interface, at a switch"
            self.report.add(path, what, remedy="write switch: and one of them, or take another kind")
            self.forget(path)
        elif a is not None and b is not None:
            self.joined |= {a, b}
            self.wires.append(Drawn(a, b, spec, mtu, path))


def _slots(spec: HostSpec) -> list[tuple[str, InterfaceSpec]]:
    """The interfaces of a host that the file has, each with the name by which a wire may end there."""
    if spec.interfaces:
        return [
            (f"eth{key}" if key.isdecimal() and key.isascii() else key, one)
            for key, one in spec.interfaces.items()
        ]
    return [("eth0", spec)] if spec.switch is not None or spec.peer is not None else []


def drawing(
    hosts: Mapping[str, HostSpec], links: Sequence[LinkSpec], switches: Mapping[str, object], report: Report
) -> Drawing:
    """The wires between hosts. Problems are reported."""
    pen = _Pen(hosts, report)
    for slot, spec in _with_peer(pen):
        if slot not in pen.joined:
            _draw_interface(pen, slot, spec)
    taken = set()
    for index, link in enumerate(links):
        if len(link.ends or ()) == 2 and _is_between_hosts(pen, index, link, switches):
            taken.add(index)
    if report.problems:  # that a host has no wire now needs no problem of its own
        report.broke(("switches",))
        for host, some in pen.slots.items():
            if not some:
                report.broke(("hosts", host, "switch"))
                report.broke(("hosts", host, "network"))
    return Drawing(
        tuple(pen.wires), {name: tuple(some) for name, some in pen.added.items()}, frozenset(taken)
    )


def _with_peer(pen: _Pen) -> Iterator[tuple[Slot, InterfaceSpec]]:
    for host, some in pen.slots.items():
        for place, (_, spec) in enumerate(some):
            if spec.peer is not None:
                yield (host, place), spec


def _draw_interface(pen: _Pen, slot: Slot, spec: InterfaceSpec) -> None:
    """Draw the wire of an interface with ``peer``."""
    path = (*pen.path(slot), "peer")
    assert spec.peer is not None
    if spec.switch is not None:
        pen.report.add(path, "the interface has a switch and a peer", "one of them", "remove one")
        return
    tagged = "trunk" if spec.trunk is not None else "vlan" if spec.vlan is not None else ""
    if tagged:
        what = f"a wire between hosts has no {tagged}: no switch is there that knows VLANs"
        pen.report.add((*path[:-1], tagged), what, remedy="remove it, or write switch: instead of peer:")
        return
    other = pen.meant(spec.peer)
    if other is None:
        pen.report.unknown(path, "host", spec.peer, pen.hosts, "hosts")
        return
    if other.host == slot[0]:
        pen.report.add(path, f"the wire ends at {shown(slot[0])} twice", "two different hosts", "remove it")
        return
    place = other.place if other.device else _answering(pen, slot, other.host)
    if place is not None:
        back = pen.spec((other.host, place))
        meant = pen.meant(back.peer) if back is not None and back.peer is not None else None
        if meant is not None and (meant.host != slot[0] or meant.place not in (None, slot[1])):
            what = f"the peer of {other.host}.{other.device} is {back.peer if back else ''}"
            pen.report.add(path, what, remedy="let each of both name the other one")
            return
    end = pen.plug(_End(other.host, place, other.device), path)
    theirs = pen.spec(end) if end is not None else None
    keys = [key for key in _properties(spec) if theirs is not None and key in _properties(theirs)]
    if keys and end is not None:
        what = f"both ends say the {keys[0]} of one wire"
        remedy = "write it at one end; what is different in one direction below from"
        pen.report.add((*pen.path(slot), keys[0]), what, remedy=remedy)
    source = theirs if theirs is not None and _properties(theirs) and not _properties(spec) else spec
    mtus = {one.mtu for one in (spec, theirs) if one is not None and one.mtu is not None}
    if len(mtus) > 1:
        what = f"{theirs.mtu if theirs else ''} is the MTU of the other end"
        pen.report.add((*pen.path(slot), "mtu"), what, remedy="write the same at both ends, or at one")
    pen.draw(slot, end, source, max(mtus, default=None), path)


def _properties(spec: InterfaceSpec) -> list[str]:
    """The keys of wires that an interface has."""
    return [
        Shaped.model_fields[key].alias or key for key in Shaped.model_fields if getattr(spec, key) is not None
    ]


def _answering(pen: _Pen, slot: Slot, host: str) -> int | None:
    """The place of a free interface of ``host`` whose peer is this one, or any of its host."""
    loose = None
    for place, (_, spec) in enumerate(pen.slots[host]):
        meant = pen.meant(spec.peer) if spec.peer is not None and (host, place) not in pen.joined else None
        if meant is None or meant.host != slot[0]:
            continue
        if meant.place == slot[1] and meant.device:
            return place
        if not meant.device and loose is None:
            loose = place
    return loose


def _is_between_hosts(pen: _Pen, index: int, link: LinkSpec, switches: Mapping[str, object]) -> bool:
    """Draw a link whose ends are hosts; False: it is none."""
    path: Path = ("links", index)
    texts = [end.switch if end is not None else "" for end in link.ends or ()]
    ends = [None if text in switches else pen.meant(text) for text in texts]
    if not any(ends):
        return False
    a, b = ends
    if a is None or b is None:
        host, other = (texts[0], texts[1]) if a is not None else (texts[1], texts[0])
        if other in switches:
            what = f"{shown(host)} is a host and {shown(other)} a switch"
            remedy = f"write {host}: {other} below hosts"
            pen.report.add((*path, "ends"), what, "two switches, or two hosts", remedy)
        elif other:
            pen.report.unknown((*path, "ends"), "host", other, pen.hosts, "hosts")
        return True
    for end in link.ends or ():
        if end is not None and end.port is not None:
            what = f"{end.switch} is a host, which has no port {end.port}"
            pen.report.add((*path, "ends"), what, remedy=f"write {end.switch}, or {end.switch}.eth1")
            return True
    if a.host == b.host:
        what = f"the wire ends at {shown(a.host)} twice"
        pen.report.add((*path, "ends"), what, "two different hosts", "remove the link")
        return True
    slots = [pen.plug(end, (*path, "ends")) for end in (a, b)]
    if None in slots:
        pen.forget((*path, "ends"))
    for slot in slots:
        spec = pen.spec(slot) if slot is not None else None
        stated = [*_properties(spec), *(["mtu"] if spec.mtu is not None else [])] if spec is not None else []
        if stated and slot is not None:
            what = f"the wire to {slot[0]} has its {stated[0]} among the links"
            pen.report.add((*pen.path(slot), stated[0]), what, remedy="write it at the link")
    pen.draw(slots[0], slots[1], link, link.mtu, path)
    return True


def named(
    drawing: Drawing,
    name_of: Mapping[Slot, str],
    hosts: Mapping[str, HostSpec],
    networks: Mapping[str, NetworkSpec],
    taken: Callable[[str], bool],
    report: Report,
) -> dict[str, Wire]:
    """Name -> each wire. ``name_of``: the name of an interface; ``hosts``: the interfaces, by name.
    ``taken``: whether something else has a name, which no network gets."""
    by_ends: dict[tuple[str, str], Drawn] = {}
    pairs = set()
    for drawn in drawing.wires:
        if drawn.a not in name_of or drawn.b not in name_of:
            continue
        a, b = host_wires.ordered((name_of[drawn.a], drawn.a[0]), (name_of[drawn.b], drawn.b[0]))
        by_ends[a[0], b[0]] = drawn
        pairs.add((a, b))
    wires: dict[str, Wire] = {}
    used: dict[str, str] = {}
    for name, (a_name, b_name) in host_wires.named(host_wires.pairs_of(pairs)).items():
        drawn = by_ends[a_name, b_name]
        stated = {hosts[end].network: end for end in (a_name, b_name) if hosts[end].network is not None}
        own = next(iter(stated), None)
        if len(stated) > 1:
            what = f"the ends of wire {name} are in different networks ({', '.join(map(str, stated))})"
            report.add(("hosts", stated[own], "network"), what, remedy="write the same one at both, or none")
        if own is None:
            plain = name.replace("#", ".")
            plain = plain if names.is_name(plain) else f"wire{len(wires) + 1}"
            own = plain if plain in networks else _free(plain, lambda one: taken(one) or one in networks)
        elif own in used:
            what = f"network {own} is that of wire {used[own]} already, and each wire is a segment of its own"
            report.add(("hosts", stated[own], "network"), what, remedy="name another network, or none")
        used[own] = name
        wires[name] = Wire(a_name, b_name, drawn.spec, drawn.mtu, drawn.path, own)
    return wires


def _free(wanted: str, taken: Callable[[str], bool]) -> str:
    number, name = 1, wanted
    while taken(name):
        number += 1
        name = f"{wanted}.{number}"
    return name


def network_specs(
    wires: Mapping[str, Wire],
    hosts: Mapping[str, HostSpec],
    stated: Mapping[str, NetworkSpec],
    report: Report,
) -> dict[str, NetworkSpec]:
    """The networks of wires that the file does not have: with the subnets of the addresses at their ends."""
    specs: dict[str, NetworkSpec] = {}
    for network, name in {wire.network: name for name, wire in reversed([*wires.items()])}.items():
        _check_network(name, wires[name], hosts, stated.get(network), report)
    for name, wire in wires.items():
        if wire.network in stated:
            continue
        subnets: dict[str, Any] = {}
        for end in (wire.a, wire.b):
            for family, static in (("4", hosts[end].ipv4), ("6", hosts[end].ipv6)):
                if static is not None and static.prefixed:
                    subnets.setdefault(f"subnet{family}", static.interface.network)
        for end in (wire.a, wire.b):
            for family, static in (("4", hosts[end].ipv4), ("6", hosts[end].ipv6)):
                if static is not None and f"subnet{family}" not in subnets:
                    plain = static.interface.ip
                    what = f"nothing says which addresses wire {name} has beside {plain}"
                    prefix = "30" if family == "4" else "64"
                    report.add(("hosts", end, f"ipv{family}"), what, remedy=f"write {plain}/{prefix}")
                    subnets[f"subnet{family}"] = static.interface.network
        specs[wire.network] = NetworkSpec.model_construct(None, **subnets)
    return specs


def _check_network(
    name: str,
    wire: Wire,
    hosts: Mapping[str, HostSpec],
    stated: NetworkSpec | None,
    report: Report,
) -> None:
    """Report a network that is on switches, too, or has what only switches can do."""
    for other, spec in hosts.items():
        if spec.switch is not None and spec.network == wire.network:
            what = f"network {wire.network} is that of wire {name}, on which no switch is"
            report.add(("hosts", other, "network"), what, remedy="name another network")
            break
    for key in ("vni", "dhcp", "gateway4", "gateway6"):
        if getattr(stated, key, None):
            what = f"network {wire.network} is that of wire {name}: no switch is there that could do this"
            report.add(("networks", wire.network, key), what, remedy="remove it")
