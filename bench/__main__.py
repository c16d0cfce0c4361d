"""Run measurements of sdnlab and of its peers, and print them side by side as Markdown, with ratios and
targets.

Example: bench/run --runs 3 starting outage.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from bench import figures, ours

MEASUREMENTS = {
    "starting": "start and stop, against mn and the bare kernel",
    "sizes": "100 to 1,000 hosts on one switch, 20 labs at once, a fat tree that loses a switch",
    "all_pairs": "all pairs of 64 hosts, against mn's pingall",
    "checking": "1,000 checks among 64 hosts, against Mininet's ping and nc one by one",
    "first_packet": "first and second packet, against a reactive learning switch",
    "mininet_scripts": "start and stop of a Mininet script, against Python with Debian's Mininet",
    "programming": "programming all switches of Cogentco, against ovs-ofctl replace-flows",
    "verifying": "proving networks of growing size with any link cut, on one core",
    "scale": "compiling and starting Cogentco, time and memory",
    "bandwidth": "what TCP and UDP get of a wire's bandwidth, against the same tc setting on Linux bridges",
    "long_rows": "rows of 10, 60 and 300 switches: start, memory, round trip, against mn",
    "broadcasts": "frames on each wire for one broadcast in campus",
    "outage": "pings lost when the active path dies",
    "overlay": "TCP, packets and round trip across VXLAN, against Linux's own bridge and vxlan device",
    "datapaths": "chains and VXLAN on the kernel's datapath, the userspace one, and Linux bridges",
    "domains": "what more domains cost; 50 domains with 100 networks",
    "ids": "intrusion detection with 10,000 rules, against scapy, dpkt and hyperscan alone",
    "packet_tests": "1,000 packets of a test, against scapy's own functions",
    "outside": "TCP through a way out, against slirp4netns alone",
    "moving": "pings lost when a host moves, and when the underlay is cut",
    "kinds": "hosts of each kind: start, round trip, TCP",
    "migrating": "pings lost when a virtual machine moves live, against stop and start",
    "steering": "what chains cost, against the same functions joined by plain wires",
    "packet_ins": "packet-ins that a Ryu app handles, against the same app on os-ken and on PyPI's ryu",
    "overhearing": "OpenFlow messages through an app, before, while and after somebody looks at them",
    "firewalls": "firewalls with 10, 1,000 and 10,000 rules, against plain nftables",
    "balancing": "the layer-4 load balancer, against HAProxy in TCP mode",
    "chain_changes": "packets lost while chains and functions change or die",
}

BY_NAME = ("datapaths",)
"""Those that run only when they are named: they need Open vSwitch's kernel module."""


def machine() -> str:
    """What the figures were measured on, in a line."""
    ovs = subprocess.run(["ovs-vswitchd", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    datapath = ours.Setting.datapath
    loads = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, Open vSwitch {ovs.split()[-1]} ({datapath} datapath "
        f"unless said otherwise), load at the start {loads}"
    )


def main() -> int:
    """Run the chosen measurements; 0 even when a figure is not reached, 1 when one could not be taken."""
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MEASUREMENTS)} (default: all)")
    parser.add_argument(
        "--runs",
        type=int,
        default=5,
        metavar="N",
        help="runs of each measurement (default: 5); slow peers run less",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write all samples to this file, as JSON"
    )
    parser.add_argument(
        "--datapath",
        choices=("userspace", "kernel"),
        default="userspace",
        help="Open vSwitch's datapath of our labs, and of mn in starting (default: userspace)",
    )
    options = parser.parse_args()
    ours.Setting.datapath = options.datapath
    unknown = [name for name in options.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"no measurement named {unknown[0]}; there are {', '.join(MEASUREMENTS)}")
    if os.geteuid():
        parser.error("the peers need root (sdnlab itself does not)")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    about = machine()
    print(about + "\n", flush=True)
    measured: list[figures.Figure] = []
    failed = False
    for name in options.names or [name for name in MEASUREMENTS if name not in BY_NAME]:
        try:
            results = importlib.import_module(f"bench.{name}").measure(options.runs)
        except Exception as error:
            print(f"### {MEASUREMENTS[name]}\n\ncould not be measured: {error!r}\n", flush=True)
            failed = True
            continue
        for figure in results:
            print(figures.text(figure), flush=True)
        measured += results
    if options.json:
        content = {"machine": about, "figures": [figure.as_json() for figure in measured]}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
