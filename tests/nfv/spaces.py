"""Three network namespaces in a row for one function: ``left`` -- in [function] out -- ``right``.

Each is held by a process that the kernel kills with the test's; with the namespaces go all their devices.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dataplane.sandbox.namespaces import run_in
from nfv.contract import Program
from tests.waiting import until

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds: more than anything here takes on a machine that is busy with something else."""
LEFT_MAC, RIGHT_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
LEFT4, RIGHT4, LEFT6, RIGHT6 = "10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"
SETPRIV = "setpriv"
ETH_P_ALL = 3
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
SILENT = "for which in all default; do echo 1 > /proc/sys/net/ipv6/conf/$which/disable_ipv6; done"
"""The kernel sends nothing by itself from devices that come after this."""


class Space:
    """A network namespace."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "-n", "sh", "-c", "echo; exec sleep inf"],
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        self._holder.stdout.readline()
        self.path = Path(f"/proc/{self._holder.pid}/ns/net")
        self.fd = os.open(self.path, os.O_RDONLY)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        return self._holder.pid

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()
        os.close(self.fd)

    def argv(self, *words: str) -> list[str]:
        return ["nsenter", f"--net={self.path}", *words]

    def run(self, *words: str, given: str | None = None) -> str:
        done = subprocess.run(self.argv(*words), input=given, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def is_up(self, device: str) -> bool:
        """Whether the kernel says that a device passes packets (RFC 2863's ifOperStatus)."""
        return " state UP " in self.run("ip", "-o", "link", "show", "dev", device)

    def within(self, job: Callable[[], T]) -> T:
        return run_in(self.fd, job)


class Wire:
    """An AF_PACKET socket at the outer end of one of the function's devices."""

    def __init__(self, space: Space, device: str = "eth0") -> None:
        self.sock = space.within(lambda: self._open(device))

    @staticmethod
    def _open(device: str) -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        sock.bind((device, ETH_P_ALL))
        return sock

    def send(self, frame: bytes) -> None:
        self.sock.send(frame)

    def receive(self, seconds: float = PATIENCE) -> bytes | None:
        """The next frame, or None after so long."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(70000)
        except (TimeoutError, BlockingIOError):
            return None

    def until(self, wanted: Callable[[bytes], bool], seconds: float = PATIENCE) -> list[bytes]:
        """All frames up to one that is wanted; an AssertionError if none comes."""
        frames: list[bytes] = []
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            frame = self.receive(left)
            if frame is not None:
                frames.append(frame)
                if wanted(frame):
                    return frames
        raise AssertionError(f"did not come; what did: {frames}")


class Running:
    """A function's process in its namespace and directory, with its lines."""

    def __init__(self, program: Program, space: Space, directory: Path) -> None:
        self._directory = directory
        self.write(program)
        self.process = subprocess.Popen(
            [SETPRIV, "--pdeathsig", "KILL", *space.argv(*program.argv)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=directory,
            text=True,
        )
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.seen: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def write(self, program: Program) -> None:
        for name, content in program.files.items():
            (self._directory / name).write_bytes(content)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def event(self, event_type: str, seconds: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """The next event of that type with those fields; others are kept in ``seen``."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                line = self.lines.get(timeout=left)
                assert line is not None, f"ended with {self.process.wait()}; said {self.seen}"
                self.seen.append(line)
                if line["event_type"] == event_type and fields.items() <= line.items():
                    return line
        raise AssertionError(f"no {event_type} {fields}; but {self.seen[-10:]}")

    def replace(self, program: Program) -> dict[str, Any]:
        """New files for the running process; what it says then."""
        self.write(program)
        assert self.process.stdin is not None
        self.process.stdin.write('{"do":"replace"}\n')
        self.process.stdin.flush()
        return self.event("state")

    def close(self) -> int:
        """End its standard input; its exit status."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            raise


class Row:
    """``left`` -- in [``middle``] out -- ``right``; ends have MACs, addresses and static neighbours.

    ``quiet``: the ends have no addresses, and say nothing by themselves.
    """

    def __init__(self, directory: Path, mtu: int = 1500, quiet: bool = False) -> None:
        self.directory = directory
        self.left, self.middle, self.right = spaces = [Space() for _ in range(3)]
        self._closing: list[Callable[[], object]] = [space.close for space in spaces]
        # The function's namespace as a lab makes it: else its devices, which are up before the function is
        # there to say anything about it, send MLD reports and neighbour solicitations (RFC 4862, RFC 9777).
        for space in (self.middle, *((self.left, self.right) if quiet else ())):
            space.run("sh", "-c", SILENT)
        for device, end, mac in (("in", self.left, LEFT_MAC), ("out", self.right, RIGHT_MAC)):
            self.middle.run(
                *f"ip link add {device} mtu {mtu} type veth peer name eth0 address {mac}".split(),
                *f"mtu {mtu} netns {end.pid}".split(),
            )
            self.middle.run("ip", "link", "set", "dev", device, "up")
        if quiet:
            for end in (self.left, self.right):
                end.run("ip", "link", "set", "eth0", "up")
        else:
            self._address(self.left, LEFT4, LEFT6, RIGHT4, RIGHT6, RIGHT_MAC)
            self._address(self.right, RIGHT4, RIGHT6, LEFT4, LEFT6, LEFT_MAC)
        # The kernel connects a device that came up before its peer in the background, a second later when it
        # has much to do: what is sent before is dropped (net/core/link_watch.c).
        ends = ((self.left, "eth0"), (self.middle, "in"), (self.middle, "out"), (self.right, "eth0"))
        for space, device in ends:
            until(partial(space.is_up, device), f"{device} is up", PATIENCE)

    @staticmethod
    def _address(space: Space, own4: str, own6: str, other4: str, other6: str, mac: str) -> None:
        space.run(
            "ip",
            "-batch",
            "-",
            given=f"address add {own4}/24 dev eth0\naddress add {own6}/64 dev eth0 nodad\n"
            "link set eth0 up\n"
            f"neighbour replace {other4} lladdr {mac} dev eth0\n"
            f"neighbour replace {other6} lladdr {mac} dev eth0\n",
        )

    def start(self, program: Program, running: bool = True) -> Running:
        """Start a function in the middle; wait until it says that it runs."""
        started = Running(program, self.middle, self.directory)
        self._closing.insert(0, started.close)
        if running:
            assert started.event("state")["state"] == "running", started.seen
        return started

    def closes(self, job: Callable[[], object]) -> None:
        self._closing.insert(0, job)

    def wires(self) -> tuple[Wire, Wire]:
        left, right = Wire(self.left), Wire(self.right)
        self.closes(left.sock.close)
        self.closes(right.sock.close)
        return left, right

    def close(self) -> None:
        for job in self._closing:
            job()


@contextlib.contextmanager
def row(directory: Path, mtu: int = 1500, quiet: bool = False) -> Iterator[Row]:
    opened = Row(directory, mtu, quiet)
    try:
        yield opened
    finally:
        opened.close()


def frame(payload: bytes, ethertype: int = 0x88B5, to: str = RIGHT_MAC, by: str = LEFT_MAC) -> bytes:
    """An Ethernet frame from left to right."""
    macs = bytes.fromhex((to + by).replace(":", ""))
    return macs + ethertype.to_bytes(2, "big") + payload


def bulk(row: Row, size: int, argv: Sequence[str] = ()) -> bytes:
    """``size`` random bytes over TCP from left to right through the function; what arrived."""
    sent = os.urandom(size)

    def listen() -> socket.socket:
        return socket.create_server((RIGHT4, 5001))

    def connect() -> socket.socket:
        return socket.create_connection((RIGHT4, 5001))

    with row.right.within(listen) as server, row.left.within(connect) as client:
        taken, _ = server.accept()
        taken.settimeout(60)
        sender = threading.Thread(target=lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR)))
        sender.start()
        got = bytearray()
        with taken:
            while data := taken.recv(1 << 20):
                got += data
        sender.join()
    assert bytes(got) == sent
    return bytes(got)
