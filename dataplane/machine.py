"""Finds out what this machine offers (by trying), and what a lab would lack (pure).

``probe(topology)`` tries everything that the topology needs, inside a temporary sandbox, because the lab runs
in such a sandbox; ``missing`` compares.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from dataplane import facts
from dataplane.facts import NOT_TUN, TUN
from dataplane.hosts import congestion
from dataplane.netlink.overlay import add_vxlan
from dataplane.netlink.route import End, Socket, add_bridge, add_veth, delete_link
from dataplane.netlink.shaping import qdiscs
from dataplane.sandbox import sandbox
from dataplane.sandbox.errors import SandboxError
from linux.readiness import readable
from topologies.model.host_wires import host_wires
from topologies.model.topology import Shaping, Topology

OLDEST_OVS = (2, 17)
_TUN_DEVICE = os.makedev(10, 200)  # Linux, Documentation/admin-guide/devices.txt
PROBE_SECONDS = 10.0
NOT_KNOWN = facts.System()
SEARCH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Machine:
    """What the machine offers. A string is empty if the thing works; otherwise it is the system's error."""

    sandbox: str = ""
    sandbox_remedy: str = ""
    tun: str = ""
    veth: str = ""
    bridge: str = ""
    tbf: str = ""
    netem: str = ""
    vxlan: str = ""
    congestion: frozenset[str] | None = None
    """Congestion controls of TCP that it lets hosts use; None: not known."""
    programs: frozenset[str] = frozenset()
    ovs: tuple[int, int] | None = None
    open_files: int = 1 << 20
    memory: int = 1 << 40
    system: facts.System = NOT_KNOWN


@dataclass(frozen=True)
class Lack:
    """Something that a lab needs and this machine lacks: what it is, what needs it, and the remedy."""

    what: str
    needed: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; needed for {self.needed}; {self.remedy}"


def needs(topology: Topology | None) -> frozenset[str]:
    """Names of the things to try: ``tbf`` and ``netem`` only if the topology shapes (None: everything)."""
    if topology is None:
        return frozenset({"tun", "veth", "bridge", "tbf", "netem", "vxlan"})
    shapings = [way for _, shaping in _wires(topology) for way in shaping.ways]
    wanted = {"tun"}
    if any(shaping.bandwidth is not None for shaping in shapings):
        wanted.add("tbf")
    if any(shaping.emulated for shaping in shapings):
        wanted.add("netem")
    if topology.underlay is not None and topology.underlay.tunnels != "ovs":
        wanted.add("vxlan")
    return frozenset(wanted)


def _wires(topology: Topology) -> Iterator[tuple[str, Shaping]]:
    yield from ((link.name, link.shaping) for link in topology.links)
    yield from ((f"{host.name}-{host.at.switch}", host.shaping) for host in topology.attached)
    yield from ((wire.name, wire.shaping) for wire in host_wires(topology))
    yield from ((link.name, link.shaping) for link in (topology.underlay.links if topology.underlay else ()))


def missing(machine: Machine, topology: Topology, datapath: str = "auto") -> list[Lack]:
    """The things that the lab of ``topology`` needs and ``machine`` lacks; empty: it can start."""
    lacks: list[Lack] = []

    def lack(what: str, needed: str, remedy: str) -> None:
        lacks.append(Lack(what, needed, remedy))

    def mended(fact: str, answer: str = "") -> str:
        return facts.remedy(fact, answer, machine.system)

    for program in ("ovsdb-server", "ovs-vswitchd"):
        if program not in machine.programs:
            lack(f"{program} is not installed", "the switches", mended("open vswitch"))
    if machine.ovs is not None and machine.ovs < OLDEST_OVS:
        have = ".".join(map(str, machine.ovs))
        lack(f"Open vSwitch {have} is too old", "the switches", "2.17 or newer is needed, as in Ubuntu 22.04")
    if machine.sandbox:
        lack(machine.sandbox, "the lab's own namespaces", machine.sandbox_remedy)
    if machine.tun and datapath != "system":
        lack(
            f"{TUN} can't be used ({machine.tun})",
            "Open vSwitch's userspace datapath",
            mended("tun", machine.tun),
        )
    for kind, answer in (("veth", machine.veth), ("bridge", machine.bridge)):
        if answer:
            needed = "the wires" if kind == "veth" else "the management network"
            lack(f"this kernel has no {kind} devices ({answer})", needed, mended(kind))
    shaped = list(_wires(topology))
    limited = [name for name, shaping in shaped if any(w.bandwidth is not None for w in shaping.ways)]
    if machine.tbf and limited:
        what = f"this kernel has no tbf queueing discipline ({machine.tbf})"
        lack(what, f"the bandwidth of {_some(limited)}", mended("tbf"))
    emulated = [name for name, shaping in shaped if any(way.emulated for way in shaping.ways)]
    if machine.netem and emulated:
        what = f"this kernel has no netem queueing discipline ({machine.netem})"
        remedy = mended("netem") + ", or leave the wires only bandwidth, queue and MTU"
        lack(what, f"delay, loss or such of {_some(emulated)}", remedy)
    for host in topology.hosts:
        wanted = host.congestion_control
        if wanted and machine.congestion is not None and wanted not in machine.congestion:
            names = " ".join(sorted({*machine.congestion, wanted}))
            what = f"this machine lets no host use TCP's congestion control {wanted}"
            allow = f'sudo sysctl -w net.ipv4.tcp_allowed_congestion_control="{names}"'
            lack(what, host.name, f"take one of {', '.join(sorted(machine.congestion))}, or {allow}")
    if machine.vxlan:
        what = f"this kernel has no vxlan devices ({machine.vxlan})"
        lack(what, "the tunnels between domains", mended("vxlan"))
    files, memory = estimate(topology)
    if machine.open_files < files:
        what = f"only {machine.open_files} files may be open (ulimit -Hn)"
        lack(what, f"about {files} in this lab", facts.RAISE_FILES.format(files=files))
    if machine.memory < memory:
        what = f"only {machine.memory >> 20} MB of memory are free"
        lack(what, f"about {memory >> 20} MB in this lab", facts.SMALLER)
    return lacks


def estimate(topology: Topology) -> tuple[int, int]:
    """(open files of the busiest process, bytes of memory) of a lab: measured values with a reserve."""
    ports = 2 * len(topology.links) + len(topology.hosts)
    files = 200 + max(2 * (len(topology.hosts) + len(topology.domains)), ports + 6 * len(topology.switches))
    memory = (120 << 20) + (ports << 18) + (len(topology.hosts) << 18) + (len(topology.switches) << 19)
    return files, memory + len(topology.domains) * (40 << 20)


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# The edge: trying


def probe(topology: Topology | None = None, inside: bool = False) -> Machine:
    """Try what ``topology`` needs (None: everything). Takes some tens of milliseconds, at most seconds.

    ``inside``: the caller is in a lab's sandbox already, so things are tried right here.
    """
    programs = frozenset(
        name
        for name in ("ovsdb-server", "ovs-vswitchd", "ovs-ofctl", "mnexec", "ip", "tc")
        if shutil.which(name, path=SEARCH)
    )
    failures: dict[str, str] = {}
    refused, remedy = "", ""
    try:
        wanted = needs(topology)
        failures = {kind: try_out(kind) for kind in wanted} if inside else _probe_inside(wanted)
    except SandboxError as error:
        refused, remedy = error.what, error.remedy
    return Machine(
        sandbox=refused,
        sandbox_remedy=remedy,
        tun=failures.get("tun", ""),
        veth=failures.get("veth", ""),
        bridge=failures.get("bridge", ""),
        tbf=failures.get("tbf", ""),
        netem=failures.get("netem", ""),
        vxlan=failures.get("vxlan", ""),
        congestion=congestion.allowed(),
        programs=programs,
        ovs=_ovs_version() if "ovs-vswitchd" in programs else None,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        memory=free_memory(),
        system=distribution(),
    )


def _probe_inside(wanted: frozenset[str]) -> dict[str, str]:
    def main(status: int) -> None:
        os.write(status, json.dumps({kind: try_out(kind) for kind in sorted(wanted)}).encode() + b"\n")

    box = sandbox.spawn(main, tied=True)
    data = b""
    deadline = time.monotonic() + PROBE_SECONDS
    try:
        while not data.endswith(b"\n"):
            ready = readable([box.status], max(0.0, deadline - time.monotonic()))
            more = box.status.recv(65536) if ready else b""
            if not more:
                return {kind: "no answer" for kind in wanted}
            data += more
    finally:
        box.kill(PROBE_SECONDS)
        box.close()
    return dict(json.loads(data))


def try_out(kind: str) -> str:
    """Try one thing in the present namespaces; the system's error, empty when it works."""
    try:
        if kind == "tun":
            descriptor = os.open(TUN, os.O_RDWR | os.O_CLOEXEC)
            try:
                return "" if os.fstat(descriptor).st_rdev == _TUN_DEVICE else NOT_TUN
            finally:
                os.close(descriptor)
        netlink = Socket()
        if kind == "bridge":
            netlink.run([add_bridge("probe"), delete_link("probe")])
            return ""
        if kind == "vxlan":
            netlink.run([add_vxlan("probe", 1, IPv4Address("127.0.0.1"), 1500), delete_link("probe")])
            return ""
        netlink.run([add_veth(End("probe-a"), End("probe-b"))])
        index = netlink.index_of("probe-a")
        try:
            if kind == "tbf":
                netlink.run(qdiscs(index, Shaping(bandwidth=1_000_000)))
            elif kind == "netem":
                netlink.run(qdiscs(index, Shaping(delay=1000)))
        finally:
            netlink.run([delete_link("probe-a")])
        return ""
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)


def _ovs_version() -> tuple[int, int] | None:
    path = shutil.which("ovs-vswitchd", path=SEARCH)
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=PROBE_SECONDS)
        match = re.search(r"(\d+)\.(\d+)", said.stdout)
        if match:
            return int(match[1]), int(match[2])
    return None


def distribution() -> facts.System:
    """The distribution that this machine runs; not known without an os-release(5)."""
    with contextlib.suppress(OSError, ValueError):
        return facts.system(Path("/etc/os-release").read_text(encoding="utf-8"))
    return NOT_KNOWN


def free_memory() -> int:
    """Bytes of memory that a lab may take."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 1 << 40
