"""What another tool's file can't say about a lab. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from topologies.model import outside
from topologies.model.choices import NAMESPACE, SDNLAB
from topologies.model.frr import configuration
from topologies.model.hosts import Host, NamespaceHost
from topologies.model.places import Entity, EntityKind
from topologies.model.storage import adapter_of
from topologies.model.topology import Topology
from topologies.model.trunks import trunks
from topologies.model.wires import Shaping

_MORE = "jitter, reorder, duplicate, corrupt, queue, or what differs between its directions"


class Written(NamedTuple):
    """A file of another tool. ``losses``: what of the lab it doesn't say, a text for each."""

    text: str
    losses: tuple[str, ...] = ()


class Loss(NamedTuple):
    """Something that a file doesn't say: which entry has it, and what it is."""

    kind: EntityKind
    name: str
    what: str


def losses(topology: Topology, said: Collection[str]) -> tuple[str, ...]:
    """What a format loses that says these things, named by the keys of ``THINGS``, each with its line."""
    texts = []
    for thing, look in THINGS.items():
        if thing in said:
            continue
        for loss in look(topology):
            place = topology.places.of(Entity(loss.kind, loss.name))
            where = f"{place}: " if place is not None else ""
            texts.append(f"{where}{loss.kind} {loss.name}: {loss.what}: left out")
    return tuple(dict.fromkeys(texts))


def _hosts(what: str, has: Callable[[Host], object]) -> Callable[[Topology], Iterator[Loss]]:
    def look(topology: Topology) -> Iterator[Loss]:
        for host in topology.hosts:
            if has(host):
                yield Loss("host", host.name, what)

    return look


def _interfaces(topology: Topology) -> Iterator[Loss]:
    for host in topology.hosts:
        if host.of:
            yield Loss("host", host.name, f"an interface of {host.of}")


def _domains(topology: Topology) -> Iterator[Loss]:
    for domain in topology.domains if len(topology.domains) > 1 else ():
        yield Loss("domain", domain.name, "its switches are not apart from others")


def _controllers(topology: Topology) -> Iterator[Loss]:
    for switch in topology.switches:
        if switch.controller != SDNLAB:
            yield Loss("switch", switch.name, f"its controller {switch.controller}")


def _functions(topology: Topology) -> Iterator[Loss]:
    for function in topology.functions:
        yield Loss("function", function.name, f"a function of the kind {function.kind}")


def _chains(topology: Topology) -> Iterator[Loss]:
    for chain in topology.chains:
        if not chain.implicit:
            yield Loss("chain", chain.name, "a service chain")


def _routers(topology: Topology) -> Iterator[Loss]:
    for router in topology.routers:
        yield Loss("router", router.name, f"it routes between {', '.join(router.networks)}")


def _networks(topology: Topology) -> Iterator[Loss]:
    for network in topology.networks if len(topology.networks) > 1 else ():
        yield Loss("network", network.name, "only its addresses keep it apart from others")


def _vlans(topology: Topology) -> Iterator[Loss]:
    for network in topology.networks:
        if network.vlan is not None:
            yield Loss("network", network.name, f"its VLAN id {network.vlan}")
    for trunk in trunks(topology):
        yield Loss("host", trunk.node, f"that {trunk.device} is a trunk, with tags")


def _links(topology: Topology) -> Iterator[Loss]:
    for link in topology.links:
        if link.shaping:
            yield Loss("link", link.name, "its bandwidth, delay or loss")


def _more_effects(topology: Topology) -> Iterator[Loss]:
    for link in topology.links:
        if _does_more(link.shaping):
            yield Loss("link", link.name, _MORE)
    for host in topology.hosts:
        if _does_more(host.shaping):
            yield Loss("host", host.name, f"of its wire: {_MORE}")


def _does_more(shaping: Shaping) -> bool:
    """Whether a wire does more than to limit the bandwidth, to delay and to lose, the same both ways."""
    plain = Shaping(bandwidth=shaping.bandwidth, delay=shaping.delay, loss=shaping.loss)
    return shaping != plain


def _mtus(topology: Topology) -> Iterator[Loss]:
    for link in topology.links:
        if link.mtu != 1500:
            yield Loss("link", link.name, f"its MTU {link.mtu}")


def _checks(topology: Topology) -> Iterator[Loss]:
    for check in topology.checks:
        yield Loss("check", check.name, "a check")


def _storage(topology: Topology) -> Iterator[Loss]:
    for volume in topology.storage.used:
        yield Loss("host", volume.host, f"its volume {volume.name}")


def _outside(topology: Topology) -> Iterator[Loss]:
    for way in topology.outside:
        if way.open:
            yield Loss("network", way.network, "its way out")
    for port in topology.publish:
        yield Loss("host", port.host, f"that its port {port.to} is published")


THINGS: dict[str, Callable[[Topology], Iterator[Loss]]] = {
    "domains": _domains,
    "controllers": _controllers,
    "networks": _networks,
    "vlans": _vlans,
    "routers": _routers,
    "links": _links,
    "wires": _hosts("bandwidth, delay or loss of its wire", lambda host: host.shaping),
    "effects": _more_effects,
    "link MTUs": _mtus,
    "MTUs": _hosts("its MTU", lambda host: host.mtu != 1500),
    "kinds": _hosts("that it is no network namespace", lambda host: host.kind != NAMESPACE),
    "limits": _hosts("its limits", lambda host: isinstance(host, NamespaceHost) and host.part is not None),
    "interfaces": _interfaces,
    "routes": _hosts("its gateway and routes", lambda host: host.routes),
    "frr": _hosts("that FRR runs in it", lambda host: configuration(host) is not None),
    "spoofing": _hosts("that it may use any source address", lambda host: host.allow_spoofing),
    "dhcp": _hosts("that it asks for its address by DHCP", lambda host: host.dhcp),
    "serves": _hosts("its servers", lambda host: host.serves),
    "hostname": _hosts("its hostname", lambda host: host.own.hostname),
    "environment": _hosts("its environment", lambda host: host.own.environment),
    "run": _hosts("its commands", lambda host: host.own.run),
    "files": _hosts("its files", lambda host: host.own.files),
    "private": _hosts("its private directories", lambda host: host.own.private),
    "functions": _functions,
    "chains": _chains,
    "storage": _storage,
    "outside": _outside,
    "checks": _checks,
}
"""What a lab may have beside switches, hosts, links and addresses, and where it has it."""


def hosts_of(topology: Topology) -> list[Host]:
    """The hosts that a file names: those that only join others to storage are none."""
    unnamed = {adapter_of(volume.host) for volume in topology.storage.used} | outside.gateways(topology)
    return [host for host in topology.nodes if host.name not in unnamed]


def interfaces_of(topology: Topology) -> list[Host]:
    """The same hosts, and their further interfaces: each has a wire of its own."""
    known = {host.name for host in hosts_of(topology)}
    return [host for host in topology.hosts if host.node in known]


def switches_of(topology: Topology) -> list[str]:
    """The switches that a file names."""
    return [switch.name for switch in topology.switches if switch.role == "switch"]
