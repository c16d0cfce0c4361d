"""``graph_peer FILE``: Debian's mininet with the switches, hosts and links of FILE (JSON).

Runs sealed, with the Python that has Debian's mininet. No controller, userspace datapath.
"""

import json
import os
import sys

from mininet.net import Mininet
from mininet.node import OVSSwitch
from mininet.topo import Topo


def memory() -> float:
    """Megabytes of all processes in here (PSS)."""
    total = 0
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 (thousands of entries)
        try:
            with open(f"/proc/{name}/smaps_rollup") as rollup:  # noqa: PTH123
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except OSError:
            continue
    return total / 1024


class Graph(Topo):
    """The topology of the file; short names, since Mininet's become device names."""

    def build(self, graph) -> None:
        """Add everything."""
        for number in range(graph["switches"]):
            self.addSwitch(f"s{number}", dpid=f"{number + 1:016x}")
        for number, switch in enumerate(graph["at"]):
            self.addLink(self.addHost(f"h{number}"), f"s{switch}")
        for a, b in graph["links"]:
            self.addLink(f"s{a}", f"s{b}")


def main(path: str) -> None:
    """Start, say so with the memory used, stop."""
    with open(path) as file:  # noqa: PTH123
        graph = json.load(file)

    def switch(name: str, **options: object) -> OVSSwitch:
        return OVSSwitch(name, datapath="user", failMode="secure", **options)

    net = Mininet(Graph(graph=graph), switch=switch, controller=None, autoSetMacs=True)
    net.start()
    print(f"@@ started {memory():.1f}", flush=True)
    net.stop()


if __name__ == "__main__":
    main(sys.argv[1])
