"""Containerlab's topology files (``*.clab.yml``) -> the tree of a topology file. Pure.

The format: https://containerlab.dev/manual/topo-def-file/. Nodes of the kinds ``bridge`` and ``ovs-bridge``
become switches, all others hosts. A link between two hosts becomes a switch with both. A node has the keys of
``defaults``, its kind, its group and its own: mappings are merged, lists joined, and else the last counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from topologies.importers.belongings import Belongings
from topologies.importers.beside import Beside, inside
from topologies.importers.commands import Commands, bridge_ports, split
from topologies.importers.reading import entries, items, text, tree_of
from topologies.importers.wiring import Plug, Said, Station, Wiring
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Report, shown

_MANUAL = "https://containerlab.dev/manual/topo-def-file"
SWITCHES = ("bridge", "ovs-bridge")
_FILES = "a host has this machine's files and programs"
_MANAGEMENT = "mgmt:"
_NO_MANAGEMENT = "a lab has no management network"
_LEFT = {
    "image": _FILES,
    "image-pull-policy": _FILES,
    "cmd": _FILES,
    "entrypoint": _FILES,
    "license": _FILES,
    "startup-config": _FILES,
    "type": _FILES,
    "mgmt-ipv4": _NO_MANAGEMENT,
    "mgmt-ipv6": _NO_MANAGEMENT,
    "mgmt_ipv4": _NO_MANAGEMENT,
    "mgmt_ipv6": _NO_MANAGEMENT,
    "network-mode": _NO_MANAGEMENT,
    "ports": "no port of this machine leads to a host",
    "publish": "no port of this machine leads to a host",
}
_CARRIED = ("kind", "group", "exec", "binds", "env", "env-files", "sysctls", "cpu", "memory", "labels")
_NO_NODES = ("host", "mgmt-net", "macvlan", "vxlan", "vxlan-stitch", "dummy")
"""Words that stand in place of a node: ends outside of the lab."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?[-=]([^}\n]*))?\}")
_TEMPLATE = re.compile(rb"\{\{-?[ \t]*(?:\$|\.|range|if|end|define|template|with|block)\b")
NETWORK, DPID = "sdnlab.network", "sdnlab.dpid"
"""Labels that sdnlab writes itself, so that a file which it made gives the same lab again."""


def read(raw: bytes, report: Report, beside: Beside) -> Node:
    """The tree of a YAML file that describes the same network. Problems go to ``report``."""
    if template := _TEMPLATE.search(raw):
        what, remedy = "it is a template of Go", "write out what it gives, without {{ }}"
        line = raw.count(b"\n", 0, template.start()) + 1
        report.add((), what, "plain YAML", remedy, line=line)
        raise Fatal
    filled = _filled(raw.decode("utf-8", "surrogateescape"), report)
    root = tree_of(filled.encode("utf-8", "surrogateescape"), report, "a containerlab topology")
    return _Reader(root, report, beside).tree()


def _filled(content: str, report: Report) -> str:
    """A text with containerlab's variables filled in, which it does before it reads the YAML: a default
    counts, no environment is asked."""

    def default(match: re.Match[str]) -> str:
        if match.group(2) is None:
            line = content.count("\n", 0, match.start()) + 1
            report.note(f"variable {match.group(1)} has no default: it stays as it is", line)
            return match.group(0)
        return match.group(2)

    return _VARIABLE.sub(default, content)


def _named(value: str, station: Station) -> str:
    """A text with the name of its node filled in."""
    return value.replace("__clabNodeName__", station.name)


class _Reader:
    def __init__(self, root: Node, report: Report, beside: Beside) -> None:
        self.report, self.beside = report, beside
        self.root = entries(root, "the file", report)
        self.topology = entries(self.root.get("topology"), "topology", report)
        self.wiring = Wiring(report, forwards=True)
        self.kinds: dict[str, str] = {}
        self.management = entries(self.root.get("mgmt"), "mgmt", report)

    def tree(self) -> Node:
        nodes = entries(self.topology.get("nodes"), "topology.nodes", self.report)
        if not nodes:
            line = self.root["topology"].line if "topology" in self.root else 1
            allowed, remedy = "topology: {nodes: {h1: {kind: linux}}}", f"see {_MANUAL}"
            self.report.add((), "the topology has no nodes", allowed, remedy, line)
            raise Fatal
        self.wiring.call(text(self.root.get("name")))
        for name, node in nodes.items():
            self._node(name, node)
        for link in items(self.topology.get("links"), "topology.links", self.report):
            self._link(link)
        self._join_others(nodes)
        self._tell_what_is_left_out(nodes)
        for name, station in [*self.wiring.stations.items()]:
            script = "\n".join(text(line) for line in self._exec(nodes[name]))
            if not self.wiring.bridged(station, bridge_ports(script)):
                self._belongings(station, nodes[name])
        return self.wiring.tree()

    def _tell_what_is_left_out(self, nodes: dict[str, Node]) -> None:
        report = self.report
        for key, node in self.root.items():
            if key not in ("name", "topology", "prefix", "debug"):
                why = _NO_MANAGEMENT if key == "mgmt" else "it is not known"
                if key == "mgmt" and self.wiring.has_switch(_MANAGEMENT):
                    continue
                report.note(f"{key}: {why}: left out", node.line)
        for key, node in self.topology.items():
            if key not in ("nodes", "links", "kinds", "defaults", "groups"):
                report.note(f"topology.{key}: not known: left out", node.line)
        holders = [("defaults", self.topology["defaults"])] if "defaults" in self.topology else []
        for section in ("kinds", "groups"):
            inner = entries(self.topology.get(section), f"topology.{section}", report)
            holders += [(f"{section}.{name}", node) for name, node in inner.items()]
        for where, holder in [*holders, *((f"nodes.{name}", node) for name, node in nodes.items())]:
            station = self.wiring.stations.get(where.removeprefix("nodes."))
            managed = station is not None and station.is_at(_MANAGEMENT)
            for key, node in entries(holder, where, report).items():
                if key not in _CARRIED and not (managed and key == "mgmt-ipv4"):
                    why = _LEFT.get(key, "a host has nothing like it")
                    report.note(f"{where}.{key}: {why}: left out", node.line)

    def _layers(self, node: Node) -> Iterator[dict[str, Node]]:
        """The mappings that apply to a node, those that count less first."""
        topology, report = self.topology, self.report
        own = entries(node, "a node", report)
        defaults = entries(topology.get("defaults"), "topology.defaults", report)
        groups = entries(topology.get("groups"), "topology.groups", report)
        group = entries(groups.get(text(own.get("group"))), "a group", report)
        kind = next((text(layer["kind"]) for layer in (own, group, defaults) if "kind" in layer), "")
        kinds = entries(topology.get("kinds"), "topology.kinds", report)
        yield from (defaults, entries(kinds.get(kind), "a kind", report), group, own)

    def _merged(self, node: Node) -> dict[str, Node]:
        """The keys of a node with those that it inherits."""
        merged: dict[str, Node] = {}
        for layer in self._layers(node):
            for key, value in layer.items():
                before = merged.get(key)
                if before is not None and isinstance(value.value, dict) and isinstance(before.value, dict):
                    merged[key] = Node(value.line, {**before.value, **value.value})
                elif before is not None and isinstance(value.value, list) and isinstance(before.value, list):
                    merged[key] = Node(value.line, [*before.value, *value.value])
                else:
                    merged[key] = value
        return merged

    def _node(self, name: str, node: Node) -> None:
        merged = self._merged(node)
        kind = text(merged.get("kind"))
        labels = entries(merged.get("labels"), f"labels of {name}", self.report)
        self.kinds[name] = kind
        if kind in SWITCHES:
            self.wiring.switch(f"node:{name}", name, node.line, dpid=text(labels.get(DPID)))
            return
        if kind == "host":
            self.report.note(f"{name}: this machine itself is no part of a lab: left out", node.line)
            return
        station = self.wiring.station(name, node.line)
        station.network = text(labels.get(NETWORK))
        if kind != "linux":
            what = f"its kind {shown(kind)} doesn't run here" if kind else "it has no kind"
            remedy = "kind: bridge makes a switch of it"
            self.report.note(f"{name}: {what}: it is a plain host ({remedy})", node.line)

    def _link(self, link: Node) -> None:
        keys = entries(link, "a link", self.report)
        for key in ("mtu", "vars"):
            if key in keys:
                self.report.note(f"{key} of a link: left out", keys[key].line)
        kind = text(keys.get("type"))
        ends = [self._end(end) for end in items(keys.get("endpoints"), "endpoints", self.report)]
        outside = next((end[0] for end in ends if end is not None and end[0] in _NO_NODES), "")
        if outside or kind not in ("", "veth"):
            what = outside or kind
            self.report.note(f"a link to {shown(what)}: it leads out of the lab: left out", link.line)
            return
        if len(ends) != 2 or None in ends:
            what = 'a link has two ends, like ["h1:eth1", "h2:eth1"]'
            self.report.note(f"{what}: left out", link.line)
            return
        plugs = self._plugs([end for end in ends if end is not None], link.line)
        for key in ("ipv4", "ipv6"):
            for plug, said in zip(plugs, items(keys.get(key), key, self.report), strict=False):
                if plug is not None and text(said):
                    plug.addresses.append(Said(text(said), said.line))

    def _join_others(self, nodes: dict[str, Node]) -> None:
        """Nodes that no link joins meet in containerlab's management network: so they do on a switch."""
        alone = [station for station in self.wiring.stations.values() if station.first is None]
        for station in alone:
            self.wiring.switch(_MANAGEMENT, "mgmt", station.line)
            plug = self.wiring.plug(station, "eth0", _MANAGEMENT, station.line)
            length = text(self.management.get("ipv4-subnet")).partition("/")[2]
            given = text(self._merged(nodes[station.name]).get("mgmt-ipv4"))
            if given and length:
                plug.addresses.append(Said(f"{given}/{length}", station.line))
            what = f"{station.name}: it has no link: it is on the switch mgmt, with all others that have none"
            self.report.note(what, station.line)

    def _end(self, end: Node) -> tuple[str, str, dict[str, Node]] | None:
        """Node, interface and further keys of an end; None when it is none."""
        if isinstance(end.value, dict):
            node, interface = text(end.value.get("node")), text(end.value.get("interface"))
            return (node, interface, end.value) if node else None
        node, colon, interface = text(end).partition(":")
        return (node, interface, {}) if colon and node and interface else None

    def _plugs(self, ends: list[tuple[str, str, dict[str, Node]]], line: int) -> list[Plug | None]:
        """Join the ends of a link; the plugs of those ends that are stations."""
        for name, _, _ in ends:
            if name not in self.kinds:
                close = self.report.suggest(name, self.kinds, "")
                remedy = f" ({close})" if close else ""
                self.report.note(f"a link ends at {shown(name)}, which is no node{remedy}: left out", line)
                return []
            if self.kinds[name] == "host":
                self.report.note(f"a link to {shown(name)}: it leads out of the lab: left out", line)
                return []
        switches = [f"node:{name}" for name, _, _ in ends if self.kinds[name] in SWITCHES]
        if len(switches) == 2:
            self.wiring.link(switches[0], switches[1], line)
            return []
        key = switches[0] if switches else f"link:{line}:{ends[0][0]}:{ends[0][1]}"
        if not switches:
            self.wiring.switch(key, f"{ends[0][0]}-{ends[1][0]}", line, given=False)
        plugs: list[Plug | None] = []
        for name, interface, more in ends:
            station = self.wiring.stations.get(name)
            if station is None:
                plugs.append(None)
                continue
            if station.plug(interface) is not None:
                self.report.note(f"{interface} of {name} has a link already: left out", line)
                plugs.append(None)
                continue
            plug = self.wiring.plug(station, interface, key, line)
            if text(more.get("mac")):
                plug.mac = Said(text(more["mac"]), more["mac"].line)
            for family in ("ipv4", "ipv6"):
                if text(more.get(family)):
                    plug.addresses.append(Said(text(more[family]), more[family].line))
            plugs.append(plug)
        return plugs

    def _exec(self, node: Node) -> list[Node]:
        return items(self._merged(node).get("exec"), "exec", self.report)

    def _belongings(self, station: Station, node: Node) -> None:
        report = self.report
        merged = self._merged(node)
        own = Belongings(station, report, self.beside)
        for entry in items(merged.get("env-files"), "env-files", report):
            self._variables_of_file(own, entry)
        for key, value in entries(merged.get("env"), "env", report).items():
            own.variable(key, _named(text(value), station), value.line)
        for key, value in entries(merged.get("sysctls"), "sysctls", report).items():
            own.sysctl(key, text(value), value.line)
        if text(merged.get("memory")):
            own.memory(Said(text(merged["memory"]), merged["memory"].line))
        if text(merged.get("cpu")):
            own.cpus(Said(text(merged["cpu"]), merged["cpu"].line))
        for bind in items(merged.get("binds"), "binds", report):
            self._bind(own, bind)
        management = () if station.plug("eth0") is not None else ("eth0",)
        commands = Commands(station, report, self.wiring.devices(station), management)
        for command in self._exec(node):
            line = _named(text(command), station)
            words = split(line)
            if words is None:
                own.note(f"the quotes of {shown(line)} don't match", command.line)
            elif words:
                commands.line(words, command.line)
        for run, line_number in commands.run:
            own.command(run, line_number)
        own.settle()

    def _variables_of_file(self, own: Belongings, entry: Node) -> None:
        name = inside(text(entry))
        if name is None:
            own.note(f"file {shown(text(entry))} is outside of the folder of this file", entry.line)
            return
        content = self.beside.read(name)
        if content.problem:
            own.note(f"file {shown(name)} {content.problem}", entry.line)
        for line in content.raw.decode("utf-8", "replace").splitlines():
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith("#"):
                own.variable(key.strip(), value.strip().strip("\"'"), entry.line)

    def _bind(self, own: Belongings, bind: Node) -> None:
        """``SOURCE:TARGET[:OPTIONS]``: a file or a folder; what changes in it later is not seen outside."""
        parts = _named(text(bind), own.station).split(":")
        if len(parts) < 2 or not parts[1]:
            own.note(f"bind {shown(text(bind))}: a bind is source:target", bind.line)
            return
        source, target = parts[0], parts[1]
        name = inside(source)
        if name is None:
            own.note(f"bind {shown(source)}: it is outside of the folder of this file", bind.line)
        elif self.beside.files(name):
            own.folder(name, target, bind.line)
        else:
            own.file(name, target, bind.line)
