"""A rootless Open vSwitch for tests: dummy datapath, everything inside one directory."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.openflow import messages

SCHEMAS = ("/usr/share/openvswitch/vswitch.ovsschema", "/usr/local/share/openvswitch/vswitch.ovsschema")
NEEDED = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def lacking() -> str | None:
    """What these tests miss on this machine, for the skip message."""
    absent = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    if absent:
        return f"Open vSwitch is not installed (no {', '.join(absent)})"
    if not any(Path(schema).exists() for schema in SCHEMAS):
        return "Open vSwitch's database schema was not found"
    return None


class Vswitch:
    """One ovsdb-server and one ovs-vswitchd, children of the test: they end with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            **os.environ,
            "PATH": PATH,
            "OVS_RUNDIR": str(directory),
            "OVS_DBDIR": str(directory),
            "OVS_LOGDIR": str(directory),
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)[:200]}: {done.stderr.strip()}")
        return done.stdout

    def start(self) -> None:
        here = self.directory
        schema = next(path for path in SCHEMAS if Path(path).exists())
        self.run("ovsdb-tool", "create", str(here / "conf.db"), schema)
        database = f"unix:{here}/db.sock"
        self._daemon("ovsdb-server", "--no-chdir", f"--remote=p{database}",
                     f"--unixctl={here}/db.ctl", str(here / "conf.db"))  # fmt: skip
        self.vsctl("init")
        self._daemon("ovs-vswitchd", "--no-chdir", "--enable-dummy", "--disable-system",
                     f"--unixctl={here}/vs.ctl", database)  # fmt: skip

    def _daemon(self, *command: str) -> None:
        log = (self.directory / f"{command[0]}.log").open("wb")
        with log:
            self.processes.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log))

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def vsctl(self, *arguments: str, wait: bool = False) -> str:
        options = ["--timeout=30", "--retry", f"--db=unix:{self.directory}/db.sock"]
        return self.run("ovs-vsctl", *options, *([] if wait else ["--no-wait"]), *arguments)

    def appctl(self, *arguments: str) -> str:
        return self.run("ovs-appctl", "-t", str(self.directory / "vs.ctl"), *arguments)

    def ofctl(self, *arguments: str) -> str:
        return self.run("ovs-ofctl", "-O", "OpenFlow15", *arguments)

    def bridge(self, name: str, ports: Iterable[int]) -> None:
        """A bridge with ``ports`` (numbers) named ``<name>-eth<N>``, ready when this returns."""
        commands = ["--", "add-br", name, "--", "set", "bridge", name, "datapath_type=dummy",
                    "fail_mode=secure", "protocols=OpenFlow13,OpenFlow14,OpenFlow15"]  # fmt: skip
        for number in ports:
            port = f"{name}-eth{number}"
            commands += ["--", "add-port", name, port, "--", "set", "interface", port,
                         "type=dummy", f"ofport_request={number}"]  # fmt: skip
        self.vsctl(*commands[1:], wait=True)

    def set_link(self, interface: str, state: str) -> None:
        """Take an interface ``up`` or ``down`` and return when the switch has seen it."""
        self.appctl("netdev-dummy/set-admin-state", interface, state)
        self.vsctl("wait-until", "interface", interface, f"link_state={state}", wait=True)

    @contextmanager
    def channel(self, bridge: str) -> Iterator[Channel]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(self.directory / f"{bridge}.mgmt"))
            yield Channel(sock)


class Channel:
    """The least OpenFlow connection that can program a switch."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rest = b""
        sock.sendall(messages.header(messages.HELLO, 0))
        assert self.next()[1] == messages.HELLO
        sock.sendall(messages.set_config())

    def next(self) -> bytes:
        """The next whole message."""
        while len(self.rest) < 8 or len(self.rest) < int.from_bytes(self.rest[2:4], "big"):
            chunk = self.sock.recv(1 << 20)
            assert chunk, "the switch closed the connection"
            self.rest += chunk
        size = int.from_bytes(self.rest[2:4], "big")
        message, self.rest = self.rest[:size], self.rest[size:]
        return message

    def send(self, data: bytes) -> list[bytes]:
        """Send, and return all that came until the switch had done it; an error fails."""
        self.sock.sendall(data + messages.barrier_request(0xBA221E2))
        answers = []
        while True:
            message = self.next()
            if message[1] == messages.ECHO_REQUEST:
                self.sock.sendall(bytes((6, messages.ECHO_REPLY)) + message[2:])
            elif message[1] == messages.BARRIER_REPLY and message[4:8] == b"\x0b\xa2\x21\xe2":
                return answers
            else:
                kind = int.from_bytes(message[8:10], "big"), int.from_bytes(message[10:12], "big")
                assert message[1] != messages.ERROR, f"error {kind} for {message[12:].hex()}"
                answers.append(message)

    def ask(self, request: bytes) -> bytes:
        """The joined bodies of a multipart reply."""
        replies = [reply for reply in self.send(request) if reply[1] == messages.MULTIPART_REPLY]
        return b"".join(reply[16:] for reply in replies)
