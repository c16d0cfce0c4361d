"""DHCP servers: those that networks ask for, and the part of each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from topologies.model import names
from topologies.model.choices import NAMESPACE
from topologies.model.functions import Dhcp
from topologies.model.kinds import DhcpServer
from topologies.model.topology import Topology
from topologies.resolve.kinds.context import Context
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.problem import Report
from topologies.syntax.service_specification import FunctionSpec
from topologies.syntax.specification import File

if TYPE_CHECKING:
    from ipaddress import IPv4Interface, IPv6Interface


def servers(spec: File, hosts: Mapping[str, HostSpec], report: Report) -> dict[str, FunctionSpec]:
    """The functions of a file, with ``dhcp-NETWORK`` for each network with ``dhcp: true``. ``hosts``: each
    interface of a host an entry."""
    functions = dict(spec.functions or {})
    own = {of.network: name for name, of in reversed(functions.items()) if of.kind == "dhcp"}
    for name, function in functions.items():
        other = own.get(function.network, name)
        if function.kind == "dhcp" and other != name:
            what = f"{other} serves network {function.network or 'of the lab'} already"
            report.add(("functions", name), what, "one DHCP server for each network", "remove one")
    networks = spec.networks or {}
    for name, network in networks.items():
        if not network.dhcp:
            continue
        path = ("networks", name, "dhcp")
        server = f"dhcp-{name}"
        members = [
            host
            for host in sorted(hosts, key=names.natural)
            if hosts[host].switch is not None and name == (hosts[host].network or next(iter(networks)))
        ]
        if server in functions:
            what = f"{server} is the name of another function (line {report.locate(('functions', server))})"
            report.add(path, what, remedy="rename that function, or remove dhcp")
        elif name in own:
            line = report.locate(("functions", own[name]))
            what = f"function {own[name]} serves network {name} already (line {line})"
            report.add(path, what, "one DHCP server for each network", "remove one")
        elif network.subnet4 is None and network.subnet6 is not None:
            what = f"network {name} has no IPv4 subnet, and DHCP gives IPv4 addresses"
            report.add(path, what, remedy=f"give {name} a subnet4, or remove dhcp")
        elif not members:
            what = f"network {name} has no hosts"
            report.add(path, what, remedy="remove dhcp, or write the server below functions")
        else:
            switch = hosts[members[0]].switch
            assert switch is not None
            functions[server] = FunctionSpec.model_validate(
                {"kind": "dhcp", "network": name, "switch": switch.switch}
            )
    return functions


def check_clients(topology: Topology, report: Report) -> None:
    """Report hosts that ask by DHCP and can't, or where nobody answers."""
    served = {function.dhcp.network for function in topology.functions if isinstance(function, DhcpServer)}
    several = {host.of for host in topology.hosts if host.of}
    for host in topology.hosts:
        if not host.dhcp:
            continue
        path = ("hosts", host.name, "dhcp")
        if host.kind != NAMESPACE:
            what = f"a {host.kind} can't ask for its address by DHCP"
            report.add(path, what, f"hosts of the kind {NAMESPACE}", "remove it")
        elif host.name in several or host.device:
            report.add(path, "a host with several interfaces can't ask by DHCP", remedy="remove it")
        elif host.network not in served:
            what = f"network {host.network} has no DHCP server"
            report.add(path, what, remedy=f"write dhcp: true at network {host.network}")


def dhcp(name: str, spec: FunctionSpec, context: Context) -> Dhcp | None:
    """The part of a DHCP server; None, with problems, when it has no address."""
    filled = context.filled
    ipv4, network = filled.addresses.get((name, 4)), filled.homes.get(name)
    if ipv4 is None or network is None or context.switch is None or name not in filled.macs:
        return None
    return Dhcp(
        network=network,
        at=context.port(name, "at"),
        mac=filled.macs[name],
        ipv4=cast("IPv4Interface", ipv4),
        ipv6=cast("IPv6Interface | None", filled.addresses.get((name, 6))),
    )
