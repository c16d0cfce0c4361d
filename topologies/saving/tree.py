"""A topology -> the tree of values of its file, in the order in which people write one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from itertools import pairwise
from typing import Any

from topologies.model import outside
from topologies.model.applications import Application
from topologies.model.choices import SDNLAB
from topologies.model.host_wires import wire_of
from topologies.model.needs_overlay import transit_overhead
from topologies.model.storage import Storage, adapter_of
from topologies.model.topology import Link, Network, Switch, Topology, Underlay, UnderlayLink
from topologies.resolve.underlay import HOST_MTU, host_mtu
from topologies.saving import quantities
from topologies.saving.checks import checks
from topologies.saving.functions import chain, function
from topologies.saving.hosts import host
from topologies.saving.unwritable import Unwritable

Tree = dict[str, Any]


def whole(topology: Topology, folder: str = "") -> Tree:
    """Everything, with all addresses and numbers. Raises Unwritable."""
    several = len(topology.domains) > 1
    controllers = {domain.name: domain.controller for domain in topology.domains}
    unnamed = {adapter_of(volume.host) for volume in topology.storage.used} | outside.gateways(topology)
    wording, further, wires = topology.wording, topology.further, wire_of(topology)
    usual = HOST_MTU
    if topology.underlay is not None:
        usual = host_mtu(topology.underlay, transit_overhead(topology))
    most = max([HOST_MTU, *(entry.mtu for entry in topology.attached)])
    tree: Tree = {
        "name": topology.name,
        "description": topology.description,
        "controllers": {entry.name: _application(entry) for entry in topology.applications},
        "domains": _domains(controllers) if several or controllers != {"d1": SDNLAB} else {},
        "networks": {network.name: _network(network) for network in topology.networks},
        "switches": {
            switch.name: _switch(switch, several, controllers[switch.domain])
            for switch in topology.switches
            if switch.role == "switch"
        },
        "hosts": {
            entry.name: host(entry, further.get(entry.name, ()), len(topology.networks) > 1, usual, wires)
            for entry in topology.nodes
            if entry.name not in unnamed
        },
        "links": [_link(link, most) for link in topology.links],
        "routers": {router.name: list(router.networks) for router in topology.routers},
        "groups": {name: list(texts) for name, texts in wording.groups.items()},
        "functions": {entry.name: function(entry, folder, wording) for entry in topology.functions},
        "chains": {entry.name: chain(entry, wording) for entry in topology.chains if not entry.implicit},
        "storage": _storage(topology.storage),
        "outside": _outside(topology),
        "publish": {port.name: port.target for port in topology.publish},
        "underlay": {} if topology.underlay is None else _underlay(topology.underlay),
        "checks": checks(topology.checks),
    }
    return {key: value for key, value in tree.items() if value}


def brief(topology: Topology) -> Tree:
    """Switches, hosts and links without their addresses and numbers. Raises Unwritable when it has more."""
    more = (
        topology.routers,
        topology.functions,
        topology.chains,
        topology.storage.pools,
        topology.applications,
        topology.underlay,
        topology.domains[1:],
        topology.networks[1:],
        [host for host in topology.hosts if host.of or host.device or host.trunk or host.peer],
        [network for network in topology.networks if network.vlan],
        topology.outside,
    )
    if any(more):
        raise Unwritable("it has more than switches, hosts and links", "write all of it")
    tree: Tree = {
        "name": topology.name,
        "description": topology.description,
        "switches": [switch.name for switch in topology.switches],
        "hosts": {entry.name: entry.at.switch for entry in topology.hosts},
        "links": [f"{link.a.switch} -- {link.b.switch}" for link in in_port_order(topology.links)],
    }
    return {key: value for key, value in tree.items() if value}


def in_port_order(links: Sequence[Link]) -> list[Link]:
    """Links in an order in which the loader gives them the ports that they have: at each switch, the one with
    the lower port first."""
    at: dict[str, list[tuple[int, str]]] = {}
    for link in links:
        for port in (link.a, link.b):
            at.setdefault(port.switch, []).append((port.number, link.name))
    before: TopologicalSorter[str] = TopologicalSorter({link.name: () for link in links})
    for plugs in at.values():
        ordered = [name for _, name in sorted(plugs)]
        for earlier, later in pairwise(ordered):
            before.add(later, earlier)
    by_name = {link.name: link for link in links}
    return [by_name[name] for name in before.static_order()]


def _domains(controllers: Mapping[str, str]) -> Any:
    if set(controllers.values()) == {SDNLAB}:
        return list(controllers)
    return {name: {"controller": controller} for name, controller in controllers.items()}


def _application(application: Application) -> Tree:
    tree: Tree = {"apps": list(application.apps)}
    if application.options:
        tree["options"] = list(application.options)
    return tree


def _network(network: Network) -> Tree:
    tree: Tree = {}
    for key in ("vni", "vlan", "subnet4", "subnet6"):
        if (value := getattr(network, key)) is not None:
            tree[key] = value if isinstance(value, int) else str(value)
    for key, gateway in (("gateway4", network.gateway4), ("gateway6", network.gateway6)):
        if gateway is not None:
            tree[key] = str(gateway.ip)
    return tree


def _switch(switch: Switch, several: bool, usual: str) -> Tree:
    tree: Tree = {"domain": switch.domain} if several else {}
    tree["dpid"] = hex(switch.dpid)
    if switch.controller != usual:
        tree["controller"] = switch.controller
    return tree


def _link(link: Link, usual: int) -> Any:
    """``usual``: the MTU of links for which the file has none."""
    a, b = quantities.end(link.a), quantities.end(link.b)
    more = quantities.shaping(link.shaping, link.a.switch, link.b.switch)
    more |= {"mtu": link.mtu} if link.mtu != usual else {}
    return {"ends": [a, b], **more} if more else f"{a} -- {b}"


def _storage(storage: Storage) -> Tree:
    pools = {
        pool.name: {
            "hosts": list(pool.hosts),
            "size": quantities.memory(pool.size),
            "copies": pool.copies,
        }
        for pool in storage.pools
    }
    volumes = {
        volume.name: {"pool": volume.pool, "size": quantities.memory(volume.size)}
        | ({"keep": volume.keep} if volume.keep else {})
        for volume in storage.volumes
    }
    return {key: value for key, value in (("pools", pools), ("volumes", volumes)) if value}


def _outside(topology: Topology) -> Tree:
    networks = [way.network for way in topology.outside if way.open]
    return {"networks": networks} if networks else {}


def _underlay(underlay: Underlay) -> Tree:
    return {
        "routers": list(underlay.routers),
        "links": [_wire(link) for link in underlay.links],
        "subnet": str(underlay.subnet),
        "mtu": underlay.mtu,
        "tunnels": underlay.tunnels,
    }


def _wire(link: UnderlayLink) -> Any:
    shaped = quantities.shaping(link.shaping, link.a.node, link.b.node)
    return {"ends": [link.a.node, link.b.node], **shaped} if shaped else f"{link.a.node} -- {link.b.node}"
