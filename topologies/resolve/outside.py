"""Ways out: which networks have one, their gateways, and the ports that are published. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from topologies.model import names
from topologies.model.outside import LINK, gateway_of
from topologies.model.topology import Network, Router
from topologies.model.values import Published, WayOut
from topologies.syntax import units
from topologies.syntax.host_specification import HostSpec
from topologies.syntax.outside_specification import KEYS, HostPort, OutsideSpec, published_port
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import File, NetworkSpec, SwitchSpec


def published(
    spec: Mapping[str, HostPort | None] | None,
    hosts: Mapping[str, HostSpec],
    networks: Mapping[str, NetworkSpec],
    report: Report,
) -> tuple[Published, ...]:
    """The published ports that are right, sorted; the others are reported."""
    taken: dict[int, str] = {}
    right = []
    for key, target in (spec or {}).items():
        here: Path = ("publish", key)
        own = published_port(key)
        if own is None:
            remedy = "only TCP is published" if key.endswith("/udp") else ""
            report.add(here, f"{shown(key)} is no TCP port of this machine", KEYS, remedy)
            continue
        if (other := taken.setdefault(own, key)) != key:
            what = f"port {own} is published already (line {report.locate(('publish', other))})"
            report.add(here, what, remedy="remove one")
            continue
        if target is None:
            if not report.is_broken(here):
                report.add(here, "the port leads nowhere", "a host and a port", f'write {key}: "web1:80"')
            continue
        if target.host not in hosts:
            if not report.is_broken(("hosts", target.host)):
                report.unknown(here, "host", target.host, list(hosts), "hosts")
            continue
        if _network(hosts[target.host], networks) is not None:  # else it is reported with the host
            right.append(Published(port=own, host=target.host, to=target.port))
    return tuple(sorted(right, key=lambda port: port.port))


def ways(
    spec: OutsideSpec | None,
    ports: Iterable[Published],
    hosts: Mapping[str, HostSpec],
    networks: Mapping[str, NetworkSpec],
    report: Report,
) -> tuple[WayOut, ...]:
    """The ways out: of networks that the file names, and of those with published ports."""
    open_to: set[str] = set()
    known = sorted(networks, key=names.natural)
    if spec is not None and not spec.networks and not report.is_broken(("outside", "networks")):
        what = "the way out is of no network"
        report.add(("outside",), what, ", ".join(known[:8]), f"write outside: {{networks: [{known[0]}]}}")
    for index, name in enumerate(spec.networks or () if spec is not None else ()):
        here: Path = ("outside", "networks", index)
        if name is None:
            continue  # reported where it was read
        if name not in networks:
            report.no_such(here, "network", name, networks, listed=", ".join(known))
        elif name in open_to:
            report.add(here, f"network {name} is named twice", remedy="remove one")
        open_to.add(name)
    both = {network for port in ports if (network := _network(hosts[port.host], networks)) is not None}
    return tuple(
        WayOut(network=name, gateway=gateway_of(name), open=name in open_to)
        for name in sorted((both | open_to) & set(networks), key=names.natural)
    )


def gateways(
    resolved: Sequence[WayOut],
    spec: File,
    hosts: Mapping[str, HostSpec],
    switches: Mapping[str, SwitchSpec],
    report: Report,
) -> dict[str, HostSpec]:
    """The gateways as hosts, each on the switch of the first host of its network."""
    added = {}
    networks = spec.networks or {resolved[0].network: NetworkSpec()} if resolved else {}
    for way in resolved:
        owners = {"host": hosts, "switch": switches, "function": spec.functions, "domain": spec.domains}
        for kind, some in owners.items():
            if way.gateway in (some or ()):
                what = f"the gateway of network {way.network} would be called {way.gateway}, like a {kind}"
                report.add(("outside",) if way.open else ("publish",), what, remedy=f"rename the {kind}")
        if not names.is_name(way.gateway):
            what = f"the gateway of network {way.network} would be called {way.gateway}, which is too long"
            report.add(("outside",) if way.open else ("publish",), what, remedy="rename the network")
        near = (
            host.switch.switch
            for host in hosts.values()
            if host.switch is not None
            and host.switch.switch in switches
            and _network(host, networks) == way.network
        )
        if (switch := next(near, next(iter(switches), None))) is not None and way.gateway not in hosts:
            added[way.gateway] = HostSpec.model_construct(None, switch=units.End(switch), network=way.network)
    return added


def check_addresses(
    resolved: Iterable[WayOut],
    networks: Mapping[str, Network],
    ports: Iterable[Published],
    member: Mapping[str, str | None],
    report: Report,
) -> None:
    """Report networks that overlap the link of gateways, and published hosts without an IPv4 address."""
    for way in resolved:
        subnet = networks[way.network].subnet4
        if subnet is not None and subnet.overlaps(LINK):
            what = f"subnet {subnet} overlaps {LINK}, which leads from its gateway to this machine"
            report.add(("networks", way.network, "subnet4"), what, remedy="change it")
    for port in ports:
        network = networks.get(member.get(port.host) or "")
        if network is not None and network.subnet4 is None:
            what = f"{port.host} has no IPv4 address, and only these are published"
            report.add(("publish", port.name), what, remedy=f"give network {network.name} a subnet4")


def with_addresses_of_networks(
    resolved: Iterable[WayOut], routers: Mapping[str, Router], networks: Mapping[str, Network]
) -> dict[str, Network]:
    """Gateway -> its network, where it has the network's gateway addresses: the way is open, and no router
    has them."""
    routed = {network for router in routers.values() for network in router.networks}
    return {way.gateway: networks[way.network] for way in resolved if way.open and way.network not in routed}


def _network(host: HostSpec, networks: Mapping[str, NetworkSpec]) -> str | None:
    """The network of a host, if it is known."""
    if host.network is None:
        return next(iter(networks)) if len(networks) == 1 else None
    return host.network if host.network in networks else None
