"""What another tool gives to a host beside its wires: variables, commands, files, limits. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from topologies.importers.beside import Beside, inside, sibling
from topologies.importers.interface_files import READERS
from topologies.importers.wiring import Said, Station
from topologies.syntax import host_units, units
from topologies.syntax.document import Node
from topologies.syntax.problem import Report, shown

MOST_FILES = 100
MOST_BYTES = 256 * 1024
"""Of all files of one host."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[a-z0-9_]+(?:[./][A-Za-z0-9_*-]+)+")
_DIRECTORIES = frozenset(
    ("bin", "etc", "home", "lib", "media", "mnt", "opt", "root", "run", "sbin", "srv", "tmp", "usr", "var")
)
"""The directories of / that every machine has (Filesystem Hierarchy Standard 3.0, 3)."""
_NOT_OWN = tuple(map(PurePosixPath, ("/dev", "/proc", "/sys", "/run/sdnlab")))
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([bkmg]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Belongings:
    """Collects what a station has, and writes it into its entries."""

    def __init__(self, station: Station, report: Report, beside: Beside) -> None:
        self.station, self.report, self.beside = station, report, beside
        self.variables: dict[str, Node] = {}
        self.files: dict[str, Node] = {}
        self.commands: list[Node] = []
        self._called: set[str] = set()
        self._bytes = 0

    def note(self, what: str, line: int, file: str = "") -> None:
        """Something of this station is left out."""
        self.report.note(f"{self.station.name}: {what}: left out", line, file)

    def variable(self, name: str, value: str, line: int) -> None:
        """A variable of the environment."""
        if _VARIABLE.fullmatch(name) and "\0" not in value:
            self.variables[name] = Node(line, value)
        else:
            self.note(f"{shown(name)} is no name of a variable", line)

    def sysctl(self, key: str, value: str, line: int) -> None:
        """A parameter of the kernel: those of its network namespace are its own."""
        plain = key.strip().replace("/", ".")
        if not _KEY.fullmatch(plain) or "'" in value or "\n" in value:
            self.note(f"sysctl {shown(key)} is not understood", line)
        elif not plain.startswith("net."):
            self.note(f"sysctl {plain}: a host has only net.* of its own", line)
        else:
            path = "/proc/sys/" + plain.replace(".", "/")
            self.command(["/bin/sh", "-c", f"echo '{value.strip()}' > {path}"], line, "sysctl")

    def command(self, words: Iterable[str], line: int, name: str = "") -> None:
        """A command that starts with the lab. ``name``: see ``topologies.model.hosts.Command``; a second
        command with it has none."""
        keys = {"command": Node(line, [Node(line, word) for word in words])}
        if name and name not in self._called:
            keys["name"] = Node(line, name)
            self._called.add(name)
        self.commands.append(Node(line, keys))

    def memory(self, said: Said) -> None:
        """An amount of memory as container tools write it: ``512m``, ``1Gb``."""
        match = _SIZE.fullmatch(said.text.strip()) if len(said.text) < 20 else None
        octets = int(float(match.group(1)) * _UNITS[match.group(2).lower()]) if match else 0
        text = f"{octets >> 10}KiB"
        try:
            host_units.memory(text)
        except units.BadValue:
            self.note(f"memory {shown(said.text)} is not understood or out of range", said.line)
            return
        self.station.entries["memory"] = Node(said.line, text)

    def cpus(self, said: Said) -> None:
        """A number of processors, which may be a fraction."""
        try:
            host_units.cpus(said.text)
        except units.BadValue as error:
            self.note(error.what, said.line)
            return
        self.station.entries["cpus"] = Node(said.line, said.text)

    def file(self, source: str, target: str, line: int) -> None:
        """A copy of the file ``source`` beside the topology file, at the path ``target``."""
        name = inside(source)
        what = f"file {shown(source)}"
        if name is None:
            self.note(f"{what} is outside of the folder of this file", line)
            return
        content = self.beside.read(name)
        if content.problem:
            self.note(f"{what} {content.problem}", line)
            return
        self._content(name, content.raw, target, line)

    def folder(self, source: str, target: str, line: int) -> None:
        """Copies of all files of a folder beside the topology file."""
        name = inside(source)
        if name is None:
            self.note(f"folder {shown(source)} is outside of the folder of this file", line)
            return
        for entry in self.beside.files(name):
            self.file(posixpath.join(name, entry), posixpath.join(target, entry), line)

    def _content(self, name: str, raw: bytes, target: str, line: int) -> None:
        """A file with this content at an absolute path."""
        what = f"file {shown(name)}"
        path = PurePosixPath(posixpath.normpath(target))
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            self.note(f"{what} is no text", line)
            return
        if "\0" in text:
            self.note(f"{what} is no text", line)
        elif not path.is_absolute() or path == PurePosixPath("/") or not str(path).isprintable():
            self.note(f"{what}: {shown(target)} is no absolute path", line)
        elif any(path.is_relative_to(other) for other in _NOT_OWN):
            self.note(f"{what}: {path} can't be a host's own", line)
        elif len(path.parts) < 3 or path.parts[1] not in _DIRECTORIES:
            self.note(f"{what}: a host has files of its own in directories like /etc and /var only", line)
        elif len(self.files) >= MOST_FILES or self._bytes + len(raw) > MOST_BYTES:
            most = f"{MOST_FILES} files and {MOST_BYTES >> 10} KiB"
            self.note(f"{what}: a host has up to {most} of its own", line)
        else:
            self._bytes += len(raw)
            if str(path) in READERS:
                self._addresses(name, str(path), text)
            mode = {"mode": Node(line, "0755")} if raw.startswith(b"#!") else {}
            self.files[str(path).replace("//", "/")] = Node(line, {"content": Node(line, text), **mode})

    def _addresses(self, name: str, path: str, text: str) -> None:
        """The addresses that FRR or ifupdown would give; they don't run."""
        file = sibling(self.report.file, name)
        for given in READERS[path](text.splitlines()):
            if not given.gateway and given.interface != "lo":
                self.station.has(given.interface, Said(given.text, given.line, file))
            elif given.gateway and self.station.plug(given.interface) is not None:
                self.command(["ip", "route", "add", "default", "via", given.text], given.line)

    def settle(self) -> None:
        """Write what is collected into the station's entries."""
        holders: Mapping[str, dict[str, Node]] = {"environment": self.variables, "files": self.files}
        for key, entries in holders.items():
            if entries:
                line = next(iter(entries.values())).line
                self.station.entries[key] = Node(line, dict(entries))
        if self.commands:
            self.station.entries["run"] = Node(self.commands[0].line, list(self.commands))
