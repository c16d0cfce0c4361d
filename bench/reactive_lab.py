"""``reactive_lab PYTHON SWITCHES``: Mininet's linear network under the learning switch, pinged end to end.

Runs sealed, with the Python that has Debian's mininet; PYTHON is the one that has os-ken. Prints the pings.
"""

import subprocess
import sys
import time

from mininet.net import Mininet
from mininet.node import OVSSwitch, RemoteController
from mininet.topo import LinearTopo


def main(python: str, switches: int) -> None:
    """Start everything, wait until all is connected, ping once from end to end with a fresh ARP cache."""
    controller = subprocess.Popen([python, "-m", "bench.learning_switch"])
    try:
        net = Mininet(
            LinearTopo(k=switches),
            switch=lambda name, **options: OVSSwitch(
                name, datapath="user", protocols="OpenFlow13", **options
            ),
            controller=lambda name: RemoteController(name, ip="127.0.0.1", port=6653),
            autoSetMacs=True,
        )
        for host in net.hosts:  # its solicitations would teach the switches before the ping does
            host.cmd("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
        net.start()
        net.waitConnected(timeout=30)
        deadline = time.monotonic() + 30
        while not all("priority=0" in switch.dpctl("dump-flows", "-O OpenFlow13") for switch in net.switches):
            if time.monotonic() > deadline:
                raise SystemExit("the learning switch did not get ready")
        source, target = net.hosts[0], net.hosts[-1]
        print(source.cmd(f"ping -c 2 -i 0.5 {target.IP()}"))
        net.stop()
    finally:
        controller.kill()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
