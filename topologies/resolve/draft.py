"""A draft: what is resolved of a lab between two phases of ``topologies.resolve.phases``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface, IPv6Interface
from itertools import count
from typing import Any, TypeVar

from topologies.model import names
from topologies.model.applications import Application
from topologies.model.functions import Chain, Function
from topologies.model.hosts import OwnThings, Route
from topologies.model.storage import NO_STORAGE, Storage
from topologies.model.topology import Domain, Network, Router, Server, Switch, Topology, Underlay
from topologies.model.values import Port, Published, WayOut
from topologies.resolve import host_wires, pinned, trunks
from topologies.resolve.address_book import Book
from topologies.resolve.interfaces import Expanded, Of, expanded
from topologies.resolve.kinds.dhcp import servers
from topologies.resolve.port_numbers import KeptPorts, Owners
from topologies.resolve.service_addresses import Family, Lab, Stations
from topologies.syntax import units
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Problems, Report
from topologies.syntax.service_specification import FunctionSpec
from topologies.syntax.specification import File, LinkSpec, NetworkSpec, SwitchSpec, UnderlaySpec

Entry = TypeVar("Entry")

DEFAULT_NETWORK = "lan"
_ONE_NETWORK = {DEFAULT_NETWORK: NetworkSpec()}
"""The networks of a file that names none."""


@dataclass(frozen=True)
class Draft:
    """A lab that is partly resolved. A phase takes a draft and returns another one, with more in it.

    The first fields are the file itself, in the natural order of names. Then come the fields that phases add;
    they are empty before. A draft is a value and never changes, nor do ``problems`` and ``port_owners``
    (the port numbers that are taken): a phase returns new ones. ``kept``: the addresses and numbers of the
    running lab. ``folder``: that of the file.
    """

    spec: File
    problems: Problems
    files: Mapping[str, bytes]
    folder: str
    kept: pinned.Kept
    domain_names: tuple[str, ...]
    switch_specs: Mapping[str, SwitchSpec]
    host_specs: Mapping[str, HostSpec]
    links: tuple[tuple[int, LinkSpec], ...]
    network_specs: Mapping[str, NetworkSpec]
    function_specs: Mapping[str, FunctionSpec]
    host_wires: Mapping[str, host_wires.Wire] = field(default_factory=dict)
    """Name -> each wire between hosts."""
    interfaces: Mapping[str, Of] = field(default_factory=dict)
    """Host with ``interfaces``, or a further interface of one -> what it is of."""

    domains: tuple[Domain, ...] = ()
    switches: tuple[Switch, ...] = ()
    applications: tuple[Application, ...] = ()
    networks: Mapping[str, Network] = field(default_factory=dict)
    routers: Mapping[str, Router] = field(default_factory=dict)
    membership: Mapping[str, str | None] = field(default_factory=dict)
    """Host -> its network."""
    attached: Mapping[str, units.End] = field(default_factory=dict)
    """Host -> its switch, and the port number if the file gives one."""
    link_ends: Mapping[int, tuple[units.End, units.End]] = field(default_factory=dict)
    link_names: Mapping[str, int] = field(default_factory=dict)
    """Name of a link -> its index in the file."""
    served: Mapping[str, tuple[Server, ...]] = field(default_factory=dict)
    own: Mapping[str, OwnThings] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Host -> the fields of its class that only its kind has."""

    homes: Mapping[str, str] = field(default_factory=dict)
    """Load balancer or NAT -> the network of its address."""
    reserved: Mapping[tuple[str, Family], frozenset[int]] = field(default_factory=dict)
    """(network, family) -> addresses that are not given to hosts."""
    function_ends: Mapping[str, units.End] = field(default_factory=dict)
    """Function -> its switch, and the port number if the file gives one."""
    ipv4: Mapping[str, IPv4Interface] = field(default_factory=dict)
    ipv6: Mapping[str, IPv6Interface] = field(default_factory=dict)
    macs: Mapping[str, str] = field(default_factory=dict)
    routes: Mapping[str, tuple[Route, ...]] = field(default_factory=dict)
    """Interface -> the routes of its host that lead through it."""
    port_owners: Owners = field(default_factory=dict)
    kept_ports: KeptPorts = field(default_factory=dict)
    storage: Storage = NO_STORAGE
    publish: tuple[Published, ...] = ()
    outside: tuple[WayOut, ...] = ()
    host_ports: Mapping[str, Port] = field(default_factory=dict)
    link_ports: Mapping[str, tuple[Port, ...]] = field(default_factory=dict)

    book: Book | None = None
    functions: tuple[Function, ...] = ()
    chains: tuple[Chain, ...] = ()
    underlay_spec: UnderlaySpec | None = None
    underlay: Underlay | None = None
    tunnel_switches: tuple[Switch, ...] = ()

    @property
    def networks_of_wires(self) -> frozenset[str]:
        """The networks of wires between hosts."""
        return frozenset(wire.network for wire in self.host_wires.values())

    @property
    def at_wires(self) -> dict[str, tuple[str, str]]:
        """Interface on a wire between hosts -> the one at the other end, and the name of the wire."""
        ends: dict[str, tuple[str, str]] = {}
        for name, wire in self.host_wires.items():
            ends |= {wire.a: (wire.b, name), wire.b: (wire.a, name)}
        return ends

    @property
    def hosts_and_networks(self) -> Lab:
        """The hosts and networks, as ``topologies.resolve.service_addresses`` takes them."""
        return Lab(self.host_specs, self.membership, self.networks, self.kept.topology)

    @property
    def switched(self) -> Lab:
        """The same without wires between hosts: what functions can do something with."""
        whole, alone = self.hosts_and_networks, self.networks_of_wires
        if not alone:
            return whole
        return Lab(
            {name: spec for name, spec in whole.hosts.items() if whole.member.get(name) not in alone},
            {name: network for name, network in whole.member.items() if network not in alone},
            {name: network for name, network in whole.networks.items() if name not in alone},
            whole.running,
        )

    @property
    def stations(self) -> Stations:
        """The hosts' addresses."""
        return Stations(self.macs, self.ipv4, self.ipv6)


def begin(
    spec: File, problems: Problems, files: Mapping[str, bytes], running: Topology | None, folder: str = ""
) -> Draft:
    """A draft with the content of the file, in which nothing is resolved."""
    kept = pinned.kept(running)
    report = problems.report()
    drawn = host_wires.drawing(spec.hosts or {}, spec.links or (), spec.switches or {}, report)
    entries = expanded(spec.hosts or {}, spec.networks or _ONE_NETWORK, report, drawn.added)
    problems = problems.and_those_of(report)
    report = problems.report()
    hosts = trunks.with_networks(entries.hosts, spec.networks or {})
    functions = servers(spec, hosts, report)
    problems = problems.and_those_of(report)
    if entries.of or hosts is not entries.hosts:
        entries = replace(entries, hosts=hosts)
        spec = spec.model_copy(update={"hosts": entries.hosts})
        locate = problems.locate
        problems = replace(problems, written=entries.where, locate=lambda path: locate(entries.where(path)))
    network_specs: Mapping[str, NetworkSpec] = spec.networks or _ONE_NETWORK
    wired: dict[str, host_wires.Wire] = {}
    if drawn.wires:
        report = problems.report()
        spec, wired, network_specs = _wired(spec, drawn, entries, report)
        problems = problems.and_those_of(report)
    return Draft(
        spec=spec,
        problems=problems,
        files=files,
        folder=folder,
        kept=kept,
        domain_names=tuple(sorted(spec.domains or [_default_domain(spec, running)], key=names.natural)),
        switch_specs=in_order(spec.switches),
        host_specs=in_order(spec.hosts),
        interfaces=entries.of,
        host_wires=wired,
        links=tuple(item for item in enumerate(spec.links or ()) if item[0] not in drawn.links),
        function_specs=in_order(functions),
        network_specs=network_specs,
    )


def _wired(
    spec: File, drawn: host_wires.Drawing, entries: Expanded, report: Report
) -> tuple[File, dict[str, host_wires.Wire], dict[str, NetworkSpec]]:
    """The file whose hosts know the network and MTU of their wires; the wires by name; all networks."""
    stated = spec.networks or {}

    def taken(name: str) -> bool:
        return name in entries.hosts or name in (spec.switches or {}) or name in (spec.groups or {})

    wired = host_wires.named(drawn, entries.names, entries.hosts, stated, taken, report)
    specs = host_wires.network_specs(wired, entries.hosts, stated, report)
    own = {wire.network for wire in wired.values()}
    usual = {} if stated.keys() - own else _ONE_NETWORK
    hosts = dict(entries.hosts)
    for wire in wired.values():
        for end in (wire.a, wire.b):
            hosts[end] = hosts[end].model_copy(update={"network": wire.network, "mtu": wire.mtu})
    return spec.model_copy(update={"hosts": hosts}), wired, {**usual, **stated, **specs}


def _default_domain(spec: File, running: Topology | None) -> str:
    """The domain of a file that names none: that of the running lab, else the first of d1, d2, … that is no
    other name."""
    if running is not None and len(running.domains) == 1:
        return running.domains[0].name
    taken = {*(spec.hosts or ()), *(spec.switches or ()), *(spec.functions or ())}
    return next(name for number in count(1) if (name := f"d{number}") not in taken)


def in_order(entries: Mapping[str, Entry] | None) -> dict[str, Entry]:
    """A section of the file in the natural order of its names; empty when the file does not have it."""
    return {name: (entries or {})[name] for name in sorted(entries or {}, key=names.natural)}
