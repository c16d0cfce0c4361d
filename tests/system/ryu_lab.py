"""Open vSwitch bridges with hosts, controlled by the launcher of Ryu applications, in one namespace."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.ryu.reports import AppFailed, HandlerFailed, Report, Started, SwitchReport, parse
from controller.ryu.starting import command
from tests.system.controller_lab import Switches, inside
from tests.waiting import until


class WebSocket:
    """The client's end of a WebSocket (RFC 6455), for short messages."""

    def __init__(self, sock: socket.socket, path: str) -> None:
        self._file = sock.makefile("rwb")
        self._file.write(
            f"GET {path} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        self._file.flush()
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self._file.readline()
            assert line, head
            head += line
        assert b"101" in head and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, head

    def send(self, text: str) -> None:
        data = text.encode()
        assert len(data) < 126
        self._file.write(bytes((0x81, 0x80 | len(data), 0, 0, 0, 0)) + data)
        self._file.flush()

    def receive(self) -> str:
        """The next message."""
        size = self._file.read(2)[1]
        if size == 126:
            size = int.from_bytes(self._file.read(2), "big")
        return self._file.read(size).decode()


class Launcher:
    """A launcher in a namespace, and what it reports."""

    def __init__(self, switches: Switches, directory: Path, words: Sequence[str], **environment: str) -> None:
        self._namespace = switches.namespace
        directory.mkdir(exist_ok=True)
        self.log = directory / "launcher.log"
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self._text = ""
        self.reports: list[Report] = []
        self.listener = inside(switches.namespace, lambda: socket.create_server(("127.0.0.1", 0)))
        self.port: int = self.listener.getsockname()[1]
        options = ["--listen-fd", str(self.listener.fileno()), "--report-fd", str(write), "--wsapi-port", "0"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                # It ends with the tests, even when they are killed.
                [*switches.inside, "setpriv", "--pdeathsig", "KILL", *command([*options, *words])],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdout=log,
                stderr=log,
                pass_fds=[self.listener.fileno(), write],
                start_new_session=True,
            )
        os.close(write)

    def read(self) -> list[Report]:
        """All reports up to now."""
        with contextlib.suppress(BlockingIOError):
            while octets := os.read(self._read, 1 << 16):
                self._text += octets.decode()
        *lines, self._text = self._text.split("\n")
        self.reports += [parse(line) for line in lines]
        return self.reports

    def of(self, kind: type[Any]) -> list[Any]:
        """All reports of a kind up to now."""
        return [report for report in self.read() if isinstance(report, kind)]

    def started(self) -> Started:
        """What it reports of its start; AssertionError with its log if there is none."""

        def ended_or_started() -> bool:
            return bool(self.of(Started)) or self.process.poll() is not None

        until(ended_or_started, f"the launcher starts: {self.log}")
        assert self.of(Started), self.log.read_text()
        report: Started = self.of(Started)[0]
        return report

    def connected(self, number: int) -> None:
        """Wait for so many switches."""
        until(
            lambda: len({one.dpid for one in self.of(SwitchReport) if one.state == "connected"}) >= number,
            f"{number} switches connect; {self.reports}\n{self.log.read_text()}",
        )

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and text of the apps' HTTP server. ``body`` is sent as JSON unless it is a string."""
        port = self.started().wsapi
        assert port is not None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.sock = inside(self._namespace, lambda: socket.create_connection(("127.0.0.1", port), 60))
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        connection.request(method, path, text)
        answer = connection.getresponse()
        got = answer.status, answer.read().decode()
        connection.close()
        return got

    def get(self, path: str) -> Any:
        """The JSON that the apps answer to GET."""
        status, text = self.ask("GET", path)
        assert status == 200, (path, status, text)
        return json.loads(text)

    def put(self, path: str, body: Any, method: str = "PUT") -> Any:
        """The JSON that the apps answer to a request with a body; None if they answer nothing."""
        status, text = self.ask(method, path, body)
        assert status == 200, (path, status, text)
        return json.loads(text) if text else None

    @contextlib.contextmanager
    def websocket(self, path: str) -> Iterator[WebSocket]:
        """An open WebSocket to the apps."""
        port = self.started().wsapi
        assert port is not None
        with inside(self._namespace, lambda: socket.create_connection(("127.0.0.1", port), 60)) as sock:
            yield WebSocket(sock, path)

    def no_failures(self) -> None:
        """AssertionError: a handler has failed."""
        assert not self.of(HandlerFailed) and not self.of(AppFailed), self.of(HandlerFailed)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Its exit status after this signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(30)
        self.listener.close()
        with contextlib.suppress(OSError):
            os.close(self._read)
        return status


@dataclass
class Net:
    """Bridges ``KEY1``... and hosts ``h1``..., whose addresses are 10.0.0.1 and so on."""

    switches: Switches
    key: str
    hosts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name -> namespace, address."""

    def in_host(self, host: str, *words: str, check: bool = True) -> str:
        """What a command in a host prints."""
        done = subprocess.run(
            ["nsenter", f"--net={self.hosts[host][0]}", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0 or not check, (words, done.stdout, done.stderr)
        return done.stdout

    def pings(self, source: str, target: str, count: int = 1) -> bool:
        """Whether one of ``count`` pings is answered."""
        words = ["ping", "-c1", f"-w{count}", "-W2", self.hosts.get(target, ("", target))[1]]
        return "1 received" in self.in_host(source, *words, check=False)

    def reach(self, source: str, target: str) -> None:
        """Wait until a ping is answered: the first ones teach the switches."""
        until(lambda: self.pings(source, target, 2), f"{source} reaches {target}", 90)

    def flows(self, number: int = 1, version: str = "OpenFlow13") -> str:
        """A switch's flows, as ovs-ofctl prints them."""
        return self.switches.run("ovs-ofctl", "-O", version, "dump-flows", f"{self.key}{number}")


_HOLDER = "ip link set lo up; echo; exec cat"


@contextlib.contextmanager
def net(
    switches: Switches,
    key: str,
    port: int,
    hosts: Sequence[int],
    links: Sequence[tuple[int, int]] = (),
    more: str = "",
    ports: Sequence[int] = (),
) -> Iterator[Net]:
    """Bridges with hosts: ``hosts`` has the number of each one's switch, ``links`` those of two switches.

    A host's port number counts from 1 on its switch, links come after them. ``more``: further columns.
    """
    built = Net(switches, key)
    numbers = sorted({*hosts, *(end for link in links for end in link)})
    used = dict.fromkeys(numbers, 0)
    words: list[str] = []
    for number in numbers:
        name = f"{key}{number}"
        words += f"-- add-br {name} -- set bridge {name} datapath_type=netdev fail_mode=secure".split()
        words += f"other_config:datapath-id={number:016x} other_config:disable-in-band=true".split()
        words += more.split()
        words += ["protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"]
    devices = []
    for place, number in enumerate(hosts, 1):
        used[number] += 1
        device = f"{key}h{place}"
        devices.append(device)
        words += f"-- add-port {key}{number} {device} -- set interface {device} type=internal".split()
        words += [f"ofport_request={used[number]}"]
    for place, (a, b) in enumerate(links):
        for here, side, other in ((a, "a", "b"), (b, "b", "a")):
            used[here] += 1
            device = f"{key}l{place}{side}"
            words += f"-- add-port {key}{here} {device} -- set interface {device} type=patch".split()
            words += [f"options:peer={key}l{place}{other}", f"ofport_request={used[here]}"]
    switches.vsctl(*words[1:])
    holders = []
    try:
        for place, device in enumerate(devices, 1):
            holder = subprocess.Popen(
                ["unshare", "-n", "--kill-child", "--fork", "sh", "-c", _HOLDER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            holders.append(holder)
            assert holder.stdout is not None
            holder.stdout.readline()
            child = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0]
            space = f"/proc/{child}/ns/net"
            built.hosts[f"h{place}"] = (space, f"10.0.0.{place}")
            switches.run("ip", "link", "set", device, "netns", child)
            built.in_host(
                f"h{place}",
                "sh",
                "-ec",
                f"echo 1 >/proc/sys/net/ipv6/conf/{device}/disable_ipv6; "
                f"ip link set {device} address 00:00:00:00:00:{place:02x} name eth0; "
                f"ip addr add 10.0.0.{place}/24 dev eth0; ip link set eth0 up",
            )
        command: list[str] = []
        for number in numbers:
            name = f"{key}{number}"
            command += f"-- set-controller {name} tcp:127.0.0.1:{port}".split()
            command += f"-- set controller {name} connection_mode=out-of-band max_backoff=1000".split()
        switches.vsctl(*command[1:])
        yield built
    finally:
        switches.vsctl(*" ".join(f"-- --if-exists del-br {key}{number}" for number in numbers).split()[1:])
        for holder in holders:
            holder.kill()
            holder.wait()
            for pipe in (holder.stdin, holder.stdout):
                if pipe is not None:
                    pipe.close()
