"""Trunks of hosts, written out: each VLAN becomes an interface of its own; VLAN ids of networks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from topologies.model import names
from topologies.model.topology import Network
from topologies.syntax.host_specification import HostSpec, InterfaceSpec, VlanSpec
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import NetworkSpec
from topologies.syntax.units import End

_EACH = ("network", "vlan", "ipv4", "ipv6", "mac", *VlanSpec.model_fields.keys() - {"switch", "mtu"})
"""Fields that each VLAN has of its own."""
_OF_ALL = ("mtu", "allow_spoofing")
"""Fields of a trunk that all its VLANs have, if they have no other value."""


class Vlan(NamedTuple):
    """A VLAN of a trunk: its key in the file, its ``network``, its tag, and the fields of its interface.

    ``written``: keys of it that the file has at the trunk.
    """

    key: str
    network: str
    tag: int
    fields: Mapping[str, Any]
    written: tuple[str, ...]


def vlans(
    path: Path, interface: InterfaceSpec, networks: Mapping[str, NetworkSpec], report: Report
) -> list[Vlan]:
    """The VLANs of a trunk, in the order of the file. Problems are reported. ``path``: the interface's."""
    _check_beside(path, interface, report)
    by_tag = {spec.vlan: name for name, spec in reversed(list(networks.items())) if spec.vlan is not None}
    if not interface.trunk:
        remedy = "write networks, or leave trunk out"
        report.add((*path, "trunk"), "the trunk carries no network", _listed(networks), remedy)
    resolved: list[Vlan] = []
    known: dict[str, str] = {}
    switch = interface.switch.switch if interface.switch is not None else None
    for key, spec in (interface.trunk or {}).items():
        here: Path = (*path, "trunk", key)
        name = key if key in networks else by_tag.get(int(key)) if _is_tag(key) else None
        if name is None:
            _report_unknown(here, key, networks, report)
            continue
        tag = networks[name].vlan
        if tag is None:
            if not report.is_broken(("networks", name, "vlan")):
                remedy = f"write networks: {{{name}: {{vlan: 10}}}}"
                report.add(here, f"network {name} has no VLAN id, which its tags would have", "", remedy)
            continue
        if name in known:
            what = f"network {name} is on this trunk already, as {shown(known[name])}"
            report.add(here, what, remedy="remove one of them")
            continue
        known[name] = key
        fields: dict[str, Any] = {field: getattr(spec, field) for field in VlanSpec.model_fields}
        inherited = [field for field in ("switch", *_OF_ALL) if fields[field] is None]
        fields |= {field: getattr(interface, field) for field in inherited}
        if spec.switch is None and switch is not None:
            fields["switch"] = End(switch)
        at = spec.switch.switch if spec.switch is not None else switch
        if switch is not None and at != switch:
            what = f"the trunk is at switch {switch}, and this VLAN at {at}"
            report.add((*here, "switch"), what, remedy="write the same switch, or take two interfaces")
        switch = switch or at
        fields |= {"network": name, "vlan": None, "trunk": None}
        aliases = tuple(VlanSpec.model_fields[field].alias or field for field in inherited)
        resolved.append(Vlan(key, name, tag, fields, aliases))
    return resolved


def with_networks(
    hosts: Mapping[str, HostSpec], networks: Mapping[str, NetworkSpec]
) -> Mapping[str, HostSpec]:
    """The hosts, those with a VLAN id alone with the name of its network; the same ones if there are none.

    What is resolved before the networks are (servers, ways out, wires) asks for names.
    """
    by_tag: dict[int, list[str]] = {}
    for name, network in networks.items():
        if network.vlan is not None:
            by_tag.setdefault(network.vlan, []).append(name)
    named = {
        name: spec.model_copy(update={"network": known[0]})
        for name, spec in hosts.items()
        if spec.vlan is not None and spec.network is None and len(known := by_tag.get(spec.vlan, [])) == 1
    }
    return {**hosts, **named} if named else hosts


def _is_tag(key: str) -> bool:
    return key.isdecimal() and key.isascii() and len(key) < 6


def _listed(networks: Mapping[str, NetworkSpec]) -> str:
    with_tags = [
        f"{name} ({spec.vlan})"
        for name, spec in sorted(networks.items(), key=lambda entry: names.natural(entry[0]))
        if spec.vlan is not None
    ]
    return "networks with VLAN ids: " + (", ".join(with_tags[:8]) or "none")


def _report_unknown(path: Path, key: str, networks: Mapping[str, NetworkSpec], report: Report) -> None:
    if not _is_tag(key):
        report.unknown(path, "network", key, sorted(networks, key=names.natural), "networks")
    elif "networks" not in report.incomplete and not report.is_broken(("networks",)):
        what = f"no network has the VLAN id {int(key)}"
        report.add(path, what, _listed(networks), f"write networks: {{NAME: {{vlan: {int(key)}}}}}")


def _check_beside(path: Path, interface: InterfaceSpec, report: Report) -> None:
    """Report keys of VLANs that stand beside ``trunk``."""
    for field in InterfaceSpec.model_fields:
        if field in _EACH and field not in _OF_ALL and getattr(interface, field) is not None:
            alias = InterfaceSpec.model_fields[field].alias or field
            what = f"each VLAN of a trunk has its own {alias}"
            remedy = f"move {alias} to the VLANs, like trunk: {{lan: {{{alias}: ...}}}}"
            if field in ("network", "vlan"):
                what, remedy = f"a trunk has no {alias} of its own", "remove it, or add the network to trunk"
            report.add((*path, alias), what, remedy=remedy)
    if interface.switch is not None and interface.switch.port is not None:
        what = "each VLAN of a trunk has its own port number at the switch"
        remedy = f"write {interface.switch.switch}, or trunk: {{lan: {{switch: {shown_end(interface)}}}}}"
        report.add((*path, "switch"), what, remedy=remedy)


def shown_end(interface: InterfaceSpec) -> str:
    """The switch and port of an interface as in a file."""
    assert interface.switch is not None
    return f"'{interface.switch.switch}:{interface.switch.port}'"


def with_vlans(
    networks: Mapping[str, Network], specs: Mapping[str, NetworkSpec], report: Report
) -> dict[str, Network]:
    """Name -> network with its VLAN id. Two with the same id are reported."""
    for name, other, tag in _taken_twice(specs):
        line = report.locate(("networks", other, "vlan"))
        what = f"VLAN id {tag} is that of network {other} already (line {line})"
        report.add(("networks", name, "vlan"), what, remedy="change or remove one")
    return {
        name: network.model_copy(update={"vlan": specs[name].vlan}) if specs[name].vlan else network
        for name, network in networks.items()
    }


def _taken_twice(specs: Mapping[str, NetworkSpec]) -> Iterator[tuple[str, str, int]]:
    owners: dict[int, str] = {}
    for name, spec in specs.items():
        if spec.vlan is not None and owners.setdefault(spec.vlan, name) != name:
            yield name, owners[spec.vlan], spec.vlan
