"""A real Open vSwitch in a network namespace of its own, and a controller process beside it.

For the controller's system tests: bridges, patch links and host ports (OVS-internal TAPs)
are made straight from a ``Topology``, without the data plane's code.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from dataplane.ovs.ovsdb import PACKET_INS
from tests.waiting import until
from topologies.model.attachment import Instance
from topologies.model.topology import Link, Port, Topology

T = TypeVar("T")

_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


def lacks() -> str | None:
    """Why these tests cannot run here; None when they can."""
    programs = "ovs-vswitchd ovsdb-server ovs-vsctl ovs-ofctl ovs-appctl unshare nsenter setpriv"
    for program in programs.split():
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if os.geteuid() != 0:
        return "network namespaces are made by root here"
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun"
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        return "this machine does not allow a new network namespace"
    return None


def listens(path: Path) -> bool:
    """Whether somebody takes connections at a Unix socket, which is bound before it listens."""
    with socket.socket(socket.AF_UNIX) as stream:
        return stream.connect_ex(str(path)) == 0


class Switches:
    """One ovs-vswitchd with the bridges of a topology."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = dict(os.environ, OVS_RUNDIR=str(directory))
        self._children: list[subprocess.Popen[bytes]] = []
        wait = "ip link set lo up; echo; exec cat"
        holder = self._spawn(["unshare", "-n", "--kill-child", "--fork", "sh", "-c", wait])
        assert holder.stdout is not None
        holder.stdout.readline()
        child = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0]
        self.namespace = f"/proc/{child}/ns/net"
        database = f"unix:{directory}/db.sock"
        subprocess.run(["ovsdb-tool", "create", f"{directory}/conf.db", str(_SCHEMA)], check=True)
        self._spawn(["ovsdb-server", f"--remote=p{database}", f"{directory}/conf.db"])
        until(lambda: listens(directory / "db.sock"), "ovsdb-server")
        self.run("ovs-vsctl", f"--db={database}", "--no-wait", "init")
        self._spawn([*self.inside, "ovs-vswitchd", database, f"--pidfile={directory}/ovs-vswitchd.pid",
                     f"--log-file={directory}/ovs-vswitchd.log"])  # fmt: skip
        until((directory / "ovs-vswitchd.pid").exists, "ovs-vswitchd")

    @property
    def inside(self) -> list[str]:
        return ["nsenter", f"--net={self.namespace}"]

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],  # even when the test run is killed
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._children.append(child)
        return child

    def run(self, *command: str) -> str:
        """Run a command beside the switches and return what it prints."""
        done = subprocess.run(
            [*self.inside, *command], env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def vsctl(self, *command: str) -> str:
        return self.run("ovs-vsctl", f"--db=unix:{self.directory}/db.sock", *command)

    def build(self, topology: Topology, port: int) -> None:
        """Make the bridges, links and host ports, in one transaction.

        Devices are named by number (`device`), since names in a topology may be long.
        """
        self._index = {switch.name: number for number, switch in enumerate(topology.switches)}
        command: list[str] = []
        for switch in topology.switches:
            bridge = self.bridge(switch.name)
            command += f"-- add-br {bridge} -- set bridge {bridge} datapath_type=netdev".split()
            command += ["fail_mode=secure", "protocols=OpenFlow13,OpenFlow14,OpenFlow15"]
            command += [f"other_config:datapath-id={switch.dpid:016x}", "other_config:disable-in-band=true"]
            command += f"-- set-controller {bridge} tcp:127.0.0.1:{port}".split()
            command += f"-- set controller {bridge} connection_mode=out-of-band max_backoff=1000".split()
            command += [f"{column}={value}" for column, value in PACKET_INS.items()]
        for link in topology.links:
            command += self._patch(link.a, link.b) + self._patch(link.b, link.a)
        for host in topology.hosts:
            command += [*self._internal(host.port), f'mac="{host.mac}"']
        instances = [instance for function in topology.functions for instance in function.instances]
        sides = [port for instance in instances for port in instance.ports]
        for port in sides:
            command += self._internal(port)
        self.vsctl(*command[1:])
        # Without IPv6, or the kernel's router solicitations would come from these ports.
        script = "".join(
            f"echo 1 >/proc/sys/net/ipv6/conf/{device}/disable_ipv6; ip link set {device} up\n"
            for device in (self.device(port) for port in (*(host.port for host in topology.hosts), *sides))
        )
        self.run("sh", "-ec", script)
        for instance in instances:
            self.join(instance)

    def _internal(self, port: Port) -> list[str]:
        name = self.device(port)
        command = f"-- add-port {self.bridge(port.switch)} {name} -- set interface {name} type=internal"
        return [*command.split(), f"ofport_request={port.number}"]

    def join(self, instance: Instance) -> None:
        """Let an instance pass frames: a Linux bridge between its two devices."""
        bridge = f"join{self._index[instance.inward.switch]}-{instance.inward.number}"
        self.run("ip", "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
        self.run(
            "sh", "-ec", f"echo 1 >/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6; ip link set {bridge} up"
        )
        for port in instance.ports:
            self.run("ip", "link", "set", self.device(port), "master", bridge)

    def part(self, instance: Instance) -> None:
        """Let an instance pass nothing any more; its devices stay up."""
        self.run("ip", "link", "del", f"join{self._index[instance.inward.switch]}-{instance.inward.number}")

    def _patch(self, here: Port, there: Port) -> list[str]:
        name = self.device(here)
        command = f"-- add-port {self.bridge(here.switch)} {name} -- set interface {name} type=patch".split()
        return [*command, f"options:peer={self.device(there)}", f"ofport_request={here.number}"]

    def bridge(self, switch: str) -> str:
        return f"br{self._index[switch]}"

    def device(self, port: Port) -> str:
        return f"p{self._index[port.switch]}-{port.number}"

    def cut(self, link: Link) -> None:
        """Delete both ends of a link."""
        self.vsctl("del-port", self.device(link.a), "--", "del-port", self.device(link.b))

    def mend(self, link: Link) -> None:
        """Bring both ends back."""
        self.vsctl(*self._patch(link.a, link.b)[1:], *self._patch(link.b, link.a))

    def log_messages(self) -> None:
        """From now on count OpenFlow messages (`received`)."""
        self.run("ovs-appctl", "vlog/disable-rate-limit", "vconn")
        self.run("ovs-appctl", "vlog/set", "vconn:file:dbg")

    def received(self, kind: str) -> list[str]:
        """Logged OpenFlow messages of a kind (``OFPT_FLOW_MOD``) that any bridge received."""
        log = (self.directory / "ovs-vswitchd.log").read_text(errors="replace")
        return [line for line in log.splitlines() if "received: " in line and kind in line]

    def socket_at(self, port: Port) -> socket.socket:
        """A raw socket that is the host on a host port."""
        return inside(self.namespace, lambda: _packet_socket(self.device(port)))

    def close(self) -> None:
        for child in reversed(self._children):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        for child in self._children:
            child.wait()


class Controller:
    """``python -m controller`` on a listening socket that outlives it."""

    def __init__(self, switches: Switches, directory: Path, topology: Topology) -> None:
        self.file = directory / "topology.json"
        self.file.write_text(topology.model_dump_json())
        self.api = directory / "api.sock"
        self.events: list[dict[str, Any]] = []
        self._inside = switches.inside
        self._log = (directory / "controller.log").open("ab")
        self.listener = inside(
            switches.namespace, lambda: socket.create_server(("127.0.0.1", 0), backlog=4096)
        )
        self.port: int = self.listener.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        self.events.clear()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controller", "--listen-fd", str(self.listener.fileno()),
             "--topology", str(self.file), "--api", str(self.api), *more],
            stdout=subprocess.PIPE, stderr=self._log, pass_fds=[self.listener.fileno()],
        )  # fmt: skip
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    def read(self) -> list[dict[str, Any]]:
        """All events since the start."""
        assert self.process is not None and self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
        return self.events

    def wait(self, event: str, after: int = 0, **fields: Any) -> dict[str, Any]:
        """The first such event with a number above ``after``."""

        def find() -> dict[str, Any] | None:
            for entry in self.read():
                if entry["number"] > after and entry["event"] == event and fields.items() <= entry.items():
                    return entry
            return None

        try:
            got: dict[str, Any] = until(find, f"event {event} {fields}")
        except AssertionError as problem:
            raise AssertionError(f"{problem}; got {self.events[-12:]}") from None
        return got

    @property
    def last(self) -> int:
        """The number of the last event read."""
        return max((entry["number"] for entry in self.read()), default=0)

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.listener.close()
        self._log.close()


def inside(namespace: str, do: Callable[[], T]) -> T:
    """Do something (open a socket) in another network namespace, in a thread that visits it."""
    opened: list[T] = []

    def visit() -> None:
        with Path(namespace).open() as file:
            assert ctypes.CDLL(None).setns(file.fileno(), 0x40000000) == 0
        opened.append(do())

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join()
    return opened[0]


def _packet_socket(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind((device, 0))
    sock.settimeout(10)
    return sock


@contextlib.contextmanager
def running(directory: Path, topology: Topology) -> Iterator[tuple[Switches, Controller]]:
    """Switches and a started controller, gone again at the end whatever happens."""
    switches = Switches(directory)
    try:
        controller = Controller(switches, directory, topology)
        try:
            controller.start()
            switches.build(topology, controller.port)
            yield switches, controller
        finally:
            controller.close()
    finally:
        switches.close()
