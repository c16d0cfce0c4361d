"""Mininet's own shell, changed so that no command can end it, and the lab with it.

If a command raises an exception, the shell prints it and continues.  Most commands are Mininet's own
(``dump``, ``py``, ``source`` …).  Commands that would hang or print something wrong are implemented here.
"""

from __future__ import annotations

import cmd
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from typing import Any

from mininet.cli import CLI
from mininet.log import error, output
from mininet.util import quietRun

from dataplane.hosts.packages import how_to_install
from dataplane.mininet_view.iperf import CannotMeasure
from lab.terminal import one_line
from topologies.syntax.problem import nearest

_DEEPEST = 10
"""How deep files may ``source`` each other."""
_SHOWN = 80
"""How many characters of an unknown command are printed."""
_BANDWIDTH = re.compile(r"[0-9]{1,9}(\.[0-9]+)?[KMGkmg]?")
"""A bandwidth in iperf3's form. iperf3 takes any other text as "without limit"."""


class SafeCLI(CLI):  # type: ignore[misc]
    """Mininet's command line over a ``LabNet``."""

    identchars = cmd.IDENTCHARS + "-."  # names may have them: h-a ping h-b

    def __init__(self, net: Any) -> None:
        self.depth = 0
        for node in net.nameToNode.values():
            node.quiet_input = not sys.stdin.isatty()
        CLI.__init__(self, net)

    def getLocals(self) -> dict[str, Any]:
        """The names for 'py' and 'px'. Python's own exit() is left out: it would close the shell's input."""
        return {**CLI.getLocals(self), "exit": _leave, "quit": _leave}

    def onecmd(self, line: str) -> bool | None:
        """Run one line, and print any error."""
        try:
            return CLI.onecmd(self, line)  # type: ignore[no-any-return]
        except KeyboardInterrupt:
            raise
        except SystemExit:
            error("*** that doesn't leave the shell: 'exit' does\n")
        except CannotMeasure as why:
            error(f"*** {why}\n")
        except BaseException as why:
            error(f"*** {type(why).__name__}: {why}\n" if str(why) else f"*** {type(why).__name__}\n")
        return None

    def precmd(self, line: str) -> str:
        """Remove comments: a '#' that begins a word outside of quotes."""
        return without_comment(line)

    def default(self, line: str) -> None:
        """Run a command in a node. Names of hosts in it become their addresses, as in Mininet."""
        first, args, line = self.parseline(line)
        if not first or first not in self.mn:
            known = [*(name[3:] for name in self.get_names() if name.startswith("do_")), *self.mn.nameToNode]
            close = nearest(first or "", known)
            said = one_line(line if len(line) <= _SHOWN else line[:_SHOWN] + "…")
            error(f"*** Unknown command: {said}\n" + (f"*** Did you mean {close}?\n" if close else ""))
            return
        if not args:
            error(f"*** Please enter a command for node: {first} <cmd>\n")
            return
        node = self.mn[first]
        node.sendCmd(" ".join(self._address(word) for word in args.split(" ")))
        self.waitForNode(node)

    def _address(self, word: str) -> str:
        """The replacement for a node's name in a command: its IPv4 address, or the name itself."""
        interface = self.mn[word].defaultIntf() if word in self.mn else None
        return (interface.updateIP() if interface is not None else None) or word

    def waitForNode(self, node: Any) -> None:
        """Print the output of a node's command until it ends; on a terminal, pass keys on to it."""
        keys = [self.stdin.fileno()] if self.isatty() else []
        if keys:
            quietRun("stty -icanon min 1")
        while node.waiting:
            try:
                ready = node.wait_for(*keys)
                if keys and keys[0] in ready:
                    typed = os.read(keys[0], 1024)
                    keys = keys if typed else []
                    node.write(typed.decode(errors="replace"))
                if node.waiting and any(descriptor not in keys for descriptor in ready):
                    output(node.monitor())
            except KeyboardInterrupt:
                node.sendInt()
        if node.shell is None:
            error(f"*** {node.name}'s shell has ended; the next command starts a new one\n")

    def do_source(self, line: str) -> None:
        """Read commands from an input file.
        Usage: source <file>"""
        words = line.split()
        if len(words) != 1:
            error("usage: source <file>\n")
            return
        if self.depth >= _DEEPEST:
            error(f"*** {words[0]}: files that read files that read files …: {_DEEPEST} deep, at most\n")
            return
        self.depth += 1
        try:
            for command in _lines(words[0]):
                if self.onecmd(self.precmd(command)):
                    break  # 'exit' ends the file
        except OSError as why:
            error(f"*** can't read {words[0]}: {why.strerror or why}\n")
        finally:
            self.depth -= 1

    def do_links(self, _line: str) -> None:
        """Report on links: '(down)' is one that is cut, or at a switch that has failed."""
        states = self.mn.link_states()
        for link in self.mn.links:
            output(f"{link} {'(OK OK)' if states.get(link.name, True) else '(down)'}\n")

    def do_iperf(self, line: str) -> None:
        """The TCP rate between two hosts, measured by iperf3.
        Usage: iperf [host1 host2]"""
        words = line.split()
        if len(words) not in (0, 2):
            error("invalid number of args: iperf [host1 host2]\n")
        elif self._known(words):
            self.mn.iperf([self.mn[word] for word in words] or None)

    def do_iperfudp(self, line: str) -> None:
        """The UDP rate between two hosts, measured by iperf3.
        Usage: iperfudp [bandwidth host1 host2]"""
        words = line.split()
        if len(words) not in (0, 3):
            error("invalid number of args: iperfudp [bandwidth host1 host2], such as: iperfudp 10M h1 h2\n")
        elif words and not is_bandwidth(words[0]):
            error(f"'{one_line(words[0][:_SHOWN])}' is no bandwidth (bits a second), such as 10M or 500K\n")
        elif self._known(words[1:]):
            bandwidth = words[0] if words else "10M"
            self.mn.iperf([self.mn[word] for word in words[1:]] or None, l4Type="UDP", udpBw=bandwidth)

    def do_xterm(self, line: str, term: str = "xterm") -> None:
        """Spawn xterm(s) for the given node(s).
        Usage: xterm node1 node2 ..."""
        if self._windows(term) and self._known(line.split()):
            CLI.do_xterm(self, line, term)

    def do_x(self, line: str) -> None:
        """Create an X11 tunnel to the given node, optionally starting a client.
        Usage: x node [cmd args]"""
        if self._windows("xterm") and self._known(line.split()[:1]):
            CLI.do_x(self, line)

    def _windows(self, program: str) -> bool:
        if not os.environ.get("DISPLAY"):
            error("*** there is no display for windows; in another terminal: sdnlab exec HOST\n")
        elif shutil.which(program) is None:
            error(f"*** {program} is not installed: {how_to_install(program) or 'install it'}\n")
        else:
            return True
        return False

    def _known(self, names: list[str]) -> bool:
        missing = [name for name in names if name not in self.mn]
        for name in missing:
            close = nearest(name, self.mn.nameToNode)
            error(f"node '{name}' not in network" + (f"; did you mean {close}?\n" if close else "\n"))
        return not missing


def _leave(code: object = None) -> None:
    raise SystemExit(code)


def _lines(file: str) -> Iterator[str]:
    """The lines of a file that has an end."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(0, "that is no plain file")
        yield from stream


def is_bandwidth(word: str) -> bool:
    """Whether iperf3 understands ``word`` as bits a second."""
    return _BANDWIDTH.fullmatch(word) is not None


def without_comment(line: str) -> str:
    """The line up to a '#' that begins a word outside of quotes, as in a shell."""
    quote = ""
    for index, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (index == 0 or line[index - 1].isspace()):
            return line[:index]
    return line
