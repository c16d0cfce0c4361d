"""A topology described in Graphviz's language. Pure.

Graphviz's ``dot`` lays out small labs in layers, with a box for each domain; ``fdp`` keeps the boxes in labs
that are too wide for layers, and ``neato`` draws what has one domain (graphviz.org, "Layout Engines").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from topologies.model.functions import Chain, Function, Prefixes
from topologies.model.host_wires import host_wires
from topologies.model.overlay import overlay
from topologies.model.topology import Host, Topology

LAYERED = 80
"""Most nodes that ``dot`` lays out: rows of more are too wide to read."""
MOST_LAYERS = 12
"""Most layers of switches that ``dot`` draws: a long row becomes a staircase."""
FEW = 4
"""Most hosts that a chain is drawn from or to, each with an arrow of its own."""
CHAIN_COLOURS = ("#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#bcbd22")
"""None is red: what has failed is."""
NETWORK_COLOURS = ("#deebf7", "#fee6ce", "#e5f5e0", "#efedf5", "#fde0dd", "#ffffcc", "#e0ecf4", "#f0f0f0")
_HOSTS = {"vm": ("box", "2"), "container": ("box", "1"), "router": ("hexagon", "1")}
_SWITCH, _TUNNEL, _ROUTER, _FUNCTION = "#3a6ea5", "#7a93b0", "#666666", "#fff3bf"


class Picture(NamedTuple):
    """What to draw: the text, and Graphviz's program that lays it out."""

    engine: str
    text: str


def describe(topology: Topology, cut: Collection[str] = (), bad: Collection[str] = ()) -> Picture:
    """A picture of ``topology``. ``cut``: links that are down; ``bad``: names of what has failed."""
    return _Describer(topology, frozenset(cut), frozenset(bad)).picture()


class _Describer:
    """Makes one picture."""

    def __init__(self, topology: Topology, cut: frozenset[str], bad: frozenset[str]) -> None:
        self.topology, self.cut, self.bad = topology, cut, bad
        self.networks = {
            network.name: NETWORK_COLOURS[number % len(NETWORK_COLOURS)]
            for number, network in enumerate(topology.networks)
        }
        self.domain = {switch.name: switch.domain for switch in topology.switches}
        self.boxed = len(topology.domains) > 1

    def picture(self) -> Picture:
        inside = {domain.name: [*self._inside(domain.name)] for domain in self.topology.domains}
        routers = self.topology.underlay.routers if self.topology.underlay else ()
        number = sum(len(nodes) for nodes in inside.values()) + len(routers)
        layered = number <= LAYERED and (self.boxed or _layers(self.topology) <= MOST_LAYERS)
        engine = "dot" if layered else "fdp" if self.boxed else "neato"
        lines = [*_heading(self.topology, engine)]
        lines += [_node(router, shape="circle", fillcolor=_ROUTER, fontcolor="white") for router in routers]
        for domain, nodes in inside.items():
            lines += _box(domain, nodes) if self.boxed else nodes
        lines += self._edges()
        for number, chain in enumerate(chain for chain in self.topology.chains if not chain.implicit):
            lines += self._chain(chain, CHAIN_COLOURS[number % len(CHAIN_COLOURS)])
        return Picture(engine, "graph lab {\n" + "\n".join(f"  {line}" for line in lines) + "\n}\n")

    def _inside(self, domain: str) -> Iterator[str]:
        topology = self.topology
        for switch in topology.switches:
            if switch.domain == domain:
                tunnel = switch.role == "vtep"
                label = "tunnels" if tunnel else switch.name
                colour = _TUNNEL if tunnel else _SWITCH
                yield self._node(switch.name, label, shape="box", fillcolor=colour, fontcolor="white")
        further = topology.further
        for host in topology.nodes:
            entries = (host, *further.get(host.name, ()))
            at = next((entry.port.switch for entry in entries if entry.port is not None), None)
            if (self.domain[at] if at is not None else topology.domains[0].name) == domain:
                shape, borders = _HOSTS.get(host.kind, ("ellipse", "1"))
                kind = "" if host.kind == "namespace" else f"\n{host.kind}"
                address = "".join(_address(entry) for entry in entries)
                colour = self.networks.get(host.network, "white")
                label = f"{host.name}{address}{kind}"
                yield self._node(host.name, label, shape=shape, peripheries=borders, fillcolor=colour)
        for function in topology.functions:
            if function.switch is not None and self.domain[function.switch] == domain:
                for name in _copies(function):
                    label = f"{name}\n{function.kind}"
                    yield self._node(name, label, shape="component", fillcolor=_FUNCTION)

    def _node(self, name: str, label: str, **attributes: str) -> str:
        if name in self.bad:
            attributes |= {"color": "red", "penwidth": "2.5"}
        return _node(name, label, **attributes)

    def _edges(self) -> Iterator[str]:
        topology = self.topology
        for link in topology.links:
            yield self._link(link.name, link.a.switch, link.b.switch, penwidth="2", color=_SWITCH)
        for wire in host_wires(topology):
            yield self._link(wire.name, *wire.ends, penwidth="2", color="#888888")
        for host in topology.attached:
            name = f"{host.name}-{host.at.switch}"
            tag = {"label": f"VLAN {host.vlan}", "fontcolor": "#888888"} if host.trunk else {}
            yield self._link(name, host.at.switch, host.node, color="#888888", **tag)
        for function in topology.functions:
            if function.switch is not None:
                for name in _copies(function):
                    yield _edge(function.switch, name, color="#888888")
        if topology.underlay is None:
            return
        uplinks = {(uplink.near.switch, uplink.far.switch) for uplink in overlay(topology).uplinks}
        for near, far in sorted(uplinks):
            yield _edge(far, near, style="dotted", color=_TUNNEL)
        node = {vtep.domain: vtep.switch for vtep in topology.underlay.vteps}
        for cable in topology.underlay.links:
            a, b = (node.get(end.node, end.node) for end in (cable.a, cable.b))
            a, b = (b, a) if b in topology.underlay.routers and a not in topology.underlay.routers else (a, b)
            yield self._link(cable.name, a, b, penwidth="2", style="dashed", color=_ROUTER)

    def _link(self, name: str, a: str, b: str, **attributes: str) -> str:
        if name in self.cut:
            attributes |= {"color": "red", "style": "dotted", "label": "cut", "fontcolor": "red"}
        return _edge(a, b, **attributes)

    def _chain(self, chain: Chain, colour: str) -> Iterator[str]:
        """The way of a chain's packets: from its hosts through its functions to its hosts."""
        known = {function.name: function for function in self.topology.functions}
        stages = [_copies(known[name]) for name in chain.functions]
        sources = self._hosts(chain.network, chain.source)
        ends = self._hosts(chain.far_network, chain.destination)
        stages = [*([sources] if sources else []), *stages, *([ends] if ends else [])]
        way = {"color": colour, "penwidth": "1.6", "constraint": "false", "arrowsize": "0.6"}
        way["dir"] = "both" if chain.symmetric else "forward"
        said = False
        for before, after in pairwise(stages):
            for a in before:
                for b in after:
                    label = {} if said else {"label": chain.name, "fontcolor": colour}
                    yield _edge(a, b, **way, **label)
                    said = True

    def _hosts(self, network: str, prefixes: Prefixes) -> list[str]:
        """The few hosts of a network that the prefixes name; none if they are many, or if all are meant."""
        if not prefixes:
            return []
        named = [
            host.node for host in self.topology.hosts if host.network == network and _among(host, prefixes)
        ]
        return named if len(named) <= FEW else []


def _layers(topology: Topology) -> int:
    """How many switches the longest of the shortest ways from the first switch has."""
    beside: dict[str, list[str]] = {switch.name: [] for switch in topology.switches}
    for link in topology.links:
        beside[link.a.switch].append(link.b.switch)
        beside[link.b.switch].append(link.a.switch)
    depth = 0
    reached: set[str] = set()
    layer = [switch.name for switch in topology.switches[:1]]
    while layer:
        depth += 1
        reached.update(layer)
        further = dict.fromkeys(far for near in layer for far in beside[near])
        layer = [switch for switch in further if switch not in reached]
    return depth


def _copies(function: Function) -> list[str]:
    """The names of a function's instances; its own where the switch itself does its work."""
    return [instance.name for instance in function.instances] or [function.name]


def _address(host: Host) -> str:
    return f"\n{host.ipv4.ip}" if host.ipv4 else f"\n{host.ipv6.ip}" if host.ipv6 else ""


def _among(host: Host, prefixes: Prefixes) -> bool:
    addresses = [interface.ip for interface in (host.ipv4, host.ipv6) if interface is not None]
    return any(address in prefix for address in addresses for prefix in prefixes)


def _heading(topology: Topology, engine: str) -> Iterator[str]:
    title = topology.name + (f": {topology.description}" if topology.description else "")
    yield f'graph [label={_quoted(title)}, labelloc=t, fontsize=16, fontname="Helvetica", bgcolor=white]'
    yield "graph [outputorder=edgesfirst]"
    yield 'node [style=filled, fontname="Helvetica", fontsize=10, margin="0.08,0.04", height=0.3]'
    yield 'edge [fontname="Helvetica", fontsize=9]'
    if engine == "dot":
        yield "graph [ranksep=0.5, nodesep=0.25, newrank=true]"
    else:
        yield 'graph [overlap=prism, splines=line, sep="+4", K=0.6]'


def _box(domain: str, nodes: Iterable[str]) -> list[str]:
    heading = (
        f'label={_quoted("domain " + domain)}; style="rounded"; color="#9aa7b5"; labelloc=t; fontsize=12'
    )
    return [
        f"subgraph {_quoted('cluster ' + domain)} {{",
        f"  {heading}",
        *(f"  {node}" for node in nodes),
        "}",
    ]


def _node(name: str, label: str = "", **attributes: str) -> str:
    return f"{_quoted(name)} [{_attributes({'label': label or name, **attributes})}]"


def _edge(a: str, b: str, **attributes: str) -> str:
    return f"{_quoted(a)} -- {_quoted(b)} [{_attributes(attributes)}]"


def _attributes(attributes: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={_quoted(value)}" for name, value in attributes.items())


def _quoted(text: str) -> str:
    """A string of Graphviz's language: what it reads as an escape is taken literally, but for line ends."""
    kept = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
    return '"' + kept.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
