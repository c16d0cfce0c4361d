"""A topology as a containerlab file (``*.clab.yml``). Pure.

Hosts are Linux containers with their addresses on ``eth1`` and further interfaces; switches are Open vSwitch
bridges, which have to exist before the lab is deployed. The labels ``sdnlab.*`` say what containerlab doesn't
need; the importer of such files reads them.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from topologies.exporters.losses import Written, hosts_of, interfaces_of, losses
from topologies.importers.containerlab import DPID, NETWORK
from topologies.model.host_wires import host_wires
from topologies.model.hosts import Host
from topologies.model.parts import parts
from topologies.model.topology import Topology
from topologies.saving.tree import in_port_order
from topologies.saving.yaml_text import written

IMAGE = "alpine:3"
_SAID = ("environment", "interfaces", "run", "networks")
_LONGEST = 15  # letters of a device's name (IFNAMSIZ)


def write(topology: Topology) -> Written:
    """The file, and what it can't say."""
    ports = _Ports()
    hosts = hosts_of(topology)
    switches = [switch for switch in topology.switches if switch.role == "switch"]
    several = len(topology.networks) > 1 or topology.underlay is not None or len(parts(topology)) > 1
    nodes: dict[str, Any] = {
        switch.name: {"kind": "ovs-bridge", "labels": {DPID: hex(switch.dpid)}} for switch in switches
    }
    further = topology.further
    nodes |= {host.name: _host([host, *further.get(host.name, ())], several) for host in hosts}
    device = {
        entry.name: f"eth{number}"
        for host in hosts
        for number, entry in enumerate((host, *further.get(host.name, ())), 1)
    }
    links: list[Any] = [
        {
            "type": "veth",
            "endpoints": [
                {"node": host.node, "interface": device[host.name], "mac": host.mac},
                {"node": host.at.switch, "interface": ports.name(str(host.at))},
            ],
        }
        for host in interfaces_of(topology)
        if host.port is not None
    ]
    links += [
        {
            "type": "veth",
            "endpoints": [
                {"node": end.node, "interface": device[end.name], "mac": end.mac} for end in (wire.a, wire.b)
            ],
        }
        for wire in host_wires(topology)
    ]
    links += [
        {"endpoints": [f"{end.switch}:{ports.name(str(end))}" for end in (link.a, link.b)]}
        for link in in_port_order(topology.links)
    ]
    tree: dict[str, Any] = {"kinds": {"linux": {"image": IMAGE}}, "nodes": nodes}
    if links:
        tree["links"] = links
    head = "# containerlab wants the bridges to be there:\n" + "".join(
        f"#   ovs-vsctl --may-exist add-br {switch.name}\n" for switch in switches
    )
    return Written(head + written({"name": topology.name, "topology": tree}), losses(topology, _SAID))


def _host(interfaces: Sequence[Host], several: bool) -> dict[str, Any]:
    """The node of a host with these interfaces."""
    host = interfaces[0]
    commands = [
        f"ip address add {address} dev eth{number}"
        for number, entry in enumerate(interfaces, 1)
        for address in (entry.ipv4, entry.ipv6)
        if address is not None
    ]
    commands += [shlex.join(command.words) for command in host.own.run]
    return {
        "kind": "linux",
        **({"exec": commands} if commands else {}),
        **({"env": dict(host.own.environment)} if host.own.environment else {}),
        **({"labels": {NETWORK: host.network}} if several else {}),
    }


class _Ports:
    """Names of the devices at bridges: they are all in one namespace, that of the machine."""

    def __init__(self) -> None:
        self._count = 0

    def name(self, port: str) -> str:
        """The name of the device of a port like ``s1:3``."""
        self._count += 1
        wanted = port.replace(":", "-eth")
        return wanted if len(wanted) <= _LONGEST else f"port{self._count}"
