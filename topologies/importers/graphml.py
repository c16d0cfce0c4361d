"""GraphML -> the tree of a topology file: every node becomes a switch with one host.

It uses expat, which knows lines and loads no other files; the import of networkx takes 0.3 s. Entity
declarations are refused: GraphML does not need them, and XML bombs are made of them.

Real collections (the Internet Topology Zoo) have: labels that are missing, doubled or ``None``; parallel
edges (kept: two wires); self-loops (left out; the description says how many); graphs in several parts (kept).
Positions do not become delays: only what the file asks for is applied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from topologies.model import names
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Report, shown

MAX_NAME = 20
_LABELS = ("label", "name")
_NO_LABELS = frozenset(("none", "null", "nan"))
_EXAMPLE = "https://www.topology-zoo.org has examples"


@dataclass
class _Vertex:
    id: str
    line: int
    label: str = ""


@dataclass
class _Graph:
    """The part of the file that is used, in the order of the file."""

    vertices: dict[str, _Vertex] = field(default_factory=dict)
    edges: list[tuple[str, str, int]] = field(default_factory=list)
    title: str = ""
    directed: bool = False
    has_graph: bool = False


def read(raw: bytes, report: Report) -> Node:
    """The tree of a YAML file that describes the same network. Problems go to ``report``."""
    graph = _Reader(report).read(raw)
    if not graph.vertices and not report.problems:
        what = "the graph has no nodes" if graph.has_graph else "there is no <graph>"
        report.add((), what, "a GraphML graph with <node> elements", _EXAMPLE, line=1)
    for source, target, line in graph.edges:
        for end in (source, target):
            if end not in graph.vertices:
                remedy = report.suggest(end, graph.vertices, "add the node, or remove the edge")
                report.add(
                    (), f"the edge ends at node {shown(end)}, which does not exist", "", remedy, line=line
                )
    if report.problems:
        raise Fatal
    return _tree(graph)


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


def _wires(graph: _Graph) -> tuple[list[tuple[str, str, int]], int]:
    """The edges that are wires, and the number of self-loops, which are none.

    In a directed graph, an edge and its opposite are one wire: wires have both directions.
    """
    wires = []
    loops = 0
    unmatched: dict[tuple[str, str], int] = {}
    for source, target, line in graph.edges:
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
            self.graph.edges.append((source, target, self.parser.CurrentLineNumber))

    def data(self, key: str) -> None:
        what, name = self.keys.get(key, ("", key))
        around = self.open[-2] if len(self.open) > 1 else ""
        if around == "node" and what in ("node", "all", "") and name.lower() in _LABELS:
            self.wanted, self.text = name.lower(), []
        elif around == "graph" and name in ("Network", "label", "name"):
            self.wanted, self.text = "title", []

    def characters(self, text: str) -> None:
        if self.wanted:
            self.text.append(text)

    def end(self, tag: str) -> None:
        name = self.open.pop()
        if self.wanted and name in ("data", "NodeLabel"):
            text = " ".join("".join(self.text).split())
            if self.wanted == "title":
                self.graph.title = self.graph.title or text
            elif self.vertex is not None and (self.wanted == "label" or not self.vertex.label):
                self.vertex.label = text or self.vertex.label
            self.wanted = None
        elif name == "node":
            self.vertex = None
