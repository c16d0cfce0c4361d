"""Starting a network in less time: shells start at the same time, wires are made by netlink."""

from __future__ import annotations

import os
import pty
import termios
from typing import Any

from mininet import link, net, node, util
from mininet.log import error

from dataplane.netlink.route import End, NetlinkError, Socket, add_veth, set_link

_PROMPT = chr(127)
_FIRST = "unset HISTFILE; set +m\n"
_ECHO = 3
"""The field of local modes in what tcgetattr gives (termios(3))."""


def apply() -> None:
    """Mend the classes."""
    send = node.Node.sendCmd

    def send_when_ready(self: Any, *args: Any, **params: Any) -> Any:
        _ready(self)
        return send(self, *args, **params)

    node.Node.startShell = _start_shell
    node.Node.sendCmd = send_when_ready
    node.Node.pid = property(_pid, _set_pid)
    _wait_for_all_at_the_end()
    _Wires().apply()


def _start_shell(self: Any, mnopts: str | None = None) -> None:
    """Start bash as Mininet does, but don't wait for its prompt: the first use does."""
    if self.shell:
        error(f"{self.name}: shell is already running\n")
        return
    options = ("-cd" if mnopts is None else mnopts) + ("n" if self.inNamespace else "")
    self.master, self.slave = pty.openpty()
    modes = termios.tcgetattr(self.slave)
    modes[_ECHO] &= ~termios.ECHO
    termios.tcsetattr(self.slave, termios.TCSANOW, modes)
    self.shell = self._popen(
        ["mnexec", options, "bash", "--norc", "--noediting", "-is", f"mininet:{self.name}"],
        stdin=self.slave,
        stdout=self.slave,
        stderr=self.slave,
        close_fds=False,
        env={**os.environ, "PS1": _PROMPT},
    )
    self.stdin = self.stdout = os.fdopen(self.master, "r")
    self.pid = self.shell.pid
    self.pollOut = node.select.poll()
    self.pollOut.register(self.stdout)
    self.outToNode[self.stdout.fileno()] = self
    self.inToNode[self.stdin.fileno()] = self
    self.execed, self.waiting = False, False
    self.lastCmd = self.lastPid = None
    self.readbuf = ""
    self.write(_FIRST)
    self.prompts = 2  # its first one, and the one after that line


def _ready(self: Any) -> None:
    """Return when the node's shell has begun to work, and is in its namespace."""
    while getattr(self, "prompts", 0) > 0 and self.shell:
        self.pollOut.poll()
        said = self.read(1024)
        self.prompts -= said.count(_PROMPT)


def _pid(self: Any) -> Any:
    _ready(self)
    return self.__dict__.get("pid_of_shell")


def _set_pid(self: Any, value: Any) -> None:
    self.__dict__["pid_of_shell"] = value


def _wait_for_all_at_the_end() -> None:
    """A script may poll the output of a node that has had no command."""
    build = net.Mininet.build

    def build_all(self: Any) -> Any:
        result = build(self)
        for one in self.values():
            _ready(one)
        return result

    net.Mininet.build = build_all


class _Wires:
    """Makes veth pairs in their namespaces, up, as far as the kernel allows."""

    def __init__(self) -> None:
        self.up: set[tuple[int, str]] = set()
        self.socket: Socket | None = None

    def apply(self) -> None:
        make, is_up, config = link.makeIntfPair, link.Intf.isUp, link.Intf.config

        def make_pair(
            intf1: str,
            intf2: str,
            addr1: Any = None,
            addr2: Any = None,
            node1: Any = None,
            node2: Any = None,
            deleteIntfs: bool = True,
            runCmd: Any = None,
        ) -> Any:
            if deleteIntfs or runCmd or not _plain(node1) or not _plain(node2):
                return make(intf1, intf2, addr1, addr2, node1, node2, deleteIntfs, runCmd)
            return self.make(intf1, intf2, addr1, addr2, node1, node2)

        def is_up_already(interface: Any, setUp: bool = False) -> Any:
            key = (id(interface.node), interface.name)
            if setUp and key in self.up:
                self.up.discard(key)
                return True
            return is_up(interface, setUp)

        def configure(interface: Any, *args: Any, **params: Any) -> Any:
            if interface.name == "lo" and not interface.node.inNamespace and not args and not params:
                return {}  # that of the sandbox is up
            return config(interface, *args, **params)

        for module in (link, util):
            module.makeIntfPair = make_pair
        link.Intf.isUp = is_up_already
        link.Intf.config = configure

    def make(self, name1: str, name2: str, mac1: Any, mac2: Any, node1: Any, node2: Any) -> None:
        """The pair; the end in a namespace first, since the kernel can make only the first one up."""
        ends = [(name1, mac1, node1), (name2, mac2, node2)]
        if node2.inNamespace and not node1.inNamespace:
            ends.reverse()
        spaces = [_namespace(one) for _, _, one in ends]
        try:
            if self.socket is None:
                self.socket = Socket()
            (one, mac, near), (other, far_mac, far) = ends
            requests = [add_veth(End(one, spaces[0], mac, up=True), End(other, spaces[1], far_mac))]
            self.up.add((id(near), one))
            if spaces[1] is None:
                requests.append(set_link(other, True))
                self.up.add((id(far), other))
            self.socket.run(requests)
        except NetlinkError as why:
            raise Exception(f"Error creating interface pair ({name1},{name2}): {why} ") from None
        finally:
            for descriptor in spaces:
                if descriptor is not None:
                    os.close(descriptor)


def _plain(one: Any) -> bool:
    return isinstance(one, node.Node) and one.shell is not None


def _namespace(one: Any) -> int | None:
    """The network namespace of a node, as a descriptor; None: the sandbox's."""
    return os.open(f"/proc/{one.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC) if one.inNamespace else None
