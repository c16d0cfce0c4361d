"""Commands of another tool's hosts -> what they set, and what is left to run. Pure.

Commands like ``ip address add``, ``ifconfig`` and ``ip link set`` give an interface its address: that is part
of a topology. What names an interface that the host doesn't have, or a service manager, can't run. All else
runs in the host, with the name of its interface in place of the one that the other tool gives.

No shell is imitated. A line with quotes or the words of a compound command is taken as it is; only names of
interfaces change in it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from topologies.importers import interface_files
from topologies.importers.wiring import Said, Station
from topologies.syntax.problem import Report, shown

MOST_COMMANDS = 500
_WORDS = r"\b(if|then|else|elif|fi|for|while|until|do|done|case|esac)\b"
_COMPOUND = re.compile(r"[|<>$`(){}*?\[\]!#'\"\\&]|" + _WORDS)
_QUOTED = re.compile(r"['\"`(){}\\#]|<<|" + _WORDS)
_ABOUT_INTERFACES = ("ip", "ifconfig", "route", "tc", "ethtool", "dhclient", "udhcpc", "tcpdump", "brctl")
_NESTING = re.compile(r"[(){}]|<<|" + _WORDS)
_CONTROL = re.compile(r"[|<>$`(){}!&]|" + _WORDS)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_DEVICE = r"[A-Za-z][A-Za-z0-9_.-]{0,14}"
_BRIDGING = (
    re.compile(rf"ip +link +set +(?:dev +)?(?P<ports>{_DEVICE})(?: +up)? +master +(?P<bridge>{_DEVICE})"),
    re.compile(rf"brctl +addif +(?P<bridge>{_DEVICE}) +(?P<ports>{_DEVICE}(?: +{_DEVICE})*)"),
    re.compile(rf"ovs-vsctl +add-port +(?P<bridge>{_DEVICE}) +(?P<ports>{_DEVICE})"),
)
_SHELLS = ("sh", "bash", "ash", "/bin/sh", "/bin/bash", "/bin/ash")
_SHELL = ("/bin/sh", "-c")
_NO_MANAGER = "a host has no service manager"


@dataclass
class Commands:
    """The commands of one station. ``devices``: interface -> its device in the host. ``management``:
    interfaces that its tool adds, and a lab has not."""

    station: Station
    report: Report
    devices: Mapping[str, str]
    management: tuple[str, ...] = ()
    file: str = ""
    run: list[tuple[list[str], int]] = field(default_factory=list)

    def line(self, words: Sequence[str], line: int) -> None:
        """One command without a shell, as its words."""
        if len(words) == 3 and words[0] in _SHELLS and words[1] in ("-c", "-ec", "-lc"):
            self.script(words[2], line, (words[0], words[1]))
        elif words and not self._understood(words, line):
            self._keep(self._renamed_words(words), line)

    def script(self, text: str, line: int, shell: tuple[str, str] = _SHELL, many: bool = False) -> None:
        """A script of a shell. ``many``: its lines stand in the file from ``line`` on."""
        kept: list[str] = []
        end = ""
        for number, raw in enumerate(_joined(text)):
            here = line + (raw[1] if many else 0)
            content = raw[0]
            if end:
                kept.append(content)
                end = "" if content.strip() == end else end
                continue
            kept += self._script_line(content, here)
            heredoc = _HEREDOC.search(content)
            end = heredoc.group(2) if heredoc else ""
            if number > MOST_COMMANDS:
                self.report.note(f"{self.station.name}: a script is too long: left out", here, self.file)
                return
        if not any(
            _NESTING.search(part) for part in kept
        ):  # outside of compound commands, nothing has to stand for what is gone
            kept = [part for part in kept if part.strip() != ":"]
        if any(part.strip(" \t:") for part in kept):
            self._keep([*shell, "\n".join(kept).strip("\n")], line)

    def _keep(self, words: list[str], line: int) -> None:
        if len(self.run) < MOST_COMMANDS:
            self.run.append((words, line))

    def _script_line(self, text: str, line: int) -> list[str]:
        """What is left of a line of a script: none, one line, or ``:`` where a command was."""
        plain = text.strip()
        if not plain or plain.startswith("#"):
            return []
        if _QUOTED.search(plain):
            return [self._compound(text, line)]
        kept = []
        for part in re.split(r"\s*(?:;|&&)\s*", plain.rstrip("; ")):
            opaque = _COMPOUND.search(part) is not None
            if part and not (self._lacking(part, line) if opaque else self._understood(part.split(), line)):
                kept.append(part)
        indent = text[: len(text) - len(text.lstrip())]
        joint = " && " if "&&" in plain and ";" not in plain else "; "
        return [indent + self._renamed(joint.join(kept))] if kept else [f"{indent}:"]

    def _lacking(self, command: str, line: int) -> bool:
        """Whether a command that only a shell understands is about an interface that the host doesn't
        have."""
        words = command.split()
        other = self._other_interface(words) if words[0].rpartition("/")[2] in _ABOUT_INTERFACES else ""
        if other:
            self._lost(command, other, line)
        return bool(other)

    def _compound(self, text: str, line: int) -> str:
        """A line that only a shell understands, if the host has the interfaces that it names."""
        try:
            words = shlex.split(text, comments=True)
        except ValueError:
            words = text.split()
        simple = not _CONTROL.search(text)
        if simple and words and self._understood(words, line):
            return ":"
        if simple and (other := self._other_interface(words)):
            self._lost(text, other, line)
            return ":"
        return self._renamed(text)

    def _understood(self, words: Sequence[str], line: int) -> bool:
        """Whether the command is part of the topology now, or can't run: then a note tells."""
        words = list(words[1:] if words[0] in ("sudo", "exec") and len(words) > 1 else words)
        program = words[0].rpartition("/")[2]
        if program == "ip" and self._ip([word for word in words[1:]], line):
            return True
        if program == "ifconfig" and len(words) > 2 and self._ifconfig(words[1], words[2:], line):
            return True
        if program == "vtysh" and "-c" in words:
            lines = [words[index + 1] for index, word in enumerate(words[:-1]) if word == "-c"]
            for given in interface_files.of_frr(lines):
                self._address(given.interface, given.text, line)
            self._note("vtysh: its addresses are taken, FRR doesn't run", line)
            return True
        if program in ("systemctl", "service", "rc-service") or words[0].startswith("/etc/init.d/"):
            self._note(f"{_shortened(words)}: {_NO_MANAGER}", line)
            return True
        other = self._other_interface(words)
        if other:
            self._lost(" ".join(words), other, line)
        return bool(other)

    def _ip(self, words: list[str], line: int) -> bool:
        while words and words[0].startswith("-"):
            words = words[2:] if words[0] in ("-f", "-family", "-n", "-netns") else words[1:]
        if len(words) < 3:
            return False
        what, verb = words[0], words[1]
        interface = _after(words, "dev")
        if "address".startswith(what) and what and verb in ("add", "a", "ad", "replace", "change"):
            interface = interface or next((word for word in words[3:] if self._is_interface(word)), "")
            return self._address(interface, _after(words, "local") or words[2], line)
        if "link".startswith(what) and verb in ("set", "s"):
            interface = interface or words[2]
            rest = [word for word in words[2:] if word not in (interface, "dev")]
            if not self._is_interface(interface):
                return False
            if rest == ["up"]:
                return True
            if "address" in rest and (mac := _after(rest, "address")) and len(rest) <= 3:
                return self._hardware(interface, mac, line)
        return False

    def _ifconfig(self, interface: str, words: list[str], line: int) -> bool:
        if not self._is_interface(interface):
            return False
        address, length, rest = "", "", list(words)
        if rest[0] == "inet6" and len(rest) > 1:
            rest = rest[2:] if rest[1] == "add" else rest[1:]
            address, rest = (rest[0], rest[1:]) if rest else ("", [])
        elif rest[0] == "inet":
            rest = rest[1:]
        if rest and not address and re.fullmatch(r"[0-9.]+(/[0-9]+)?", rest[0]):
            address, rest = rest[0], rest[1:]
        while rest:
            if rest[0] in ("netmask", "broadcast") and len(rest) > 1:
                length = rest[1] if rest[0] == "netmask" else length
                rest = rest[2:]
            elif rest[:2] == ["hw", "ether"] and len(rest) > 2:
                self._hardware(interface, rest[2], line)
                rest = rest[3:]
            elif rest[0] == "up":
                rest = rest[1:]
            else:
                return False
        if address:
            self._address(interface, address if "/" in address else _prefixed(address, length), line)
        return True

    def _address(self, interface: str, address: str, line: int) -> bool:
        if interface in self.management:
            self._note(f"{address} of {interface}: a lab has no management network", line)
            return True
        if interface == "lo" or not re.fullmatch(r"[0-9A-Fa-f:.]+(/[0-9]+)?", address):
            return False
        if not self._is_interface(interface):
            return False
        self.station.has(interface, Said(address, line, self.file))
        return True

    def _hardware(self, interface: str, mac: str, line: int) -> bool:
        plug = self.station.plug(interface)
        if plug is None:
            return False
        plug.mac = Said(mac, line, self.file)
        return True

    def _is_interface(self, word: str) -> bool:
        """Whether a wire has it, or it is called as such interfaces are."""
        return self.station.plug(word) is not None or bool(re.fullmatch(r"eth[0-9]{1,3}", word))

    def _other_interface(self, words: Iterable[str]) -> str:
        """An interface in a command that the host doesn't have; empty when there is none."""
        for word in words:
            name = word.partition(".")[0].partition(":")[0]
            if self._is_interface(name) and name not in self.devices:
                return name
        return ""

    def _lost(self, command: str, interface: str, line: int) -> None:
        why = (
            "a lab has no management network"
            if interface in self.management
            else (f"it has no {interface} here")
        )
        self._note(f"{_shortened(command.split())}: {why}", line)

    def _note(self, what: str, line: int) -> None:
        self.report.note(f"{self.station.name}: {what}: left out", line, self.file)

    def _renamed(self, text: str) -> str:
        changed = {name: device for name, device in self.devices.items() if name != device}
        if not changed:
            return text
        some = "|".join(re.escape(name) for name in sorted(changed, key=len, reverse=True))
        return re.sub(rf"(?<![\w.-])({some})(?![\w-])", lambda match: changed[match.group(1)], text)

    def _renamed_words(self, words: Iterable[str]) -> list[str]:
        return [self._renamed(word) for word in words]


def bridge_ports(script: str) -> dict[str, set[str]]:
    """Bridge -> its ports, of those bridges that the commands of a script make."""
    ports: dict[str, set[str]] = {}
    for pattern in _BRIDGING:
        for match in pattern.finditer(script):
            ports.setdefault(match["bridge"], set()).update(match["ports"].split())
    return ports


def split(text: str) -> list[str] | None:
    """The words of a command, as a shell would split them; None when quotes don't match."""
    try:
        return shlex.split(text)
    except ValueError:
        return None


def _joined(text: str) -> list[tuple[str, int]]:
    """The lines of a script, those that a backslash continues as one; each with its number from 0."""
    lines: list[tuple[str, int]] = []
    begun, start = "", 0
    for number, line in enumerate(text.splitlines()):
        start = start if begun else number
        if line.endswith("\\") and not line.endswith("\\\\"):
            begun += line[:-1]
            continue
        lines.append((begun + line, start))
        begun = ""
    return [*lines, (begun, start)] if begun else lines


def _after(words: Sequence[str], word: str) -> str:
    """The word after ``word``; empty when there is none."""
    index = words.index(word) + 1 if word in words else len(words)
    return words[index] if index < len(words) else ""


def _prefixed(address: str, netmask: str) -> str:
    """An address of ifconfig with its prefix length: that of the mask, else that of its class."""
    if netmask:
        try:
            return f"{address}/{IPv4Network(f'0.0.0.0/{netmask}').prefixlen}"
        except ValueError:
            return address
    first = address.partition(".")[0]
    if not first.isdigit() or len(first) > 3:
        return address
    return f"{address}/{8 if int(first) < 128 else 16 if int(first) < 192 else 24}"


def _shortened(words: Sequence[str]) -> str:
    text = " ".join(words)
    return shown(text)[1:-1] if len(text) < 70 else f"{text[:66]} …"
