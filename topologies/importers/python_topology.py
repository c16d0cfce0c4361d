"""A topology of Mininet in Python (a class ``Topo``), as its process describes it in JSON -> the tree of a
topology file. Pure.

``lab.mininet.evaluating`` runs the code, in a sandbox; nothing is run here. The JSON has the calls
``addHost``, ``addSwitch`` and ``addLink`` with options and lines. What a lab has not becomes a note with its
line.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from topologies.importers.belongings import Belongings
from topologies.importers.beside import Nothing
from topologies.importers.commands import Commands
from topologies.importers.wiring import Plug, Said, Station, Wiring
from topologies.syntax import units
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Report, shown

SIGNATURE = b'{"mininet-topology"'
_PLAIN_HOSTS = ("Host", "Node", "CPULimitedHost")
_PLAIN_SWITCHES = (
    "OVSSwitch",
    "OVSKernelSwitch",
    "OVSBridge",
    "UserSwitch",
    "Switch",
    "LinuxBridge",
    "IVSSwitch",
)
_PLAIN_LINKS = ("Link", "TCLink", "TCULink", "OVSLink", "Intf", "TCIntf")
_SHAPING = {"bw": ("bandwidth", "mbit"), "delay": ("delay", "us"), "loss": ("loss", "%")}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?")
_LEFT = {
    "jitter": "write jitter: in a topology file, or sdnlab link set",
    "max_queue_size": "a wire's queue has 50 ms; write queue: in a topology file, or sdnlab link set",
    "speedup": "it has no effect",
    "protocols": "the lab's controller speaks OpenFlow 1.5 with each switch",
    "failMode": "a switch keeps its flows without its controller",
    "stp": "the lab's controller needs no spanning tree",
    "cores": "no processor is chosen",
    "sched": "the kernel's own scheduler is used",
    "inNamespace": "each host has a namespace, and switches share that of their domain",
    "listenPort": "use sdnlab flows, or sdnlab exec SWITCH -- ovs-ofctl",
    "intfName1": "a host's interface is NAME-eth0",
    "intfName2": "a host's interface is NAME-eth0",
    "xterm": "there are no windows",
}
_SILENT = frozenset(
    (
        "isSwitch",
        "isHost",
        "node1",
        "node2",
        "port1",
        "port2",
        "use_htb",
        "use_tbf",
        "use_hfsc",
        "latency_ms",
        "datapath",
        "cls",
        "addr1",
        "addr2",
        "params1",
        "params2",
        "batch",
        "reconnectms",
        "lo",
        "fast",
        "period_us",
    )
)
"""Options that need no word: they have their effect here, or none that shows."""


def read(raw: bytes, report: Report) -> Node:
    """The tree of a YAML file that describes the same network. Problems go to ``report``."""
    try:
        described = json.loads(raw)["mininet-topology"]
        if not described["hosts"] and not described["switches"]:
            remedy = "a Topo adds them in build(), by addHost and addSwitch"
            report.add((), "the topology has no hosts and no switches", "", remedy, line=1)
            raise Fatal
        return _Reader(described, report).tree()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        report.add((), "this is no description of a topology in Python", "", "sdnlab up topo.py:NAME", line=1)
        raise Fatal from None


class _Reader:
    def __init__(self, described: Mapping[str, Any], report: Report) -> None:
        self.report, self.described = report, described
        self.wiring = Wiring(report)

    def tree(self) -> Node:
        self.wiring.call(str(self.described["name"]))
        hosts, switches = self.described["hosts"], self.described["switches"]
        dpids = [self._dpid(switch) for switch in switches]
        for switch, dpid in zip(switches, dpids, strict=True):
            self._switch(switch, dpid if dpids.count(dpid) == 1 else "")
        for host in hosts:
            self.wiring.station(str(host["name"]), int(host["line"]))
        for link in self.described["links"]:
            self._link(link, [str(end) for end in link["ends"]], dict(link["opts"]), int(link["line"]))
        for number, host in enumerate(hosts, 1):
            self._host(host, number)
        return self.wiring.tree()

    def _dpid(self, switch: Mapping[str, Any]) -> str:
        """A datapath id as Mininet has it: hexadecimal digits, or the first number in the name."""
        given = switch["opts"].get("dpid")
        numbers = re.findall(r"[0-9]+", str(switch["name"]))
        if given is None:
            return hex(int(numbers[0])) if numbers and 0 < int(numbers[0]) < 1 << 63 else ""
        digits = str(given).lower().removeprefix("0x").replace(":", "")
        if not re.fullmatch(r"[0-9a-f]{1,16}", digits) or not int(digits, 16):
            self.report.note(
                f"{switch['name']}: {shown(str(given))} is no datapath id: left out", switch["line"]
            )
            return ""
        return hex(int(digits, 16))

    def _switch(self, switch: Mapping[str, Any], dpid: str) -> None:
        name, line = str(switch["name"]), int(switch["line"])
        self.wiring.switch(name, name, line, dpid=dpid)
        self._tell(name, switch["opts"], line, ("dpid",))
        self._class_of(name, switch["opts"], _PLAIN_SWITCHES, line)

    def _class_of(self, what: str, options: Mapping[str, Any], plain: tuple[str, ...], line: int) -> None:
        cls = options.get("cls")
        if isinstance(cls, dict) and cls.get("class") not in plain:
            self.report.note(
                f"cls={cls.get('class')} of {what}: its Python code runs in 'sdnlab mininet' only: left out",
                line,
            )

    def _tell(self, what: str, options: Mapping[str, Any], line: int, known: tuple[str, ...]) -> None:
        for key, value in options.items():
            if key in known or key in _SILENT or value in (None, False, "", [], {}):
                continue
            why = _LEFT.get(key, "sdnlab doesn't know it")
            self.report.note(f"{key} of {what}: {why}: left out", line)

    def _link(self, link: Any, ends: list[str], options: dict[str, Any], line: int) -> None:
        between = " and ".join(ends)
        for key in ("params1", "params2"):  # what both ends have is the link's
            for name in _SHAPING:
                if isinstance(options.get(key), dict) and name in options[key]:
                    options.setdefault(name, options[key][name])
        shaping = self._shaping(options, between, line)
        self._tell(f"the link between {between}", options, line, tuple(_SHAPING))
        self._class_of(f"the link between {between}", options, _PLAIN_LINKS, line)
        ports = [self._port(options.get(key)) for key in ("port1", "port2")]
        switches = [end for end in ends if self.wiring.has_switch(end)]
        if len(switches) == 2:
            self.wiring.link(ends[0], ends[1], line, shaping, (ports[0], ports[1]))
            return
        key = switches[0] if switches else f"link {line} {between} {len(self.wiring.stations)} {link['key']}"
        if not switches:
            self.wiring.switch(key, "-".join(ends), line, given=False)
        for index, end in enumerate(ends):
            if end in switches:
                continue
            station = self.wiring.stations[end]
            plug = self.wiring.plug(station, self._interface(station, ports[index]), key, line)
            plug.port = ports[1 - index] if switches else ""
            plug.shaping = shaping if switches or index == 0 else {}
            self._end(plug, options, index + 1, line)

    @staticmethod
    def _interface(station: Station, port: str) -> str:
        """The name that Mininet gives an interface: the number of its port, or the next one."""
        number = int(port or 0)
        while station.plug(f"{station.name}-eth{number}") is not None:
            number += 1
        return f"{station.name}-eth{number}"

    def _end(self, plug: Plug, options: Mapping[str, Any], number: int, line: int) -> None:
        """What a link says of one of its ends."""
        mac, more = options.get(f"addr{number}"), options.get(f"params{number}")
        if mac:
            plug.mac = Said(str(mac), line)
        if isinstance(more, dict) and more.get("ip"):
            plug.addresses.append(Said(str(more["ip"]), line))

    @staticmethod
    def _port(given: Any) -> str:
        return str(given) if isinstance(given, int) and given > 0 else ""

    def _shaping(self, options: Mapping[str, Any], between: str, line: int) -> dict[str, str]:
        """The shaping in the words of a topology file. Mininet counts Mbit/s, percent, and tc(8)'s
        microseconds."""
        parsers = {"bandwidth": units.bandwidth, "delay": units.delay, "loss": units.loss}
        shaping: dict[str, str] = {}
        for key, (wanted, unit) in _SHAPING.items():
            given = str(options.get(key) or "").strip()
            if given in ("", "0", "0.0", "0ms", "0us", "0s"):
                continue
            value = (
                f"{float(given):.6f}".rstrip("0").rstrip(".") + unit if _NUMBER.fullmatch(given) else given
            )
            if self.wiring.parsed(parsers[wanted], Said(value, line), f"{key} between {between}") is not None:
                shaping[wanted] = value
        return shaping

    def _host(self, host: Mapping[str, Any], number: int) -> None:
        name, line, options = str(host["name"]), int(host["line"]), dict(host["opts"])
        station = self.wiring.stations[name]
        own = Belongings(station, self.report, Nothing())
        known = ("ip", "mac", "defaultRoute", "cpu", "privateDirs")
        self._tell(name, options, line, known)
        self._class_of(name, options, _PLAIN_HOSTS, line)
        first = station.first
        if first is None:
            return
        given = options.get("ip")
        if not first.addresses:
            address = str(given) if given else f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/8"
            first.addresses.append(Said(address if "/" in address else f"{address}/8", line))
        if options.get("mac") and first.mac is None:
            first.mac = Said(str(options["mac"]), line)
        if options.get("cpu") and isinstance(options["cpu"], (int, float)) and options["cpu"] > 0:
            share = options["cpu"] * int(self.described.get("processors") or 1)
            own.cpus(Said(f"{share:.2f}", line))
        self._route(station, own, options.get("defaultRoute"), line)
        self._directories(station, options.get("privateDirs"), line)
        own.settle()

    def _route(self, station: Station, own: Belongings, given: Any, line: int) -> None:
        if not given:
            return
        words = str(given).split()
        gateway = words[words.index("via") + 1] if "via" in words[:-1] else words[-1]
        if not re.fullmatch(r"[0-9.]+", gateway):
            own.note(f"default route {shown(str(given))} is no address", line)
            return
        commands = Commands(station, self.report, self.wiring.devices(station))
        commands.script(f"ip route add default via {gateway}", line)
        for run, number in commands.run:
            own.command(run, number)

    def _directories(self, station: Station, given: Any, line: int) -> None:
        paths = []
        for entry in given if isinstance(given, list) else []:
            path = posixpath.normpath(str(entry[0] if isinstance(entry, list) and entry else entry))
            if path.startswith(("/dev", "/proc", "/sys", "/run/sdnlab")) or path in (".", "/", "//"):
                self.report.note(f"{station.name}: {shown(path)} can't be its own: left out", line)
            elif path.startswith("/"):
                paths.append(path)
        if paths:
            station.entries["private"] = Node(line, [Node(line, path) for path in dict.fromkeys(paths)])
