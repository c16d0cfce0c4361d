"""``checking_peer HOSTS NUMBER``: the time of pings and of nc in Debian's mininet, one after the other.

Runs sealed, with the Python that has Debian's mininet. The switch learns by itself, and drops TCP to port 22.
"""

import json
import subprocess
import sys
import time

from mininet.net import Mininet
from mininet.node import OVSSwitch
from mininet.topo import SingleSwitchTopo

CHECKSUMS = (
    "import array, fcntl, socket, struct, sys\n"
    "value = array.array('B', struct.pack('II', 0x17, 0))\n"  # ETHTOOL_STXCSUM (ethtool.h)
    "request = struct.pack('16sP', sys.argv[1].encode(), value.buffer_info()[0])\n"
    "fcntl.ioctl(socket.socket(), 0x8946, request.ljust(40, b'\\0'))\n"  # SIOCETHTOOL
)
"""Turns off that a device leaves checksums to hardware. Open vSwitch's userspace datapath, which Mininet uses
here, would send segments without them."""


def main(hosts: int, number: int) -> None:
    """Start, measure, say how long one of each took, stop."""

    def switch(name: str, **options: object) -> OVSSwitch:
        return OVSSwitch(name, datapath="user", failMode="standalone", **options)

    net = Mininet(SingleSwitchTopo(hosts), switch=switch, controller=None, autoSetMacs=True)
    net.start()
    net["s1"].cmd("ovs-ofctl add-flow s1 priority=9,tcp,tp_dst=22,actions=drop")
    listen = "import socket; s = socket.create_server(('', 80)); [s.accept() for _ in iter(int, 1)]"
    for index in range(1, number + 2):
        inside = ["mnexec", "-a", str(net[f"h{index}"].pid)]
        subprocess.run([*inside, "python3", "-c", CHECKSUMS, f"h{index}-eth0"], check=True)
        net[f"h{index}"].cmd(f'python3 -c "{listen}" >/dev/null 2>&1 &')
    for index in range(2, number + 2):
        net["h1"].cmd(
            f"for i in $(seq 50); do nc -z -w 1 {net[f'h{index}'].IP()} 80 && break; sleep 0.1; done"
        )
    took = {}
    for kind, command in (
        ("ping", "ping -c 1 -W 1 {}"),
        ("open", "nc -z -w 1 {} 80"),
        ("dropped", "nc -z -w 1 {} 22"),
    ):
        began = time.monotonic()
        for index in range(1, number + 1):
            code = (
                net[f"h{index}"]
                .cmd(command.format(net[f"h{index + 1}"].IP()) + " >/dev/null; echo $?")
                .split()[-1]
            )
            assert (code == "0") == (kind != "dropped"), (kind, code)
        took[kind] = (time.monotonic() - began) / number
    print("@@ " + json.dumps(took), flush=True)
    net.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
