"""A balancer's namespace with clients and backends behind one wire: ``middle`` -- eth0 ... ``right``."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nfv.contract import Program
from tests.nfv.programs import program
from tests.nfv.spaces import PATIENCE, Running, Space
from topologies.model.attachment import EndSystem, Flows
from topologies.model.functions import Backend, Balancer, HealthCheck, HttpRule
from topologies.model.values import Port

VIP4, VIP6 = "10.0.0.100", "fd00::100"
FAST = HealthCheck(interval=50_000, timeout=5_000_000, rise=2, fall=2)


def balancer(names: str = "web1 web2", check: HealthCheck = FAST, **some: Any) -> Balancer:
    """Backends web1, web2, ... are 10.0.0.11, 10.0.0.12 ..., at port 8080."""
    backends = tuple(
        Backend(
            host=name,
            mac=f"02:00:00:00:00:1{name[-1]}",
            ipv4=f"10.0.0.1{name[-1]}/24",
            ipv6=f"fd00::1{name[-1]}/64",
            port=8080,
            weight=some.get("weights", {}).get(name, 1),
        )
        for name in names.split()
    )
    some.pop("weights", None)
    addresses = {"ipv4": f"{VIP4}/24", "ipv6": f"{VIP6}/64"} | some
    at = Port(switch="s1", number=9)
    return Balancer(
        network="lan", at=at, mac="02:00:00:00:00:99", port=80, backends=backends, check=check, **addresses
    )


def described(engine: str, some: Balancer) -> Program:
    attached = EndSystem if engine == "haproxy" else Flows
    return program("load-balancer", engine, attachment=attached(switch="s1"), balancer=some)


class Site:
    """The balancer's namespace, and one other with all the backends' addresses and a client's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.own, self.far = Space(), Space()
        self._servers: dict[str, subprocess.Popen[str]] = {}
        self._running: list[Running] = []
        self.own.run(*f"ip link add eth0 type veth peer name eth0 netns {self.far.pid}".split())
        for space, addresses in (
            (self.own, [VIP4, VIP6]),
            (
                self.far,
                ["10.0.0.1", "fd00::1", *(f"10.0.0.1{n}" for n in "1234"), *(f"fd00::1{n}" for n in "1234")],
            ),
        ):
            lines = [
                f"address add {address}/{'64 dev eth0 nodad' if ':' in address else '24 dev eth0'}"
                for address in addresses
            ]
            space.run("ip", "-batch", "-", given="\n".join([*lines, "link set eth0 up\n"]))

    def start(self, program: Program, running: bool = True) -> Running:
        started = Running(program, self.own, self.directory)
        self._running.append(started)
        if running:
            assert started.event("state")["state"] == "running", started.seen
        return started

    def serve(self, name: str, address: str | None = None) -> None:
        """Start a backend."""
        server = subprocess.Popen(
            self.far.argv(
                sys.executable,
                str(Path(__file__).with_name("servers.py")),
                address or f"10.0.0.1{name[-1]}",
                "8080",
                name,
            ),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "listening\n"
        self._servers[name] = server

    def stop(self, name: str) -> None:
        server = self._servers.pop(name)
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()

    def connect(self, address: str = VIP4) -> socket.socket:
        sock = self.far.within(lambda: socket.create_connection((address, 80), PATIENCE))
        return sock

    def ask(self, words: bytes = b"hello", address: str = VIP4) -> bytes:
        """What one connection is answered."""
        with self.connect(address) as sock:
            sock.sendall(words)
            return sock.recv(65536)

    def get(self, path: str, host: str = "www") -> str:
        """What an HTTP request is answered: the first line and the body."""
        with self.connect() as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
        head, _, body = answer.decode().partition("\r\n\r\n")
        return f"{head.splitlines()[0]} {body}"

    def close(self) -> None:
        for process in self._running:
            process.close()
        for name in list(self._servers):
            self.stop(name)
        self.own.close()
        self.far.close()


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    opened = Site(directory)
    try:
        yield opened
    finally:
        opened.close()


def http(*some: tuple[str | None, str | None, str]) -> tuple[HttpRule, ...]:
    """Rules from path, host, and backends' names."""
    return tuple(HttpRule(path=path, host=host, backends=tuple(names.split())) for path, host, names in some)
