"""MiniEdit's files (``*.mn``, JSON) -> the tree of a topology file. Pure.

MiniEdit is ``examples/miniedit.py`` of Mininet; its version 1 had no options of nodes, version 2 has. On
Python 3 some releases wrote texts as the display of bytes (``"b'h1'"``), or the whole file as Python displays
a dictionary, or left out sections; all of these are read. One that was left empty has nothing to read.

JSON is read as YAML, which contains it: so lines are known, and so is Python's display of dictionaries.
"""

from __future__ import annotations

import posixpath
import re
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network

from topologies.importers.belongings import Belongings
from topologies.importers.beside import Beside
from topologies.importers.commands import Commands
from topologies.importers.reading import entries, items, text, tree_of
from topologies.importers.wiring import Said, Station, Wiring
from topologies.syntax import units
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Problem, Report, shown

_BYTES = re.compile(r"""[bu](['"])(.*)\1""", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_BASE = "10.0.0.0/8"
_NOTHING = ("", "none", "null", "default", "0", "false")
_LEFT_OF_HOSTS = {
    "externalInterfaces": "no interface of this machine is joined",
    "vlanInterfaces": "a host has one interface, without VLANs",
    "cores": "no processor is chosen",
    "stopCommand": "nothing runs in a host when the lab ends",
}
_LEFT_OF_SWITCHES = {
    "netflow": "switches export no flows",
    "sflow": "switches export no samples",
    "switchIP": "switches have no address in the lab's networks",
    "externalInterfaces": "no interface of this machine is joined",
    "startCommand": "a switch runs no commands",
    "stopCommand": "a switch runs no commands",
    "dpctl": "a switch has no port for dpctl",
}
_TYPES = ("ovs", "default", "user", "indigo", "")


def read(raw: bytes, report: Report, beside: Beside) -> Node:
    """The tree of a YAML file that describes the same network. Problems go to ``report``."""
    if not raw.strip():
        what = "is empty: MiniEdit leaves such a file when it fails to save"
        report.add((), what, "MiniEdit's JSON", "save it again with a MiniEdit of 2021 or later", 1)
        raise Fatal
    try:
        root = _plain(tree_of(raw, report, "a file of MiniEdit"))
    except Fatal:
        report.problems[:] = [_as_json(problem) for problem in report.problems]
        raise
    return _Reader(root, report, beside).tree()


def _as_json(problem: Problem) -> Problem:
    message = problem.message.replace("YAML syntax", "JSON syntax")
    remedy = "it may have been cut off when it was saved" if message != problem.message else problem.remedy
    return Problem(problem.file, problem.line, problem.path, message, problem.allowed, remedy)


def _plain(node: Node) -> Node:
    """The tree without the ``b'...'`` and ``u'...'`` of Python's bytes and texts."""
    if isinstance(node.value, dict):
        return Node(node.line, {_text(key): _plain(value) for key, value in node.value.items()})
    if isinstance(node.value, list):
        return Node(node.line, [_plain(value) for value in node.value])
    return Node(node.line, _text(node.value) if isinstance(node.value, str) else None)


def _text(value: str) -> str:
    match = _BYTES.fullmatch(value)
    return match.group(2) if match else value


class _Reader:
    def __init__(self, root: Node, report: Report, beside: Beside) -> None:
        self.report, self.beside = report, beside
        self.root = entries(root, "the file", report)
        self.wiring = Wiring(report)

    def tree(self) -> Node:
        nodes = [*items(self.root.get("hosts"), "hosts", self.report)]
        switches = items(self.root.get("switches"), "switches", self.report)
        if not nodes and not switches:
            what, allowed = (
                "it has no hosts and no switches",
                'entries like "hosts": [{"opts": {"hostname": "h1"}}]',
            )
            self.report.add((), what, allowed, "draw some and save it again", 1)
            raise Fatal
        application = entries(self.root.get("application"), "application", self.report)
        for controller in items(self.root.get("controllers"), "controllers", self.report):
            self._controller(controller)
        for switch in switches:
            self._switch(switch)
        for host in nodes:
            self._host(host)
        for link in items(self.root.get("links"), "links", self.report):
            self._link(link)
        for host in nodes:
            self._belongings(host)
        self._application(application)
        return self.wiring.tree()

    def _options(self, node: Node, letter: str) -> tuple[str, dict[str, Node]]:
        """The name and the options of a node; version 1 has a number alone."""
        keys = entries(node, "a node", self.report)
        options = entries(keys.get("opts"), "opts", self.report)
        number = text(options.get("nodeNum")) or text(keys.get("number"))
        name = (
            text(options.get("hostname")) or text(keys.get("name")) or (f"{letter}{number}" if number else "")
        )
        return name, {**keys, **options}

    def _controller(self, node: Node) -> None:
        name, options = self._options(node, "c")
        kind = text(options.get("controllerType")) or "ref"
        address = text(options.get("remoteIP"))
        where = f" at {address}:{text(options.get('remotePort'))}" if kind == "remote" and address else ""
        self.report.note(
            f"controller {name or '?'} ({kind}{where}): the lab's own controller takes its place", node.line
        )

    def _switch(self, node: Node) -> None:
        name, options = self._options(node, "s")
        if not name:
            self.report.note("a switch has no name: left out", node.line)
            return
        kind = text(options.get("switchType"))
        if kind in ("legacyRouter",) or text(options.get("nodeType")) == "legacyRouter":
            self.wiring.station(name, node.line)
            self.report.note(f"{name}: a legacy router becomes a host: it routes nothing", node.line)
            return
        if kind == "legacySwitch":
            self.report.note(f"{name}: a legacy switch becomes one of the lab's controller", node.line)
        elif kind.lower() not in _TYPES and not kind.lower().startswith(("ovs", "user", "indigo")):
            self.report.note(f"{name}: switch type {shown(kind)} becomes Open vSwitch", node.line)
        self._tell(name, options, _LEFT_OF_SWITCHES)
        self.wiring.switch(f"node:{name}", name, node.line, dpid=self._dpid(name, options))

    def _dpid(self, name: str, options: dict[str, Node]) -> str:
        """A datapath id: MiniEdit takes hexadecimal digits, with or without colons."""
        given = text(options.get("dpid"))
        if not given:
            return ""
        digits = given.lower().removeprefix("0x").replace(":", "")
        if not re.fullmatch(r"[0-9a-f]{1,16}", digits) or not int(digits, 16):
            self.report.note(f"{name}: {shown(given)} is no datapath id: left out", options["dpid"].line)
            return ""
        return hex(int(digits, 16))

    def _tell(self, name: str, options: dict[str, Node], reasons: dict[str, str]) -> None:
        for key, why in reasons.items():
            node = options.get(key)
            if node is None or not node.value or text(node).strip().lower() in _NOTHING[1:]:
                continue
            if not isinstance(node.value, str) or node.value.strip():
                self.report.note(f"{key} of {name}: {why}: left out", node.line)

    def _host(self, node: Node) -> None:
        name, options = self._options(node, "h")
        if not name:
            self.report.note("a host has no name: left out", node.line)
            return
        if text(options.get("nodeType")) == "legacyRouter":
            self.report.note(f"{name}: a legacy router becomes a host: it routes nothing", node.line)
        self.wiring.station(name, node.line)
        self._tell(name, options, _LEFT_OF_HOSTS)
        if text(options.get("sched")) in ("cfs", "rt"):
            self.report.note(f"sched of {name}: the kernel's own scheduler: left out", options["sched"].line)

    def _link(self, link: Node) -> None:
        keys = entries(link, "a link", self.report)
        ends = [text(keys.get("src")), text(keys.get("dest"))]
        options = entries(keys.get("opts"), "opts", self.report)
        for end in ends:
            if end not in self.wiring.stations and not self.wiring.has_switch(f"node:{end}"):
                self.report.note(f"a link ends at {shown(end)}, which is no node: left out", link.line)
                return
        shaping = self._shaping(options, " and ".join(ends))
        switches = [f"node:{end}" for end in ends if self.wiring.has_switch(f"node:{end}")]
        if len(switches) == 2:
            self.wiring.link(switches[0], switches[1], link.line, shaping)
            return
        key = switches[0] if switches else f"link:{link.line}:{ends[0]}:{ends[1]}:{len(self.wiring.stations)}"
        if not switches:
            self.wiring.switch(key, "-".join(ends), link.line, given=False)
        stations = [self.wiring.stations[end] for end in ends if end in self.wiring.stations]
        for station in stations:
            plug = self.wiring.plug(station, f"{station.name}-eth{len(station.plugs)}", key, link.line)
            if station is stations[0]:  # both directions of a link between two hosts are shaped once
                plug.shaping = shaping

    def _shaping(self, options: dict[str, Node], between: str) -> dict[str, str]:
        """What Mininet's TCLink does, in the words of a topology file. Mininet counts Mbit/s and percent;
        a delay without a unit is in microseconds, as tc(8) has it."""
        shaping: dict[str, str] = {}
        forms = {"bw": ("bandwidth", "mbit"), "delay": ("delay", "us"), "loss": ("loss", "%")}
        parsers = {"bandwidth": units.bandwidth, "delay": units.delay, "loss": units.loss}
        for key, (wanted, unit) in forms.items():
            given = text(options.get(key)).strip()
            if given.lower() in _NOTHING:
                continue
            value = f"{_short(given)}{unit}" if _NUMBER.fullmatch(given) else given
            if key == "delay" and _NUMBER.fullmatch(given.removesuffix("us")):
                value = f"{round(float(given.removesuffix('us')))}us"
            said = Said(value, options[key].line)
            if self.wiring.parsed(parsers[wanted], said, f"{key} between {between}") is not None:
                shaping[wanted] = value
        for key in ("jitter", "max_queue_size", "speedup"):
            if text(options.get(key)).strip().lower() not in _NOTHING:
                self.report.note(f"{key} between {between}: left out", options[key].line)
        return shaping

    def _belongings(self, node: Node) -> None:
        name, options = self._options(node, "h")
        station = self.wiring.stations.get(name)
        if station is None or station.first is None:
            return
        application = entries(self.root.get("application"), "application", self.report)
        self._address(station, options, text(application.get("ipBase")) or _BASE)
        own = Belongings(station, self.report, self.beside)
        commands = Commands(station, self.report, self.wiring.devices(station))
        cpu = text(options.get("cpu")).strip()
        if cpu.lower() not in _NOTHING:
            own.cpus(Said(cpu, options["cpu"].line))
        route = text(options.get("defaultRoute")).strip()
        if route.lower() not in _NOTHING:
            gateway = route.split()[-1] if route.split()[0] == "via" else route
            if re.fullmatch(r"[0-9.]+", gateway):
                line = f"ip route add default via {gateway}"
                commands.script(line, options["defaultRoute"].line)
            else:
                own.note(f"default route {shown(route)} is no address", options["defaultRoute"].line)
        start = text(options.get("startCommand")).strip()
        if start:
            commands.script(start, options["startCommand"].line)
        for run, line_number in commands.run:
            own.command(run, line_number)
        self._directories(station, options.get("privateDirectory"))
        own.settle()

    def _directories(self, station: Station, node: Node | None) -> None:
        """The private directories that a host can have."""
        usable: dict[str, Node] = {}
        for entry in items(node, "privateDirectory", self.report):
            path = posixpath.normpath(self._directory(entry) or ".")
            if path.startswith(("/dev", "/proc", "/sys", "/run/sdnlab")) or path in (".", "/", "//"):
                self.report.note(f"{station.name}: {shown(path)} can't be its own: left out", entry.line)
            elif path.startswith("/"):
                usable[path] = Node(entry.line, path)
            if isinstance(entry.value, list) and len(entry.value) > 1:
                what = f"{station.name}: the content of {shown(path)} doesn't stay"
                self.report.note(f"{what}: left out", entry.line)
        if usable and node is not None:
            station.entries["private"] = Node(node.line, list(usable.values()))

    @staticmethod
    def _directory(entry: Node) -> str:
        """A private directory: a path, or a list of it and the place of its content."""
        if isinstance(entry.value, list):
            return text(entry.value[0]) if entry.value else ""
        return text(entry)

    def _address(self, station: Station, options: dict[str, Node], base: str) -> None:
        """The address of the first interface: that of the file, else the one that Mininet counts. An address
        without a length has that of the base."""
        first = station.first
        if first is None:
            return
        length = base.partition("/")[2] or "8"
        given = text(options.get("ip")).strip()
        if given.lower() not in ("", "none", "null"):
            plain = given if "/" in given else f"{given}/{length}"
            first.addresses.append(Said(plain, options["ip"].line))
            return
        number = text(options.get("nodeNum")) or text(options.get("number"))
        try:
            network = IPv4Network(base, strict=False)
            if number.isdecimal() and len(number) < 6 and 0 < int(number) < network.num_addresses - 1:
                first.addresses.append(Said(f"{network[int(number)]}/{length}", station.line))
        except ValueError:
            self.report.note(f"{shown(base)} is no network: addresses are chosen", station.line)

    def _application(self, application: dict[str, Node]) -> None:
        for key in ("netflow", "sflow"):
            inner = application.get(key)
            for name, node in entries(inner, key, self.report).items() if inner is not None else ():
                if name.endswith("Target") and text(node):
                    self.report.note(f"{key}: switches export nothing: left out", node.line)


def _short(given: str) -> str:
    """A number without needless digits."""
    try:
        return f"{Decimal(given).normalize():f}"
    except InvalidOperation:
        return given
