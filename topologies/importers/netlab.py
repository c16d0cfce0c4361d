"""netlab's topology files (``topology.yml``) -> the tree of a topology file. Pure.

The format: https://netlab.tools/topology-reference/. Nodes become hosts; a node that bridges VLANs, or has
the role ``bridge``, becomes a switch. Configuration modules (ospf, bgp, ...) go beyond a topology: notes list
them. Addresses are those that netlab gives: see ``netlab_addresses``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from topologies.importers.beside import Beside
from topologies.importers.netlab_addresses import Addressing
from topologies.importers.reading import entries, items, text, tree_of
from topologies.importers.wiring import Plug, Said, Wiring
from topologies.syntax import units
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Report, shown

MOST_DEPTH = 8
_LINK_KEYS = frozenset((
    "type", "prefix", "bridge", "bandwidth", "name", "role", "pool", "mtu", "gateway", "group", "members",
    "interfaces", "vlan", "vlan_name", "tc", "disable", "unnumbered", "ra", "dhcp", "vrf", "ospf", "isis",
    "bgp", "eigrp", "ripv2", "mpls", "bfd", "stp", "lag", "pim", "igmp", "linkindex", "ifindex", "libvirt",
    "clab", "allocation", "dmz", "evpn", "vxlan", "sr", "srv6", "routing", "nat", "firewall", "graph",
    "shutdown",
))  # fmt: skip
_CARRIED = frozenset((
    "nodes", "links", "groups", "addressing", "vlans", "name", "defaults", "prefix", "message", "provider",
    "version",
))  # fmt: skip
_MODULE = "configuration modules go beyond the topology"
_HOSTS = ("linux",)
_BRIDGED = "br_default"
"""The VLAN of all links of bridges that name none."""


@dataclass
class _Member:
    """A node at a link, and what the link says about its interface."""

    node: str
    line: int
    keys: dict[str, Node] = field(default_factory=dict)


def read(raw: bytes, report: Report, beside: Beside) -> Node:
    """The tree of a YAML file that describes the same network. Problems go to ``report``."""
    return _Reader(_spread(tree_of(raw, report, "a netlab topology"), 0), report, beside.name).tree()


def _spread(node: Node, depth: int) -> Node:
    """The tree with ``vlan.access: red`` written as ``vlan: {access: red}``, as netlab reads it."""
    if isinstance(node.value, list) and depth < MOST_DEPTH:
        return Node(node.line, [_spread(item, depth + 1) for item in node.value], plain=node.plain)
    if not isinstance(node.value, dict) or depth >= MOST_DEPTH:
        return node
    result: dict[str, Node] = {}
    for key, value in node.value.items():
        inner = _spread(value, depth + 1)
        first, *others = key.split(".")[:MOST_DEPTH]
        for other in reversed(others):
            inner = Node(inner.line, {other: inner})
        before = result.get(first)
        result[first] = inner if before is None else _both(before, inner)
    return Node(node.line, result)


def _both(one: Node, other: Node) -> Node:
    if not isinstance(one.value, dict) or not isinstance(other.value, dict):
        return other
    merged = dict(one.value)
    for key, value in other.value.items():
        merged[key] = _both(merged[key], value) if key in merged else value
    return Node(one.line, merged)


class _Reader:
    def __init__(self, root: Node, report: Report, folder: str) -> None:
        self.report, self.folder = report, folder
        self.root = entries(root, "the file", report)
        self.wiring = Wiring(report)
        self.nodes: dict[str, Node] = {}
        self.switches: set[str] = set()
        self._known: dict[str, Mapping[str, Node]] = {}
        self.vlans = entries(self.root.get("vlans"), "vlans", report)
        self.groups = entries(self.root.get("groups"), "groups", report)
        self.addressing = Addressing(entries(self.root.get("addressing"), "addressing", report), report)

    def tree(self) -> Node:
        self._read_nodes()
        if not self.nodes:
            what, allowed = "the topology has no nodes", "nodes: [r1, r2], or a mapping with their names"
            self.report.add((), what, allowed, "see https://netlab.tools/topology-reference/", 1)
            raise Fatal
        self.wiring.call(text(self.root.get("name")) or self.folder)
        self._tell_what_is_left_out()
        links = list(self._links())
        for _, members, keys in links:
            for member in members:
                if self._bridges(member, keys):
                    self.switches.add(member.node)
        for name, node in self.nodes.items():
            if name in self.switches:
                self.wiring.switch(f"node:{name}", name, node.line)
            else:
                self.wiring.station(name, node.line)
        self.addressing.number({name: text(self._keys(name).get("id")) for name in self.nodes})
        for vlan, node in self.vlans.items():
            keys = entries(node, f"vlans.{vlan}", self.report)
            self.addressing.vlan(vlan, keys.get("prefix"), self._named_prefixes())
            tag, taken = keys.get("id"), {said.text.lstrip("0") for said in self.wiring.vlans.values()}
            if tag is not None and text(tag) and text(tag).lstrip("0") not in taken:
                self.wiring.vlans[vlan] = Said(text(tag), tag.line)
        for number, (link, members, keys) in enumerate(links, 1):
            self._link(number, link, members, keys)
        return self.wiring.tree()

    def _named_prefixes(self) -> dict[str, Node]:
        return entries(self.root.get("prefix"), "prefix", self.report)

    def _read_nodes(self) -> None:
        node = self.root.get("nodes")
        if node is not None and isinstance(node.value, dict):
            self.nodes = dict(node.value)
        else:
            for item in items(node, "nodes", self.report):
                name = text(item)
                if isinstance(item.value, dict):
                    name = text(item.value.get("name"))
                if name:
                    self.nodes.setdefault(name, item)
                else:
                    self.report.note("a node has no name: left out", item.line)
        for group, inner in self.groups.items():
            if isinstance(inner.value, (dict, list)) and not group.startswith("_"):
                for name in self._members(inner):
                    auto = text(self.groups.get("_auto_create")).lower() == "true"
                    own = (
                        text(entries(inner, group, self.report).get("_auto_create"))
                        if isinstance(inner.value, dict)
                        else ""
                    )
                    if (auto or own.lower() == "true") and name not in self.groups:
                        self.nodes.setdefault(name, Node(inner.line))

    def _members(self, group: Node) -> list[str]:
        if isinstance(group.value, list):
            return [text(item) for item in group.value if text(item)]
        keys = entries(group, "a group", self.report)
        return [text(item) for item in items(keys.get("members"), "members", self.report) if text(item)]

    def _keys(self, name: str) -> Mapping[str, Node]:
        """The keys of a node; those of its groups count where it has none of its own."""
        if name not in self._known:
            keys: dict[str, Node] = {}
            for inner in self._groups_of.get(name, ()):
                data = inner.get("node_data")
                keys |= {**inner, **(entries(data, "node_data", self.report) if data else {})}
            node = self.nodes[name]
            self._known[name] = keys | (node.value if isinstance(node.value, dict) else {})
        return self._known[name]

    @cached_property
    def _groups_of(self) -> dict[str, list[dict[str, Node]]]:
        """Node -> the keys of its groups."""
        groups: dict[str, list[dict[str, Node]]] = {}
        for group, inner in self.groups.items():
            if not group.startswith("_") and isinstance(inner.value, dict):
                for name in self._members(inner):
                    groups.setdefault(name, []).append(inner.value)
        return groups

    def _device(self, name: str) -> str:
        defaults = entries(self.root.get("defaults"), "defaults", self.report)
        return text(self._keys(name).get("device")) or text(defaults.get("device"))

    def _is_host(self, name: str) -> bool:
        role = text(self._keys(name).get("role"))
        return role == "host" or (not role and self._device(name) in _HOSTS)

    def _bridges(self, member: _Member, link: Mapping[str, Node]) -> bool:
        """Whether the node is a switch: by its role, or because a VLAN ends at its interface."""
        if member.node not in self.nodes:
            return False
        if text(self._keys(member.node).get("role")) == "bridge":
            return True
        if self._is_host(member.node):
            return False
        return "vlan" in member.keys or "vlan" in link

    def _tell_what_is_left_out(self) -> None:
        report = self.report
        for key, node in self.root.items():
            if key == "module":
                for module in items(node, "module", report):
                    if text(module) != "vlan":
                        report.note(f"module {text(module)}: {_MODULE}: left out", module.line)
            elif key not in _CARRIED:
                report.note(f"{key}: {_MODULE}: left out", node.line)
        for name, node in self.nodes.items():
            known = node.value if isinstance(node.value, dict) else {}
            if "device" in known and text(known["device"]) not in _HOSTS:
                report.note(f"{name}: {self._foreign(known['device'])}", known["device"].line)
            for key, value in known.items():
                if key not in ("name", "device", "role", "id", "vlan", "vlans"):
                    report.note(f"{key} of {name}: {_MODULE}: left out", value.line)
        defaults = entries(self.root.get("defaults"), "defaults", report)
        if "device" in defaults and text(defaults["device"]) not in _HOSTS:
            report.note(f"defaults: {self._foreign(defaults['device'])}", defaults["device"].line)
        for name, inner in self.groups.items():
            for key, value in inner.value.items() if isinstance(inner.value, dict) else ():
                if key == "device" and text(value) not in _HOSTS:
                    report.note(f"group {name}: {self._foreign(value)}", value.line)
                if key not in ("members", "device", "role", "node_data", "_auto_create", "vlan", "vlans"):
                    report.note(f"{key} of group {name}: {_MODULE}: left out", value.line)
        for name, node in self.vlans.items():
            for key, value in entries(node, f"vlans.{name}", report).items():
                if key == "mode" and text(value) != "bridge":
                    report.note(f"mode {text(value)} of VLAN {name}: its switches don't route", value.line)
                elif key not in ("id", "prefix", "mode", "links"):
                    report.note(f"{key} of VLAN {name}: {_MODULE}: left out", value.line)

    @staticmethod
    def _foreign(device: Node) -> str:
        return f"device {shown(text(device))} doesn't run here: it is a plain host or switch"

    def _links(self) -> Iterator[tuple[Node, list[_Member], dict[str, Node]]]:
        """Each link with its members and its own keys."""
        yield from self._some_links(self.root.get("links"), {}, 0)
        for name, node in self.vlans.items():
            more = {"vlan": Node(node.line, {"access": Node(node.line, name)})}
            yield from self._some_links(entries(node, "a VLAN", self.report).get("links"), more, 0)

    def _some_links(
        self, node: Node | None, more: dict[str, Node], depth: int
    ) -> Iterator[tuple[Node, list[_Member], dict[str, Node]]]:
        if node is None or node.value is None:
            return
        if depth > MOST_DEPTH:
            self.report.note("links are nested too deeply: left out", node.line)
            return
        if isinstance(node.value, dict):  # subsets of links, by name
            for inner in node.value.values():
                yield from self._some_links(inner, more, depth + 1)
            return
        for link in items(node, "links", self.report):
            if isinstance(link.value, dict) and "members" in link.value and "group" in link.value:
                shared = {key: value for key, value in link.value.items() if key not in ("members", "group")}
                yield from self._some_links(link.value["members"], {**more, **shared}, depth + 1)
                continue
            members, keys = self._parts(link)
            yield link, members, {**more, **keys}

    def _parts(self, link: Node) -> tuple[list[_Member], dict[str, Node]]:
        """The members and the keys of a link in any of its forms."""
        if isinstance(link.value, str):
            return [_Member(name, link.line) for name in self._split(link.value)], {}
        if isinstance(link.value, list):
            return [_Member(text(item), item.line) for item in link.value if text(item)], {}
        keys = entries(link, "a link", self.report)
        members = []
        for item in items(keys.get("interfaces"), "interfaces", self.report):
            inner = item.value if isinstance(item.value, dict) else {}
            members.append(_Member(text(inner.get("node")) or text(item), item.line, dict(inner)))
        own: dict[str, Node] = {}
        for key, value in keys.items():
            if key in self.nodes or (key not in _LINK_KEYS and (value.value is None or key in self.groups)):
                inner = value.value if isinstance(value.value, dict) else {}
                if text(value):
                    inner = {"ipv4": value}
                members.append(_Member(key, value.line, dict(inner)))
            elif key != "interfaces":
                own[key] = value
        return members, own

    def _split(self, link: str) -> list[str]:
        """The two nodes of ``r1-r2``; names of nodes may have hyphens, too."""
        pieces = link.split("-")
        for count in range(1, min(len(pieces), 20)):
            one, other = "-".join(pieces[:count]), "-".join(pieces[count:])
            if one in self.nodes and other in self.nodes:
                return [one, other]
        return pieces

    def _link(self, number: int, link: Node, members: list[_Member], keys: dict[str, Node]) -> None:
        report = self.report
        kind = text(keys.get("type"))
        if kind in ("loopback", "tunnel", "lag", "external") or text(keys.get("disable")).lower() == "true":
            report.note(f"link {number} of the type {kind or 'disabled'}: left out", link.line)
            return
        known = []
        for member in members:
            if member.node in self.nodes:
                known.append(member)
            else:
                close = report.suggest(member.node, self.nodes, "")
                remedy = f" ({close})" if close else ""
                report.note(f"link {number}: {shown(member.node)} is no node{remedy}: left out", member.line)
        for key, value in keys.items():
            if key not in ("type", "prefix", "bridge", "name", "vlan", "tc", "pool", "role", "group"):
                report.note(f"{key} of link {number}: {_MODULE}: left out", value.line)
        if not known:
            return
        switches = [member for member in known if member.node in self.switches]
        stations = [member for member in known if member.node not in self.switches]
        key = f"node:{switches[0].node}" if len(switches) == 1 else f"link:{number}"
        if len(switches) == 2 and not stations:
            one, other = (f"node:{member.node}" for member in switches)
            self.wiring.link(one, other, link.line, self._tc(keys))
            return
        if len(switches) != 1:
            wanted = text(keys.get("bridge")) or "-".join(member.node for member in known[:3])
            self.wiring.switch(key, wanted, link.line, given="bridge" in keys)
            for member in switches:
                self.wiring.link(key, f"node:{member.node}", member.line)
        vlan = self._vlan(switches, keys)
        shared = vlan or (_BRIDGED if switches and "prefix" not in keys else "")
        if shared == _BRIDGED and _BRIDGED not in self.addressing.vlans:
            self.addressing.vlan(_BRIDGED, None, {})
        addresses = (
            self.addressing.in_vlan(shared, [member.node for member in stations])
            if shared
            else self.addressing.on_link(
                [member.node for member in known],
                kind,
                keys,
                bool(switches) or self._has_host(known),
                self._named_prefixes(),
                link.line,
            )
        )
        shaping = self._tc(keys)
        for member in stations:
            plug = self._plug(member, key, addresses.get(member.node, []))
            if plug is not None and vlan:
                self.wiring.stations[member.node].network = vlan
            if plug is not None and member is stations[0]:
                plug.shaping = shaping

    def _has_host(self, members: list[_Member]) -> bool:
        return any(self._is_host(member.node) for member in members)

    def _vlan(self, switches: list[_Member], keys: Mapping[str, Node]) -> str:
        """The access VLAN of a link; empty when it has none."""
        for holder in (*(member.keys for member in switches), keys):
            vlan = holder.get("vlan")
            if vlan is not None:
                inner = vlan.value if isinstance(vlan.value, dict) else {}
                access = text(inner.get("access")) or text(inner.get("native")) or text(vlan)
                if "trunk" in inner and not access:
                    self.report.note("a VLAN trunk to a host: it is in one network: left out", vlan.line)
                return access
        return ""

    def _plug(self, member: _Member, key: str, chosen: list[str]) -> Plug | None:
        station = self.wiring.stations[member.node]
        if station.is_at(key):
            self.report.note(f"{member.node} is at this link already: left out", member.line)
            return None
        plug = self.wiring.plug(station, f"eth{len(station.plugs) + 1}", key, member.line)
        own = {family: member.keys[family] for family in ("ipv4", "ipv6") if family in member.keys}
        for family, given in own.items():
            chosen = [address for address in chosen if (":" in address) != (family == "ipv6")]
            value = text(given)
            if "/" in value or "." in value or ":" in value:
                plug.addresses.append(Said(value, given.line))
            elif value.lower() not in ("false", "true"):
                self.report.note(f"{family} {shown(value)} of {member.node}: left out", given.line)
        plug.addresses += [Said(address, member.line) for address in chosen]
        for name, inner in member.keys.items():
            if name not in ("node", "ipv4", "ipv6", "vlan", "ifname", "ifindex", "name"):
                self.report.note(f"{name} of {member.node} at a link: {_MODULE}: left out", inner.line)
        return plug

    def _tc(self, keys: Mapping[str, Node]) -> dict[str, str]:
        """netlab's link impairment: delay in ms, loss in percent, rate in kbit/s."""
        shaping: dict[str, str] = {}
        forms = {
            "delay": ("delay", "ms", units.delay),
            "loss": ("loss", "%", units.loss),
            "rate": ("bandwidth", "kbit", units.bandwidth),
        }
        for key, node in entries(keys.get("tc"), "tc", self.report).items():
            wanted, unit, parse = forms.get(key, ("", "", units.delay))
            if not wanted:
                self.report.note(f"tc.{key}: left out", node.line)
                continue
            value = text(node)
            value = f"{value}{unit}" if value.replace(".", "", 1).isdigit() else value
            if self.wiring.parsed(parse, Said(value, node.line), f"tc.{key}") is not None:
                shaping[wanted] = value
        return shaping
