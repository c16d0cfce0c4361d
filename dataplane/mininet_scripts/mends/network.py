"""The network: iperf that ends, waiting that ends, windows that are not there."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from mininet import cli, net, util
from mininet.log import debug, error, info, output

from dataplane.hosts.packages import how_to_install
from dataplane.mininet_view.iperf import CannotMeasure, measure

CONNECTED = 60.0
"""Seconds that switches get to connect to their controllers, unless the script says how many."""
LISTENING = 30.0
"""Seconds that a server gets to listen."""
_START = 5.0
_RATE = re.compile(r"([\d\.]+ \w+/sec)")


def apply() -> None:
    """Mend the class and its functions."""
    wait = net.Mininet.waitConnected

    def wait_connected(self: Any, timeout: float | None = None, delay: float = 0.05) -> Any:
        return wait(self, CONNECTED if timeout is None else timeout, min(delay, 0.05))

    net.Mininet.waitConnected = wait_connected
    net.Mininet.iperf = _iperf
    for module in (util, net):
        module.waitListening = _wait_listening
    cli.CLI.identchars = cli.CLI.identchars + "-."


def _wait_listening(
    client: Any = None, server: Any = "127.0.0.1", port: int = 80, timeout: float | None = None
) -> bool:
    address = server if isinstance(server, str) else server.IP()
    command = f"timeout 1 bash -c '</dev/tcp/{address}/{port}' && echo Connected"
    deadline = time.monotonic() + (LISTENING if timeout is None else timeout)
    while True:
        said = client.cmd(command) if client is not None else util.quietRun(command, shell=True)
        if "Connected" in str(said).splitlines()[-1:]:
            return True
        if time.monotonic() > deadline:
            error(f"could not connect to {address} on port {port}\n")
            return False
        info(".")
        time.sleep(0.1)


def _iperf(
    self: Any,
    hosts: Any = None,
    l4Type: str = "TCP",
    udpBw: str = "10M",
    fmt: str | None = None,
    seconds: int = 5,
    port: int = 5001,
) -> list[str]:
    hosts = hosts or [self.hosts[0], self.hosts[-1]]
    assert len(hosts) == 2
    client, server = hosts
    output("*** Iperf: testing", l4Type, "bandwidth between", client, "and", server, "\n")
    if l4Type not in ("TCP", "UDP"):
        raise Exception(f"Unexpected l4 type: {l4Type}")
    udp = udpBw if l4Type == "UDP" else ""
    try:
        if shutil.which("iperf"):
            result = _by_iperf(client, server, udp, fmt, int(seconds), port)
        elif shutil.which("iperf3"):
            result = measure(client, server, udp, int(seconds), port)
        else:
            raise CannotMeasure(f"iperf is not installed: {how_to_install('iperf')}")
    except CannotMeasure as why:
        error(f"*** {why}\n")
        result = ["", ""]
    if udp:
        result.insert(0, udpBw)
    output(f"*** Results: {result}\n")
    return result


def _by_iperf(client: Any, server: Any, udp: str, fmt: str | None, seconds: int, port: int) -> list[str]:
    words = ["iperf", "-p", str(port), *(["-u"] if udp else []), *(["-f", fmt] if fmt else [])]
    if shutil.which("stdbuf"):  # iperf keeps what it says to a pipe until it ends
        words = ["stdbuf", "-oL", *words]
    serving = server.popen([*words, "-s"], stderr=subprocess.STDOUT)
    try:
        _listens(server, port, bool(udp))
        asking = [*words, "-t", str(seconds), "-c", server.IP(), *(["-b", udp] if udp else [])]
        said = _said(client.popen(asking, stderr=subprocess.STDOUT), seconds + 3 * _START)
    finally:
        serving.send_signal(signal.SIGINT)
        heard = _said(serving, _START if _RATE.search(locals().get("said", "")) else 0.1)
    debug(f"Client output: {said}\nServer output: {heard}\n")
    sent = _RATE.findall(said)
    if not sent:
        raise CannotMeasure(
            f"iperf can't reach {server.name}: {said.strip().splitlines()[-1:] or 'no answer'}"
        )
    received = _RATE.findall(heard)
    return [(received or sent)[-1], sent[-1]]


def _said(process: Any, patience: float) -> str:
    try:
        out, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
    return str(out.decode(errors="replace")) if isinstance(out, bytes) else str(out)


def _listens(server: Any, port: int, udp: bool) -> None:
    """Wait until something in the server's namespace has the port (proc(5), /proc/net/tcp)."""
    kinds = ("udp", "udp6") if udp else ("tcp", "tcp6")
    wanted = f":{port:04X}"
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        for kind in kinds:
            with contextlib.suppress(OSError):
                rows = Path(f"/proc/{server.pid}/net/{kind}").read_text().splitlines()[1:]
                if any(row.split()[1].endswith(wanted) and row.split()[3] in ("0A", "07") for row in rows):
                    return
        time.sleep(0.02)
