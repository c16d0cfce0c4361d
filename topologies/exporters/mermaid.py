"""A topology as a Mermaid flowchart, which web pages of Markdown show (https://mermaid.js.org). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from topologies.exporters.losses import Written, hosts_of, interfaces_of, losses
from topologies.model.host_wires import host_wires
from topologies.model.topology import Shaping, Topology
from topologies.saving import quantities

_SAID = ("domains", "functions", "interfaces", "links", "wires", "networks")
_STYLES = (
    "classDef switch fill:#3a6ea5,color:#fff",
    "classDef host fill:#deebf7,color:#000",
    "classDef function fill:#fff3bf,color:#000",
)


def write(topology: Topology) -> Written:
    """The file, and what it can't say."""
    lines = ["---", f"title: {topology.name}", "---", "flowchart TB", *_nodes(topology), *_wires(topology)]
    lines += [f"  {style}" for style in _STYLES]
    return Written("\n".join(lines) + "\n", losses(topology, _SAID))


def _nodes(topology: Topology) -> Iterator[str]:
    several = len(topology.domains) > 1
    for number, domain in enumerate(topology.domains):
        indent = "    " if several else "  "
        if several:
            yield f'  subgraph d{number}["{domain.name}"]'
        for switch in topology.switches:
            if switch.domain == domain.name:
                yield f'{indent}{_ident(switch.name)}["{switch.name}"]:::switch'
        if several:
            yield "  end"
    further = topology.further
    for host in hosts_of(topology):
        interfaces = (host, *further.get(host.name, ()))
        addresses = [str(ip.ip) for entry in interfaces for ip in (entry.ipv4, entry.ipv6) if ip is not None]
        label = "<br>".join([host.name, *addresses])
        yield f'  {_ident(host.name)}(["{label}"]):::host'
    for function in topology.functions:
        for instance in function.instances:
            yield f'  {_ident(instance.name)}{{{{"{instance.name}<br>{function.kind}"}}}}:::function'
    for router in topology.underlay.routers if topology.underlay is not None else ():
        yield f'  {_ident(router)}(("{router}"))'


def _wires(topology: Topology) -> Iterator[str]:
    for link in topology.links:
        yield _wire(link.a.switch, link.b.switch, link.shaping)
    for host in interfaces_of(topology):
        if host.port is not None:
            yield _wire(host.node, host.port.switch, host.shaping)
    for wire in host_wires(topology):
        yield _wire(*wire.ends, wire.shaping)
    for function in topology.functions:
        for instance in function.instances:
            for port in instance.ports:
                yield _wire(instance.name, port.switch, Shaping())
    if topology.underlay is not None:
        node = {vtep.domain: vtep.switch for vtep in topology.underlay.vteps}
        for cable in topology.underlay.links:
            a, b = (node.get(end.node, end.node) for end in (cable.a, cable.b))
            yield _wire(a, b, cable.shaping)


def _wire(a: str, b: str, shaping: Shaping) -> str:
    label = " ".join(quantities.effects(shaping.forth).values())
    return f"  {_ident(a)} ---" + (f'|"{label}"| ' if label else " ") + _ident(b)


def _ident(name: str) -> str:
    """An identifier that is no word of Mermaid's language: ``n_`` and the name, other letters by number."""
    return "n_" + "".join(letter if letter.isalnum() else f"_{ord(letter):x}_" for letter in name)
