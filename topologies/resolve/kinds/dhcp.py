"""DHCP servers: those that networks ask for, and the part of each. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from topologies.model import names
from topologies.model.functions import Dhcp
from topologies.resolve.kinds.context import Context
from topologies.syntax.problem import Report
from topologies.syntax.service_specification import FunctionSpec
from topologies.syntax.specification import File

if TYPE_CHECKING:
    from ipaddress import IPv4Interface, IPv6Interface


def servers(spec: File, report: Report) -> dict[str, FunctionSpec]:
    """The functions of a file, with ``dhcp-NETWORK`` for each network with ``dhcp: true``."""
    functions = dict(spec.functions or {})
    own = {of.network: name for name, of in reversed(functions.items()) if of.kind == "dhcp"}
    for name, function in functions.items():
        other = own.get(function.network, name)
        if function.kind == "dhcp" and other != name:
            what = f"{other} serves network {function.network or 'of the lab'} already"
            report.add(("functions", name), what, "one DHCP server for each network", "remove one")
    networks, hosts = spec.networks or {}, spec.hosts or {}
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
