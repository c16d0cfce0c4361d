"""A topology as a Python script for Mininet, and as a custom topology of ``mn``. Pure.

The script needs nothing of sdnlab. Its switches are Open vSwitch bridges that learn by themselves, with
spanning tree where links form a ring.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from shlex import join, quote

from topologies.exporters.losses import Written, hosts_of, losses
from topologies.model.host_wires import host_wires
from topologies.model.hosts import Host
from topologies.model.topology import Shaping, Topology
from topologies.saving import quantities
from topologies.saving.tree import in_port_order

LONGEST = 10
"""Letters of a node's name: with ``-eth12`` it is the name of a device, of 15 letters."""
_SAID = ("links", "wires", "environment", "run")
_HEAD = '''\
#!/usr/bin/env python3
"""{title}

Written by sdnlab. It runs with plain Mininet as root, or with sdnlab as anybody:

    sudo python3 {file}
    sdnlab mininet {file}
    sudo mn --custom {file} --topo {topo}

With the argument "pingall" it tests whether all hosts reach each other, and exits 1 if not.
"""

import sys

from mininet.cli import CLI
from mininet.link import TCLink
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import OVSBridge
from mininet.topo import Topo


class Lab(Topo):
    def build(self):
'''
_TAIL = """\
    net = Mininet(topo=Lab(), switch=OVSBridge, link=TCLink, controller=None)
    net.start()
    try:
        net.waitConnected()
        prepare(net)
        if sys.argv[1:] == ["pingall"]:
            sys.exit(1 if net.pingAll() else 0)
        CLI(net)
    finally:
        net.stop()


if __name__ == "__main__":
    setLogLevel("info")
    main()
"""


def write(topology: Topology) -> Written:
    """The script, and what it can't say."""
    names = _Names(topology)
    title = " ".join((topology.description or topology.name).replace("\\", "/").replace('"', "'").split())
    file = f"{topology.name}.py"
    head = _HEAD.format(title=title, file=file, topo=topology.name)
    body = [f"        {line}" for line in _build(topology, names)] or ["        pass"]
    prepared = [f"    {line}" for line in _prepare(topology, names)] or ["    pass"]
    text = "\n".join(
        [
            head + "\n".join(body),
            "",
            "",
            f'topos = {{"{topology.name}": Lab}}',
            "",
            "",
            "def prepare(net):",
            '    """What hosts have beside an IPv4 address."""',
            *prepared,
            "",
            "",
            "def main():",
            _TAIL,
        ]
    )
    return Written(text.rstrip("\n") + "\n", (*losses(topology, _SAID), *names.changed()))


class _Names:
    """Names that Mininet can take: those that are too long get short ones."""

    def __init__(self, topology: Topology) -> None:
        self._names: dict[str, str] = {}
        taken = {switch.name for switch in topology.switches} | {host.name for host in topology.hosts}
        nodes = [(switch.name, "s") for switch in topology.switches]
        nodes += [(host.name, "h") for host in topology.hosts]
        for name, letter in nodes:
            number, short = 1, name
            while len(name) > LONGEST and (short == name or short in taken):
                short, number = f"{letter}{number}", number + 1
            taken.add(short)
            self._names[name] = short

    def of(self, name: str) -> str:
        """The name of a node in the script."""
        return self._names[name]

    def changed(self) -> list[str]:
        """Which names are others."""
        return [
            f"{name}: the name is too long for Mininet: it is {short}"
            for name, short in self._names.items()
            if name != short
        ]


def _build(topology: Topology, names: _Names) -> Iterator[str]:
    stp = ", stp=True" if _has_ring(topology) else ""
    for switch in topology.switches:
        if switch.role == "switch":
            yield f'self.addSwitch("{names.of(switch.name)}", dpid="{switch.dpid:016x}"{stp})'
    for host in hosts_of(topology):
        address = f'"{host.ipv4}"' if host.ipv4 is not None else "None"
        yield f'self.addHost("{names.of(host.name)}", ip={address}, mac="{host.mac}")'
    for host in hosts_of(topology):
        if host.port is not None:
            ends = f'"{names.of(host.name)}", "{names.of(host.port.switch)}", port2={host.port.number}'
            yield f"self.addLink({ends}{_shape(host.shaping)})"
    for wire in host_wires(topology):
        yield f'self.addLink("{names.of(wire.ends[0])}", "{names.of(wire.ends[1])}"{_shape(wire.shaping)})'
    for link in in_port_order(topology.links):
        ends = f'"{names.of(link.a.switch)}", "{names.of(link.b.switch)}"'
        ports = f"port1={link.a.number}, port2={link.b.number}"
        yield f"self.addLink({ends}, {ports}{_shape(link.shaping)})"


def _has_ring(topology: Topology) -> bool:
    """Whether links between switches form a ring."""
    root = {switch.name: switch.name for switch in topology.switches}

    def top(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for link in topology.links:
        one, other = top(link.a.switch), top(link.b.switch)
        if one == other:
            return True
        root[one] = other
    return False


def _shape(shaping: Shaping) -> str:
    """Mininet's TCLink counts Mbit/s and percent, in both directions as we do."""
    text = ""
    if shaping.bandwidth is not None:
        text += f", bw={(Decimal(shaping.bandwidth) / 1_000_000).normalize():f}"
    if shaping.delay:
        text += f', delay="{quantities.delay(shaping.delay)}"'
    if shaping.loss:
        text += f", loss={(Decimal(repr(shaping.loss)) * 100).normalize():f}"
    return text


def _prepare(topology: Topology, names: _Names) -> Iterator[str]:
    for host in hosts_of(topology):
        for command in _commands(host, names.of(host.name)):
            yield f'net["{names.of(host.name)}"].cmd({command!r})'


def _commands(host: Host, name: str) -> Iterator[str]:
    if host.ipv6 is not None:
        yield f"ip -6 address add {host.ipv6} dev {name}-eth0 nodad"
    for key, value in host.own.environment:
        yield f"export {key}={quote(value)}"
    for command in host.own.run:
        yield f"{join(command.words)} > /dev/null 2>&1 &"
