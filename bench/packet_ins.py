"""Packet-ins that a Ryu app handles, run by sdnlab, against the same app on bare os-ken and on PyPI's ryu.

The app is Ryu's own ``simple_switch_13`` (for os-ken, with ``ryu`` in its imports replaced). The switch is a
socket: it keeps a window of packet-ins on the way, and counts the packet-outs that answer them. The figure is
packets for each second of the controller's own CPU time, which other programs disturb less than the clock.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure, Ratio, Row
from controller.ryu.starting import command
from tests import ryu_package

PACKETS = 1000
BATCHES = 4
"""Short batches in turn: what else the machine does disturbs all alike."""
WINDOW = 64
_BARE = """
import os, sys
from os_ken.lib import hub
hub.patch()
from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import controller
cfg.CONF(["--ofp-tcp-listen-port", sys.argv[1]], project="os_ken")
manager = app_manager.AppManager.get_instance()
manager.load_apps([sys.argv[2], "os_ken.controller.ofp_handler"])
hub.joinall(manager.instantiate_apps(**manager.create_contexts()))
"""
_HELLO, _ECHO, _FEATURES, _PACKET_IN, _PACKET_OUT, _MULTIPART = 0, 2, 5, 10, 13, 18


class Switch:
    """The least of a switch of OpenFlow 1.3."""

    def __init__(self, port: int) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), 60)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._send(_HELLO, 1)
        while True:
            kind, xid, body = self._next()
            if kind == _FEATURES:
                self._send(_FEATURES + 1, xid, struct.pack("!QIBBHII", 1, 0, 254, 0, 0, 0, 0))
            elif kind == _MULTIPART:
                self._send(_MULTIPART + 1, xid, body[:2] + bytes(6))
                return
            elif kind == _ECHO:
                self._send(_ECHO + 1, xid, body)

    def _send(self, kind: int, xid: int, body: bytes = b"") -> None:
        self._socket.sendall(struct.pack("!BBHI", 4, kind, 8 + len(body), xid) + body)

    def _next(self) -> tuple[int, int, bytes]:
        while len(self._buffer) < 8 or len(self._buffer) < struct.unpack_from("!H", self._buffer, 2)[0]:
            octets = self._socket.recv(1 << 16)
            if not octets:
                raise ConnectionError("the controller closed the connection")
            self._buffer += octets
        _, kind, size, xid = struct.unpack_from("!BBHI", self._buffer)
        body, self._buffer = self._buffer[8:size], self._buffer[size:]
        return kind, xid, body

    def flood(self, packets: int) -> None:
        """Send so many packet-ins, and wait until all are answered."""
        sent = answered = 0
        while answered < packets:
            while sent < packets and sent - answered < WINDOW:
                self._send(_PACKET_IN, 0, _packet_in(sent))
                sent += 1
            kind, xid, body = self._next()
            if kind == _PACKET_OUT:
                answered += 1
            elif kind == _ECHO:
                self._send(_ECHO + 1, xid, body)

    def close(self) -> None:
        self._socket.close()


def _packet_in(number: int) -> bytes:
    source = b"\x02\x00" + struct.pack("!I", number % 1000)
    frame = b"\x02\x01\xff\xff\xff\xff" + source + b"\x08\x00" + bytes(46)
    match = struct.pack("!HHIIxxxx", 1, 12, 0x80000004, 1 + number % 4)
    return struct.pack("!IHBBQ", 0xFFFFFFFF, len(frame), 0, 0, 0) + match + b"\0\0" + frame


def cpu(pid: int) -> float:
    """Seconds of processor time that all threads of a process have used."""
    times = (task / "schedstat" for task in Path(f"/proc/{pid}/task").iterdir())
    return sum(int(file.read_text().split()[0]) for file in times) / 1e9


class Running:
    """A controller with a switch."""

    def __init__(self, start: Callable[[int], subprocess.Popen[bytes]]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._process = start(port)
        self._switch = Switch(port)
        self._switch.flood(PACKETS)  # modules are loaded, tables known

    def rate(self) -> float:
        """Packet-ins for each second of processor time, now."""
        before = cpu(self._process.pid)
        self._switch.flood(PACKETS)
        return PACKETS / (cpu(self._process.pid) - before)

    def close(self) -> None:
        self._switch.close()
        self._process.kill()
        self._process.wait()


def contestants(folder: Path) -> dict[str, Callable[[int], subprocess.Popen[bytes]]]:
    """How each is started; PyPI's ryu only where it starts."""
    package = ryu_package.build()
    app = package / "app" / "simple_switch_13.py"
    copy = folder / "bare_switch_13.py"
    text = app.read_text().replace("from ryu", "from os_ken").replace("RyuApp", "OSKenApp")
    copy.write_text(text.replace("self.logger.info", "self.logger.debug"))
    quiet = folder / "quiet_switch_13.py"
    quiet.write_text(app.read_text().replace("self.logger.info", "self.logger.debug"))

    def start(words: list[str], hub: str | None = None) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name != "OSKEN_HUB_TYPE"}
        if hub:
            environment["OSKEN_HUB_TYPE"] = hub
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)

    def ours(port: int, *more: str) -> subprocess.Popen[bytes]:
        return start(command(["--ofp-tcp-listen-port", str(port), *more, str(quiet)]))

    def bare(port: int, hub: str | None) -> subprocess.Popen[bytes]:
        return start([sys.executable, "-c", _BARE, str(port), str(copy)], hub)

    return {
        "sdnlab": lambda port: ours(port),
        "sdnlab --hub native": lambda port: ours(port, "--hub", "native"),
        "os-ken (its default, threads)": lambda port: bare(port, None),
        "os-ken on eventlet": lambda port: bare(port, "eventlet"),
        "PyPI's ryu": lambda port: start(
            [sys.executable, "-m", "tests.ryu_original", "--ofp-tcp-listen-port", str(port), str(quiet)]
        ),
    }


def measure(runs: int) -> list[Figure]:
    """Packet-ins a second, side by side."""
    with tempfile.TemporaryDirectory() as folder:
        starts = contestants(Path(folder))
        running = {name: Running(start) for name, start in starts.items()}
        samples: dict[str, list[float]] = {name: [] for name in running}
        try:
            for _ in range(runs * BATCHES):
                for name, controller in running.items():
                    samples[name].append(controller.rate())
        finally:
            for controller in running.values():
                controller.close()
    rows = [Row(name, tuple(values), "1/s") for name, values in samples.items()]
    best = max(row.median for row in rows[2:])
    figure = Figure("Packet-ins of a Ryu app, for each second of processor time", rows)
    figure.ratios.append(Ratio("sdnlab against the best of the others", rows[0].median / best, 1.0))
    figure.notes.append("simple_switch_13 as Ryu has it; its log of each packet is off")
    return [figure]
