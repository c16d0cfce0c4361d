"""dnsmasq's configuration and files for a DHCP server of a lab. Pure. The keywords are those of dnsmasq(8).

Only who is in the topology gets an address: always the one that the topology gives. The files of leases and
names are arguments (``nfv.dhcp.process``), since dnsmasq leaves its directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Interface

from topologies.model.endpoints import Endpoint, endpoints
from topologies.model.functions import Dhcp
from topologies.model.outside import NAME_SERVER
from topologies.model.topology import Topology

CONFIGURATION, LEASES, NAMES = "dnsmasq.conf", "leases", "names"
LEASE_TIME = "1h"
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")


def files(server: Dhcp, topology: Topology) -> dict[str, str]:
    """The files in its directory: name -> content."""
    return {
        CONFIGURATION: "".join(f"{line}\n" for line in _configuration(server, topology)),
        LEASES: "".join(f"{line}\n" for line in _leases(server, topology)),
        NAMES: "".join(f"{line}\n" for line in _names(server, topology)),
    }


def _configuration(server: Dhcp, topology: Topology) -> Iterator[str]:
    yield "interface=eth0"
    yield "except-interface=lo"
    yield "pid-file="
    yield "log-facility=-"
    yield "no-resolv"
    yield "no-hosts"
    yield "domain-needed"  # a name that nobody has is not there, instead of refused
    subnet = server.ipv4.network
    yield f"dhcp-range={subnet.network_address},static,{subnet.netmask},{LEASE_TIME}"
    yield "dhcp-authoritative"
    yield f"dhcp-option=option:dns-server,{server.ipv4.ip}"
    if any(way.open and way.network == server.network for way in topology.outside):
        yield f"server={NAME_SERVER}"  # what it does not know is asked for outside
    gateway = next((n.gateway4 for n in topology.networks if n.name == server.network), None)
    # without a value: no router, in place of dnsmasq's own address
    yield f"dhcp-option=option:router{'' if gateway is None else f',{gateway.ip}'}"
    mtus = {host.mtu for host in topology.hosts if host.network == server.network}
    if mtus and mtus != {1500}:
        yield f"dhcp-option=option:mtu,{min(mtus)}"


def _members(server: Dhcp, topology: Topology) -> Iterator[Endpoint]:
    """Who has addresses in its network, but for the network's router."""
    for endpoint in endpoints(topology):
        if endpoint.network == server.network and endpoint.kind != "router":
            yield endpoint


def _leases(server: Dhcp, topology: Topology) -> Iterator[str]:
    for endpoint in _members(server, topology):
        if endpoint.kind == "host" and isinstance(endpoint.ipv4, IPv4Interface):
            # a name that is no host name of RFC 1123 is left out: dnsmasq would refuse the line
            name = f",{endpoint.name}" if _LABEL.fullmatch(endpoint.name) else ""
            yield f"{endpoint.mac},{endpoint.ipv4.ip}{name}"


def _names(server: Dhcp, topology: Topology) -> Iterator[str]:
    """Lines of hosts(5): all in its network, and in networks that a router joins to it."""
    joined = {server.network}.union(
        *(router.networks for router in topology.routers if server.network in router.networks)
    )
    for endpoint in endpoints(topology):
        if endpoint.network in joined and endpoint.kind != "router":
            for address in endpoint.addresses:
                yield f"{address.ip} {endpoint.name}"
