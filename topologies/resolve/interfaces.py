"""Hosts with several interfaces: each interface becomes an entry of its own among the hosts. Pure.

The first has the host's name, and all of the host that is no interface. The others are named after the host:
``h1-eth1`` where the file lists interfaces, ``h1-wan`` where it names one ``wan``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count as counting
from types import MappingProxyType
from typing import Any, NamedTuple

from topologies.model.choices import NAMESPACE
from topologies.model.topology import Network
from topologies.resolve import trunks
from topologies.resolve.host_wires import Added
from topologies.syntax.host_specification import KINDS, HostSpec, InterfaceSpec
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import NetworkSpec

MOST = 100
"""Interfaces of a host."""
LONGEST = 15
"""The kernel's limit for the name of a device (IFNAMSIZ)."""
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TAKEN = frozenset(("lo", "all", "default"))
"""Names that a network namespace has already: its loopback, and what sysctls have beside devices."""
_OWN = tuple(InterfaceSpec.model_fields)


class Of(NamedTuple):
    """What an entry is an interface of. ``host``: empty for the first one, which has the host's own name.
    ``device``: its name if the file gives one. ``trunk``, ``vlan``: as in ``topologies.model.hosts.Host``."""

    host: str
    device: str
    trunk: str = ""
    vlan: int | None = None

    def fields(self) -> dict[str, Any]:
        """Those of ``topologies.model.hosts.Host``."""
        return {"of": self.host, "device": self.device, "trunk": self.trunk, "vlan": self.vlan}


NO_INTERFACE = Of("", "")


@dataclass(frozen=True)
class Expanded:
    """The hosts of a file, each interface an entry. ``of``: those of hosts with ``interfaces``.

    ``written``: the path of an entry, or of a key of it -> where the file has it.
    """

    hosts: Mapping[str, HostSpec] = field(default_factory=dict)
    of: Mapping[str, Of] = field(default_factory=dict)
    written: Mapping[Path, Path] = field(default_factory=dict)
    names: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """A host, and the place of an interface among its interfaces -> the entry's name."""

    def where(self, path: Path) -> Path:
        """The path in the file of a path in which each interface is an entry of its own."""
        for length in (3, 2):
            if (there := self.written.get(path[:length])) is not None:
                return (*there, *path[length:])
        return path


def expanded(
    hosts: Mapping[str, HostSpec],
    networks: Mapping[str, NetworkSpec],
    report: Report,
    added: Mapping[str, Sequence[Added]] = MappingProxyType({}),
) -> Expanded:
    """The hosts with their interfaces as entries. ``added``: those that wires between hosts add to a host.
    Problems are reported."""
    entries = _Entries(hosts)
    counts: dict[str, int] = {}
    for host, spec in hosts.items():
        here: Path = ("hosts", host, "interfaces")
        if spec.interfaces is not None:
            _check_place(host, spec, report)
        if spec.interfaces is not None and not spec.interfaces:
            report.add(here, "the host has no interface", "a list like [s1, s2]", "write one")
        if not spec.interfaces:
            if (
                spec.interfaces is None
                and spec.trunk is not None
                and "trunk" in KINDS.get(spec.kind or NAMESPACE, ())
            ):
                entries.add_trunk(host, ("hosts", host), "0", spec, networks, report)
            else:
                entries.written_out[host] = spec
            if spec.interfaces is not None or report.is_broken(here):
                for key in ("switch", "network"):
                    report.broke(("hosts", host, key))  # that they are missing needs no problem of its own
            if host not in entries.of and (
                spec.trunk is not None or report.is_broken(("hosts", host, "trunk"))
            ):
                report.broke(("hosts", host, "network"))
            has_one = spec.switch is not None or spec.peer is not None
            counts[host] = int(has_one)
            if has_one:
                entries.names[host, 0] = host
            if has_one and host in added:
                entries.of.setdefault(host, NO_INTERFACE)
            continue
        if len(spec.interfaces) > MOST:
            report.add(here, f"the host has {len(spec.interfaces)} interfaces", f"up to {MOST}", "take fewer")
        for number, (key, interface) in enumerate([*spec.interfaces.items()][:MOST]):
            if not _is_listed(key):
                _check_device((*here, key), key, report)
            if interface.trunk is not None:
                entries.add_trunk(host, (*here, key), key, interface, networks, report)
            else:
                name = f"{host}-eth{key}" if _is_listed(key) else f"{host}-{key}"
                device = "" if _is_listed(key) else key
                of = Of(host, device)
                called = entries.add(host, name, of, _keys(interface), (*here, key), report)
                if called is not None:
                    entries.names[host, number] = called
        if host not in entries.written_out:  # trunks without a VLAN, which are reported
            entries.written_out[host] = spec
            report.broke(("hosts", host, "network"))
            report.broke(("hosts", host, "switch"))
        counts[host] = min(len(spec.interfaces), MOST)
    for host, some in added.items():
        entries.add_wires(host, counts[host], some, report)
    for host, further in Counter(of.host for of in entries.of.values() if of.host).items():
        if further >= MOST:
            what = f"the host has {further + 1} interfaces, each VLAN of a trunk one"
            report.add(("hosts", host, "interfaces"), what, f"up to {MOST}", "take fewer")
    return Expanded(entries.written_out, entries.of, entries.where, entries.names)


class _Entries:
    """The entries so far; see ``Expanded``."""

    def __init__(self, hosts: Mapping[str, HostSpec]) -> None:
        self.hosts = hosts
        self.written_out: dict[str, HostSpec] = {}
        self.of: dict[str, Of] = {}
        self.where: dict[Path, Path] = {}
        self.names: dict[tuple[str, int], str] = {}

    def add(
        self, host: str, name: str, of: Of, keys: Mapping[str, Any], path: Path, report: Report
    ) -> str | None:
        """Add an interface: the host itself if it has none yet, else ``name``. Returns its name; None if
        another entry has it."""
        spec = self.hosts[host]
        if host not in self.written_out:
            self.written_out[host] = spec.model_copy(update=dict(keys))
            self.of[host] = of._replace(host="")
            for own in _OWN:
                alias = InterfaceSpec.model_fields[own].alias or own
                self.where["hosts", host, alias] = (*path, alias)
            return host
        if name in self.hosts or name in self.written_out:
            what = f"this interface has the name {shown(name)}, and so has another host"
            if of.trunk:
                what = f"this VLAN's interface has the name {shown(name)}, and so has another one"
            report.add(path, what, remedy="rename one")
            return None
        self.written_out[name] = HostSpec(kind=spec.kind).model_copy(update=dict(keys))
        self.of[name] = of
        self.where["hosts", name] = path
        return name

    def add_wires(self, host: str, count: int, added: Sequence[Added], report: Report) -> None:
        """Add the interfaces that wires between hosts add to a host, which has ``count`` itself."""
        for number, (device, path) in enumerate(added, count):
            if number >= MOST:
                what = f"the host has {count + len(added)} interfaces"
                report.add(path, what, f"up to {MOST}", "take fewer wires")
                return
            if device:
                _check_device(path, device, report)
            if number == 0:
                self.of[host], self.names[host, 0] = Of("", device), host
                self.where |= {("hosts", host, key): (*path, key) for key in ("network", "mtu", "from")}
                continue
            others = {*self.written_out, *self.hosts}
            name = next(one for n in counting(number) if (one := f"{host}-eth{n}") not in others)
            called = self.add(
                host, f"{host}-{device}" if device else name, Of(host, device), {}, path, report
            )
            if called is not None:
                self.names[host, number] = called

    def add_trunk(
        self,
        host: str,
        path: Path,
        key: str,
        interface: InterfaceSpec,
        networks: Mapping[str, NetworkSpec],
        report: Report,
    ) -> None:
        """Add an interface for each VLAN of a trunk. ``key``: that of the interface."""
        device = "" if _is_listed(key) else key
        trunk = device or f"{host}-eth{key}"
        some = trunks.vlans(path, interface, networks, report)
        for vlan in some[:MOST]:
            there: Path = (*path, "trunk", vlan.key)
            of = Of(host, device, trunk, vlan.tag)
            if device and len(f"{device}.{vlan.tag}") > LONGEST:
                what = f"{shown(device)} is too long for a trunk: its interface {device}.{vlan.tag} can't be"
                report.add(path, what, f"a name that is with .{vlan.tag} up to {LONGEST} long", "rename it")
            name = self.add(host, f"{host}-{vlan.network}", of, vlan.fields, there, report)
            for alias in vlan.written if name is not None else ():
                self.where["hosts", name or host, alias] = (*path, alias)
        if len(some) > MOST:
            report.add((*path, "trunk"), f"the trunk has {len(some)} VLANs", f"up to {MOST}", "take fewer")
        if not some and path == ("hosts", host):
            self.written_out[host] = self.hosts[host].model_copy(update={"trunk": None})


def _is_listed(key: str) -> bool:
    """Whether it is the number of an interface in a list."""
    return key.isdecimal() and key.isascii()


def check_networks(
    of: Mapping[str, Of],
    membership: Mapping[str, str | None],
    networks: Mapping[str, Network],
    report: Report,
) -> None:
    """Report interfaces of one host in different networks with the same addresses. ``membership``: the
    network of each entry."""
    before: dict[str, list[str]] = {}
    for name, interface in of.items():
        mine = membership.get(name)
        if mine is None:
            continue
        for other in before.setdefault(interface.host or name, []):
            if other != mine and _overlap(networks[other], networks[mine]):
                what = f"{interface.host or name} is in network {other} too, which has some of its addresses"
                remedy = f"give {mine} and {other} subnets that don't overlap, or take another host"
                report.add(("hosts", name, "network"), what, remedy=remedy)
        before[interface.host or name].append(mine)


def _overlap(one: Network, other: Network) -> bool:
    return any(
        mine.version == theirs.version and mine.overlaps(theirs)
        for mine in one.subnets
        for theirs in other.subnets
    )


def _keys(interface: InterfaceSpec) -> dict[str, Any]:
    return {key: getattr(interface, key) for key in _OWN}


def _check_place(host: str, spec: HostSpec, report: Report) -> None:
    """Report keys of interfaces that stand beside ``interfaces``."""
    for key in _OWN:
        if getattr(spec, key) is not None:
            alias = HostSpec.model_fields[key].alias or key
            what = f"{host} has interfaces, and each of them has its own {alias}"
            report.add(("hosts", host, alias), what, remedy=f"move {alias} to one of the interfaces")


def _check_device(path: Path, name: str, report: Report) -> None:
    if name in _TAKEN or len(name) > LONGEST or not _DEVICE.fullmatch(name):
        what = f"{shown(name)} can't be the name of a device"
        allowed = f"letters and digits, after the first also '_', '.' and '-', up to {LONGEST}, not lo"
        report.add(path, what, allowed, "rename it, such as eth1")
