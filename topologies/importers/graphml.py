"""GraphML -> the tree of a topology file: a node becomes a switch with one host.

It uses expat, which knows lines and loads no other files; the import of networkx takes 0.3 s. Entity
declarations are refused: GraphML does not need them, and XML bombs are made of them.

Real collections (the Internet Topology Zoo) have: labels that are missing, doubled or ``None``; parallel
edges (kept: two wires); self-loops (left out; the description says how many); graphs in several parts (kept).
Positions do not become delays: only what the file asks for is applied.

A graph that says of every node of which kind it is, switch or host, as ``sdnlab convert`` writes it, is that
lab again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from topologies.importers.wiring import Said, Wiring
from topologies.model import names
from topologies.syntax import units
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Report, shown

MAX_NAME = 20
_LABELS = ("label", "name")
_OF_NODES = ("kind", "domain", "dpid", "network", "ipv4", "ipv6", "mac")
_OF_EDGES = ("bandwidth", "delay", "loss")
_KINDS = frozenset(("switch", "host", "vtep", "router", "function"))
_NO_LABELS = frozenset(("none", "null", "nan"))
_EXAMPLE = "https://www.topology-zoo.org has examples"


@dataclass
class _Vertex:
    id: str
    line: int
    label: str = ""
    data: dict[str, str] = field(default_factory=dict)


@dataclass
class _Edge:
    source: str
    target: str
    line: int
    data: dict[str, str] = field(default_factory=dict)


@dataclass
class _Graph:
    """The part of the file that is used, in the order of the file."""

    vertices: dict[str, _Vertex] = field(default_factory=dict)
    edges: list[_Edge] = field(default_factory=list)
    title: str = ""
    directed: bool = False
    has_graph: bool = False


def read(raw: bytes, report: Report) -> Node:
    """The tree of a YAML file that describes the same network. Problems go to ``report``."""
    graph = _Reader(report).read(raw)
    if not graph.vertices and not report.problems:
        what = "the graph has no nodes" if graph.has_graph else "there is no <graph>"
        report.add((), what, "a GraphML graph with <node> elements", _EXAMPLE, line=1)
    for edge in graph.edges:
        for end in (edge.source, edge.target):
            if end not in graph.vertices:
                remedy = report.suggest(end, graph.vertices, "add the node, or remove the edge")
                what = f"the edge ends at node {shown(end)}, which does not exist"
                report.add((), what, "", remedy, line=edge.line)
    if report.problems:
        raise Fatal
    kinds = {vertex.data.get("kind") for vertex in graph.vertices.values()}
    return _lab(graph, report) if kinds <= _KINDS and "switch" in kinds else _tree(graph)


def _tree(graph: _Graph) -> Node:
    switch = switch_names({v.id: v.label for v in graph.vertices.values()})
    edges, loops = _wires(graph)
    description = f"{graph.title or 'A graph'}, from GraphML: {len(switch)} nodes, {len(edges)} links"
    if loops:
        description += f" ({loops} self-loop{'s' if loops > 1 else ''} left out)"
    switches: dict[str, Node] = {}
    hosts: dict[str, Node] = {}
    for vertex in graph.vertices.values():
        name = switch[vertex.id]
        switches[name] = Node(vertex.line, {})
        hosts[f"h-{name}"] = Node(vertex.line, name)
    links = [
        Node(line, [Node(line, switch[source]), Node(line, switch[target])]) for source, target, line in edges
    ]
    return Node(
        1,
        {
            "description": Node(1, description),
            "switches": Node(1, switches),
            "hosts": Node(1, hosts),
            "links": Node(1, links),
        },
    )


def _lab(graph: _Graph, report: Report) -> Node:
    """The tree of a graph that says what its nodes are, as sdnlab writes it."""
    wiring = Wiring(report)
    wiring.call(graph.title)
    for vertex in graph.vertices.values():
        kind = vertex.data["kind"]
        name = vertex.label or vertex.id
        if kind == "switch":
            domain = vertex.data.get("domain", "")
            wiring.switch(vertex.id, name, vertex.line, dpid=_dpid(vertex, report), domain=domain)
        elif kind == "host":
            wiring.station(vertex.id, vertex.line).network = vertex.data.get("network", "")
        else:
            report.note(f"{shown(name)}: a {kind} is no switch and no host: left out", vertex.line)
    for edge in graph.edges:
        ends = (edge.source, edge.target)
        switches = [end for end in ends if wiring.has_switch(end)]
        stations = [wiring.stations[end] for end in ends if end in wiring.stations]
        shaping = _shaping(edge, wiring)
        if len(switches) == 2:
            wiring.link(switches[0], switches[1], edge.line, shaping)
        elif len(switches) == 1 and stations:
            data = graph.vertices[stations[0].name].data
            interface = f"eth{len(stations[0].plugs)}"
            plug = wiring.plug(stations[0], interface, switches[0], edge.line)
            plug.shaping = shaping
            line = graph.vertices[stations[0].name].line
            for given in (data[key] for key in ("ipv4", "ipv6") if data.get(key)):
                if "/" in given:
                    plug.addresses.append(Said(given, line))
                else:
                    what = f"{given} of {stations[0].name}: its prefix length is not known: left out"
                    report.note(what, line)
            plug.mac = Said(data["mac"], line) if data.get("mac") else None
        else:
            what = f"an edge of {shown(edge.source)} and {shown(edge.target)}"
            report.note(f"{what} joins no switch to a switch or a host: left out", edge.line)
    return wiring.tree()


def _dpid(vertex: _Vertex, report: Report) -> str:
    given = vertex.data.get("dpid", "")
    try:
        return hex(units.dpid(given)) if given else ""
    except units.BadValue as error:
        report.note(f"{error.what}: left out", vertex.line)
        return ""


def _shaping(edge: _Edge, wiring: Wiring) -> dict[str, str]:
    """What a wire does: bit/s, microseconds, a fraction, as ``Topology.graph`` has them."""
    forms = {
        "bandwidth": ("bit", units.bandwidth),
        "delay": ("us", units.delay),
        "loss": ("", units.loss),
    }
    shaping = {}
    for key, (unit, parse) in forms.items():
        given = edge.data.get(key, "")
        said = Said(f"{given}{unit}", edge.line)
        if given and wiring.parsed(parse, said, f"{key} of an edge") is not None:
            shaping[key] = said.text
    return shaping


def _wires(graph: _Graph) -> tuple[list[tuple[str, str, int]], int]:
    """The edges that are wires, and the number of self-loops, which are none.

    In a directed graph, an edge and its opposite are one wire: wires have both directions.
    """
    wires = []
    loops = 0
    unmatched: dict[tuple[str, str], int] = {}
    for edge in graph.edges:
        source, target, line = edge.source, edge.target, edge.line
        if source == target:
            loops += 1
        elif graph.directed and unmatched.get((target, source), 0):
            unmatched[target, source] -= 1
        else:
            unmatched[source, target] = unmatched.get((source, target), 0) + 1
            wires.append((source, target, line))
    return wires, loops


def switch_names(labels: dict[str, str]) -> dict[str, str]:
    """Node id -> the name of its switch, made from its label, or else from its id.

    Names have lower-case letters, digits and hyphens, at most about 20 characters. No two are equal, and none
    is the name of a host (``h-`` and the name of a switch).
    """
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    numbers: dict[str, int] = {}

    def choose(ident: str, base: str) -> None:
        name = base
        while name in taken or f"h-{name}" in taken:
            numbers[base] = numbers.get(base, 1) + 1
            name = f"{base}-{numbers[base]}"
        taken.update((name, f"h-{name}"))
        chosen[ident] = name

    slugs = {ident: names.slug(label, MAX_NAME) for ident, label in labels.items()}
    for ident, slug in slugs.items():
        if slug and slug not in _NO_LABELS:
            choose(ident, f"n{slug}" if slug.isdigit() else slug)
    # nodes without a label last, so that they do not take a name that a label gives
    for ident in labels:
        if ident not in chosen:
            slug = names.slug(ident, MAX_NAME)
            choose(ident, slug if slug and not slug[0].isdigit() else f"n{slug}")
    return chosen


class _Reader:
    """Collects nodes and edges from expat's callbacks."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.graph = _Graph()
        self.keys: dict[str, tuple[str, str]] = {}  # id -> (the elements that have it, its name)
        self.open: list[str] = []
        self.vertex: _Vertex | None = None
        self.wanted: str | None = None  # what the text that is being read is used for
        self.text: list[str] = []
        self.holder: dict[str, str] | None = None  # where it goes, if it is an attribute of sdnlab's own
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.EntityDeclHandler = self.entity

    def read(self, raw: bytes) -> _Graph:
        try:
            self.parser.Parse(raw, True)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code) or "unreadable"
            self.problem(f"XML syntax: {what}", line=error.lineno)
            raise Fatal from None
        except (LookupError, ValueError):  # an encoding that Python does not have, or that is not for text
            self.problem("the XML declaration names an unusable encoding", "UTF-8", "save it as UTF-8", 1)
            raise Fatal from None
        return self.graph

    def problem(self, what: str, allowed: str = "", remedy: str = "", line: int | None = None) -> None:
        where = self.parser.CurrentLineNumber if line is None else line
        self.report.add((), what, allowed, remedy, line=where)

    def entity(self, *_: object) -> None:
        self.problem("an entity declaration is refused", "plain GraphML", "remove the DOCTYPE")
        raise Fatal

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        if not self.open and name != "graphml":
            self.problem(f"the root element is <{name[:40]}>", "<graphml>", _EXAMPLE)
            raise Fatal
        self.open.append(name)
        if name == "key":
            self.keys[attributes.get("id", "")] = (attributes.get("for", ""), attributes.get("attr.name", ""))
        elif name == "graph":
            if not self.graph.has_graph:
                self.graph.directed = attributes.get("edgedefault") == "directed"
            self.graph.has_graph = True
        elif name == "node":
            self.node(attributes.get("id"))
        elif name == "edge":
            self.edge(attributes.get("source"), attributes.get("target"))
        elif name == "hyperedge":
            self.problem("a hyperedge is no wire", "<edge> with two ends", "make a node of it")
        elif name == "data":
            self.data(attributes.get("key", ""))
        elif name == "NodeLabel" and self.vertex is not None:  # yEd's way
            self.wanted, self.text = "label", []

    def node(self, ident: str | None) -> None:
        line = self.parser.CurrentLineNumber
        if ident is None:
            self.problem("a node has no id", remedy="give it one: <node id=…>")
        elif ident in self.graph.vertices:
            first = self.graph.vertices[ident].line
            self.problem(
                f"node {shown(ident)} is given twice (first on line {first})", remedy="change its id"
            )
        else:
            self.vertex = self.graph.vertices[ident] = _Vertex(ident, line)

    def edge(self, source: str | None, target: str | None) -> None:
        if source is None or target is None:
            lack = "source" if source is None else "target"
            self.problem(f"an edge has no {lack}", remedy=f"give it one: <edge {lack}=…>")
        else:
            self.graph.edges.append(_Edge(source, target, self.parser.CurrentLineNumber))

    def data(self, key: str) -> None:
        what, name = self.keys.get(key, ("", key))
        around = self.open[-2] if len(self.open) > 1 else ""
        if around == "node" and what in ("node", "all", "") and name.lower() in _LABELS:
            self.wanted, self.text = name.lower(), []
        elif around == "node" and name in _OF_NODES and self.vertex is not None:
            self.wanted, self.text, self.holder = name, [], self.vertex.data
        elif around == "edge" and name in _OF_EDGES and self.graph.edges:
            self.wanted, self.text, self.holder = name, [], self.graph.edges[-1].data
        elif around == "graph" and name in ("Network", "label", "name"):
            self.wanted, self.text = "title", []

    def characters(self, text: str) -> None:
        if self.wanted:
            self.text.append(text)

    def end(self, tag: str) -> None:
        name = self.open.pop()
        if self.wanted and name in ("data", "NodeLabel"):
            text = " ".join("".join(self.text).split())
            if self.holder is not None:
                self.holder[self.wanted], self.holder = text, None
            elif self.wanted == "title":
                self.graph.title = self.graph.title or text
            elif self.vertex is not None and (self.wanted == "label" or not self.vertex.label):
                self.vertex.label = text or self.vertex.label
            self.wanted = None
        elif name == "node":
            self.vertex = None
