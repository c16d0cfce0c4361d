"""A topology as GraphML (http://graphml.graphdrawing.org), which programs for graphs read. Pure.

``kind`` says what a node is. The importer of GraphML reads these attributes, so the file gives the same lab.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from xml.sax.saxutils import escape, quoteattr

from topologies.exporters.losses import Written, hosts_of, losses
from topologies.model.host_wires import host_wires
from topologies.model.topology import Shaping, Topology
from topologies.saving.tree import in_port_order

NODE = ("kind", "label", "domain", "dpid", "network", "ipv4", "ipv6", "mac")
EDGE = ("bandwidth", "delay", "loss")
"""Attributes of edges: bit/s, microseconds, a fraction."""
_SAID = ("domains", "links", "wires", "networks")
_HEAD = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
_NUMBERS = {"bandwidth": "long", "delay": "long", "loss": "double"}


def write(topology: Topology) -> Written:
    """The file, and what it can't say."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', _HEAD]
    lines += [f'  <key id="{name}" for="node" attr.name="{name}" attr.type="string"/>' for name in NODE]
    lines += [
        f'  <key id="{name}" for="edge" attr.name="{name}" attr.type="{_NUMBERS[name]}"/>' for name in EDGE
    ]
    lines += ['  <key id="name" for="graph" attr.name="name" attr.type="string"/>']
    lines += ['  <graph edgedefault="undirected">', f'    <data key="name">{escape(topology.name)}</data>']
    lines += [*_nodes(topology), *_edges(topology), "  </graph>", "</graphml>"]
    return Written("\n".join(lines) + "\n", losses(topology, _SAID))


def _nodes(topology: Topology) -> Iterator[str]:
    for switch in topology.switches:
        if switch.role == "switch":
            yield from _node(
                switch.name, {"kind": "switch", "domain": switch.domain, "dpid": hex(switch.dpid)}
            )
    for host in hosts_of(topology):
        data = {"kind": "host", "network": host.network, "mac": host.mac}
        addresses = {"ipv4": host.ipv4, "ipv6": host.ipv6}
        data |= {key: str(address) for key, address in addresses.items() if address is not None}
        yield from _node(host.name, data)


def _node(name: str, data: Mapping[str, str]) -> Iterable[str]:
    yield f"    <node id={quoteattr(name)}>"
    for key, value in {"label": name, **data}.items():
        yield f'      <data key="{key}">{escape(value)}</data>'
    yield "    </node>"


def _edges(topology: Topology) -> Iterator[str]:
    for host in hosts_of(topology):
        if host.port is not None:
            yield from _edge(host.name, host.port.switch, host.shaping)
    for wire in host_wires(topology):
        yield from _edge(*wire.ends, wire.shaping)
    for link in in_port_order(topology.links):
        yield from _edge(link.a.switch, link.b.switch, link.shaping)


def _edge(a: str, b: str, shaping: Shaping) -> Iterator[str]:
    values = {name: getattr(shaping, name) for name in EDGE}
    given = {name: value for name, value in values.items() if value}
    head = f"    <edge source={quoteattr(a)} target={quoteattr(b)}"
    if not given:
        yield f"{head}/>"
        return
    yield f"{head}>"
    for name, value in given.items():
        yield f'      <data key="{name}">{value}</data>'
    yield "    </edge>"
