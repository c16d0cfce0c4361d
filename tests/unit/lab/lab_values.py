"""Values that several tests of the lab use."""

from __future__ import annotations

from typing import Any

from lab.events.log import EventLog
from lab.messages.lab import Status
from lab.supervisor.lab import Lab
from topologies.model.topology import Topology


class NoWaysOut:
    """What a lab has whose file opens nothing; ``became``: the topologies that it was changed to."""

    def __init__(self) -> None:
        self.became: list[Topology] = []

    def check(self, topology: Topology) -> None: ...

    def become(self, topology: Topology, planned: object) -> None:
        self.became.append(topology)

    become_again = become

    def states(self) -> list[Any]:
        return []

    def troubles(self) -> list[str]:
        return []


def lab_of(topology: Topology, **parts: Any) -> Lab:
    """A lab that is not built. ``parts``: stand-ins for the fields of ``Lab`` that the test uses."""
    absent: dict[str, Any] = dict.fromkeys(
        ("net", "controllers", "health", "functions", "servers", "commands")
    )
    absent["outside"] = NoWaysOut()
    facts = {"name": "only", "file": "only.yaml", "events": EventLog(), "started": 0.0, "log_fd": -1}
    return Lab(topology=topology, **{**absent, **facts, **parts})


STATUS: Status = {
    "name": "only",
    "topology": "only",
    "description": "",
    "file": "/x/only.yaml",
    "state": "running",
    "started": 1000.0,
    "datapath": "userspace",
    "converged": True,
    "troubles": [],
    "stages": [],
    "controller": {"running": True, "pid": 3, "restarts": 0, "flows": 62, "groups": 0},
    "applications": [],
    "domains": [{"name": "d1", "alive": True, "datapath": "userspace", "daemons": {"ovs-vswitchd": 12}}],
    "switches": [
        {
            "name": name,
            "domain": "d1",
            "dpid": "0" * 16,
            "role": "switch",
            "controller": "sdnlab",
            "up": True,
            "connected": True,
            "programmed": True,
        }
        for name in ("s1", "s2")
    ],
    "networks": [
        {
            "name": "lan",
            "vni": None,
            "vlan": None,
            "subnet4": "10.0.0.0/16",
            "subnet6": None,
            "gateway4": None,
            "gateway6": None,
            "router": None,
            "hosts": ["h1"],
            "domains": ["d1"],
            "crosses": False,
        }
    ],
    "hosts": [
        {
            "name": "h1",
            "kind": "namespace",
            "detail": {},
            "network": "lan",
            "switch": "s1",
            "port": 1,
            "peer": "",
            "interface": "h1-eth0",
            "trunk": "",
            "vlan": None,
            "mac": "02:00:00:00:00:01",
            "ipv4": "10.0.0.1/24",
            "ipv6": None,
            "up": True,
            "of": "",
            "routes": [],
            "commands": [],
        }
    ],
    "links": [{"name": "s1-s2", "a": "s1:2", "b": "s2:1", "up": True}],
    "underlay": None,
    "functions": [],
    "chains": [],
    "volumes": [],
    "outside": [],
}
