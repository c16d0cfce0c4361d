"""Kathará's network scenarios (``lab.conf`` and the startup files beside it) -> the tree of a topology file.
Pure.

The format: https://www.kathara.org/man-pages/kathara-lab.conf.5.html. A device becomes a host, a collision
domain a switch. ``shared.startup`` and then ``NAME.startup`` run in each host; the files of the folder
``NAME`` are its own.
"""

from __future__ import annotations

import re

from topologies.importers.belongings import Belongings
from topologies.importers.beside import Beside, sibling
from topologies.importers.commands import Commands, bridge_ports
from topologies.importers.wiring import Said, Station, Wiring
from topologies.syntax.document import Fatal, Node, decode
from topologies.syntax.problem import Report, printable, shown

_ENTRY = re.compile(r"([A-Za-z0-9_.-]+)\[([A-Za-z0-9_]+)\]\s*=\s*(.*)")
_ABOUT = re.compile(r"([A-Za-z_]+)\s*=\s*(.*)")
_VALUE = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([^\s#]*))\s*(?:\#.*)?""")
_MANUAL = "https://www.kathara.org/man-pages/kathara-lab.conf.5.html"
_LEFT = {
    "image": "a host has this machine's files and programs",
    "bridged": "no host reaches other networks by the lab",
    "port": "no port of this machine leads to a host",
    "shell": "sdnlab exec and sdnlab shell start any shell",
    "num_terms": "sdnlab exec and sdnlab shell start any shell",
    "privileged": "root in a host is never root of this machine",
    "volume": "a host has no directory of this machine",
    "entrypoint": "a host has this machine's files and programs",
    "args": "a host has this machine's files and programs",
    "ulimit": "a host has nothing like it",
    "ipv6": "every host speaks IPv6",
    "type": "a host has nothing like it",
}


def read(raw: bytes, report: Report, beside: Beside) -> Node:
    """The tree of a YAML file that describes the same network. Problems go to ``report``."""
    return _Reader(report, beside).tree(decode(raw, report))


class _Reader:
    def __init__(self, report: Report, beside: Beside) -> None:
        self.report, self.beside = report, beside
        self.wiring = Wiring(forwards=True, report=report)
        self.devices: frozenset[str] = frozenset()
        self.options: dict[str, list[tuple[str, Said]]] = {}

    def tree(self, content: str) -> Node:
        for number, line in enumerate(content.split("\n"), 1):
            self._line(line.strip(), number)
        if not self.wiring.stations and not self.report.problems:
            what, allowed = "it names no device", 'lines like pc1[0]="A"'
            self.report.add((), what, allowed, f"see {_MANUAL}", 1)
        if self.report.problems:
            raise Fatal
        self.devices = frozenset(self.wiring.stations)
        for station in [*self.wiring.stations.values()]:
            startup = self.beside.read(f"{station.name}.startup").raw.decode("utf-8", "replace")
            if not self.wiring.bridged(station, bridge_ports(startup)):
                self._belongings(station)
        self._others()
        self.wiring.call(self.beside.name)
        return self.wiring.tree()

    def _line(self, line: str, number: int) -> None:
        if not line or line.startswith("#"):
            return
        entry, about = _ENTRY.fullmatch(line), _ABOUT.fullmatch(line)
        value = _VALUE.fullmatch(entry[3]) if entry is not None else None
        if entry is not None and value is not None:
            said = Said(next((group for group in value.groups() if group is not None), ""), number)
            self._entry(entry[1], entry[2], said)
        elif about is not None:
            self._about(about[1], about[2].strip("\"'"), number)
        else:
            allowed = 'DEVICE[NUMBER]="DOMAIN", DEVICE[OPTION]="VALUE", LAB_NAME="VALUE"'
            self.report.add((), f"{shown(line)} is no line of a lab.conf", allowed, "correct it", number)

    def _about(self, key: str, value: str, line: int) -> None:
        if key == "LAB_DESCRIPTION" or (key == "LAB_NAME" and not self.wiring.description):
            self.wiring.description = printable(value)
        elif not key.startswith("LAB_"):
            self.report.note(f"{key}: it is not known: left out", line)

    def _entry(self, device: str, key: str, said: Said) -> None:
        if device == "shared":
            self.report.add((), "no device can be called shared", "other names", "rename it", said.line)
            return
        station = self.wiring.station(device, said.line)
        if not key.isdigit():
            self.options.setdefault(device, []).append((key, said))
            return
        if len(key) > 4:
            self.report.note(f"{device}: there is no interface {shown(key)}: left out", said.line)
            return
        domain, slash, mac = said.text.partition("/")
        interface = f"eth{int(key)}"
        if not domain or "," in domain or station.plug(interface) is not None:
            why = "it is in no collision domain" if not domain else "it is given twice"
            why = "it leads out of the lab" if "," in domain else why
            self.report.note(f"{interface} of {device}: {why}: left out", said.line)
            return
        self.wiring.switch(f"domain:{domain}", domain, said.line)
        plug = self.wiring.plug(station, interface, f"domain:{domain}", said.line)
        if slash:
            plug.mac = Said(mac, said.line)

    def _belongings(self, station: Station) -> None:
        own = Belongings(station, self.report, self.beside)
        commands = Commands(station, self.report, self.wiring.devices(station))
        own.folder(station.name, "/", station.line)
        for key, said in self.options.get(station.name, []):
            self._option(own, commands, key, said)
        startups = {"shared-startup": "shared.startup", "startup": f"{station.name}.startup"}
        self._run(own, commands, "exec")
        for called, name in startups.items():
            content = self.beside.read(name)
            if not content.there:
                continue
            if content.problem:
                own.note(f"file {name} {content.problem}", station.line)
                continue
            commands.file = sibling(self.report.file, name)
            commands.script(content.raw.decode("utf-8", "replace").replace("\0", ""), 1, many=True)
            self._run(own, commands, called)
        own.settle()

    @staticmethod
    def _run(own: Belongings, commands: Commands, name: str) -> None:
        """Give the host the commands that are left to run."""
        for run, line in commands.run:
            own.command(run, line, name)
        commands.run.clear()

    def _option(self, own: Belongings, commands: Commands, key: str, said: Said) -> None:
        name = own.station.name
        if key in ("mem", "memory"):
            own.memory(said)
        elif key in ("cpus", "cpu"):
            own.cpus(said)
        elif key in ("sysctl", "env"):
            variable, equals, value = said.text.partition("=")
            if equals:
                (own.sysctl if key == "sysctl" else own.variable)(variable.strip(), value.strip(), said.line)
            else:
                own.note(f"{key} {shown(said.text)}: it has the form name=value", said.line)
        elif key == "exec":
            commands.script(said.text, said.line)
        elif key in ("bridged", "ipv6", "privileged") and said.text.lower() in ("false", "0", "no", "n"):
            pass
        else:
            self.report.note(f"{key} of {name}: {_LEFT.get(key, 'it is not known')}: left out", said.line)

    def _others(self) -> None:
        """Tell which files beside the lab's are not used."""
        for name in self.beside.files(""):
            folder, slash, _ = name.partition("/")
            stem, _, kind = name.partition(".")
            if slash and folder == "shared":
                why = "a host has no folder that all share: left out"
                self.report.note(why, 0, sibling(self.report.file, "shared"))
            elif not slash and kind == "shutdown":
                why = "nothing runs in a host when the lab ends: left out"
                self.report.note(why, 0, sibling(self.report.file, name))
            elif not slash and kind == "startup" and stem not in self.devices | {"shared"}:
                self.report.note("it belongs to no device: left out", 0, sibling(self.report.file, name))
            elif name == "lab.dep":
                self.report.note("all hosts start at once: left out", 0, sibling(self.report.file, name))
