"""The process around HAProxy: starts it, replaces it without losing connections, tells what it counts.

A changed configuration is taken by a new HAProxy that gets the listening sockets of the old one (``-x``),
which then finishes its connections and ends (``-sf``).
"""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import time

from nfv import devices
from nfv.lines import HOST, say
from nfv.process import Failed, Loop, command, content, fail, missing, running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONFIGURATION, SOCKET, STATES, ALL = "haproxy.cfg", "stats.sock", "./servers.state", "all"
WORDS = "haproxy.log"
START_SECONDS = 10.0
DESCRIPTORS = 40_000


class HAProxy:
    """HAProxy as it runs: the one that listens, and former ones with connections left."""

    def __init__(self) -> None:
        self._current: subprocess.Popen[bytes] | None = None
        self._former: list[subprocess.Popen[bytes]] = []
        self._known: dict[str, bool] = {}

    def start(self) -> None:
        """Start, or take over from the one that runs; raises ``Failed`` and leaves that one alone."""
        # the address of an interface that has just come up may be tentative still; that is no reason to fail
        devices.set_sysctl("ipv6/ip_nonlocal_bind", 1)
        try:
            command(("haproxy", "-c", "-f", CONFIGURATION), "haproxy")
        except Failed as reason:
            raise Failed(alerts(str(reason))) from None
        before = self._current
        options: list[str] = []
        if before is not None:
            with contextlib.suppress(OSError), open(STATES, "w") as file:  # noqa: PTH123
                file.write(ask("show servers state"))
            options = ["-x", SOCKET, "-sf", str(before.pid)]
        # HAProxy must not outlive this process, however that ends
        argv = ("setpriv", "--pdeathsig", "KILL", "haproxy", "-db", "-f", CONFIGURATION, *options)
        try:
            with open(WORDS, "wb") as words:  # noqa: PTH123
                started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
        except FileNotFoundError:
            raise Failed(missing("setpriv", "util-linux")) from None
        self._wait(started)
        if before is not None:
            self._former.append(before)
        self._current = started

    @staticmethod
    def _wait(started: subprocess.Popen[bytes]) -> None:
        """Until it answers at the socket."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                if f"Pid: {started.pid}\n" in ask("show info"):
                    return
            if started.poll() is not None:
                said = " | ".join(content(WORDS).splitlines())
                raise Failed(f"haproxy ended at once with status {started.returncode}: {alerts(said)}")
            if time.monotonic() > deadline:
                started.kill()
                started.wait()
                raise Failed(f"haproxy did not answer within {START_SECONDS:.0f} s")
            time.sleep(0.01)

    def replace(self) -> None:
        """Take a changed configuration."""
        try:
            self.start()
        except Failed as reason:
            running(f"the changed configuration was not taken: {reason}")
        else:
            running()

    def look(self) -> None:
        """Say which backends came or went; end if HAProxy did."""
        assert self._current is not None
        self._former = [each for each in self._former if each.poll() is None]
        if self._current.poll() is not None:
            fail(f"haproxy ended with status {self._current.returncode}")
        with contextlib.suppress(OSError):
            found = healths(ask("show stat"))
            for name, (up, reason) in found.items():
                if self._known.get(name) is not up:
                    say("backend", backend=name, up=up, reason=reason)
            self._known = {name: up for name, (up, _) in found.items()}

    def count(self) -> None:
        """Say the counters."""
        with contextlib.suppress(OSError):
            say("counters", **{**devices.counters((HOST,)), **totals(ask("show stat"))})

    def end(self) -> None:
        """End it; connections that are open break."""
        for each in (*self._former, self._current):
            if each is not None:
                each.kill()
                each.wait()


def alerts(said: str) -> str:
    """Of what HAProxy says about a configuration, what is wrong with it."""
    found = [part for part in said.split(" | ") if "[ALERT]" in part]
    return found[0].split(": ", 1)[-1] if found else said


def ask(question: str) -> str:
    """One command to HAProxy's runtime API; raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(2.0)
        sock.connect(SOCKET)
        sock.sendall(question.encode() + b"\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    return answer.decode(errors="replace")


def table(shown: str) -> list[dict[str, str]]:
    """The rows of ``show stat`` by column; only values at the end, which we don't read, hold commas."""
    lines = [line for line in shown.splitlines() if line]
    if not lines:
        return []
    names = lines[0].lstrip("# ").split(",")
    return [dict(zip(names, line.split(","), strict=False)) for line in lines[1:]]


def healths(shown: str) -> dict[str, tuple[bool, str]]:
    """Whether each server that has been tried is up, and why."""
    found = {}
    for row in table(shown):
        if row.get("pxname") != ALL or row.get("svname") in ("FRONTEND", "BACKEND", None):
            continue
        status = row.get("check_status", "").lstrip("* ")
        if status in ("", "INI", "UNK"):
            continue
        found[row["svname"]] = (row["status"].startswith("UP"), reason(row, status))
    return found


def reason(row: dict[str, str], status: str) -> str:
    """HAProxy's word for a check's result, and what it adds: ``L4CON: Connection refused``."""
    said = row.get("last_chk", "").strip('"') or row.get("check_desc", "").strip('"')
    return f"{status}: {said}" if said else status


def totals(shown: str) -> dict[str, Any]:
    """Connections in all and now, requests, refused ones, and the connections of each backend."""
    rows = table(shown)
    found: dict[str, Any] = {"connections": 0, "current": 0, "dropped": 0, "backends": {}}
    for row in rows:
        if row.get("svname") == "FRONTEND":
            found["connections"] += _number(row, "stot")
            found["requests"] = _number(row, "req_tot")
            found["current"] += _number(row, "scur")
            found["dropped"] += sum(_number(row, name) for name in ("dreq", "dcon", "dses"))
        elif row.get("svname") not in ("BACKEND", None):
            backends = found["backends"]
            backends[row["svname"]] = backends.get(row["svname"], 0) + _number(row, "stot")
    return found


def _number(row: dict[str, str], name: str) -> int:
    return int(row.get(name) or 0)


def limit_descriptors() -> None:
    """HAProxy reckons from this limit how many connections it takes, and sets aside memory for as many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Run until the standard input ends."""
    limit_descriptors()
    haproxy = HAProxy()
    with open(STATES, "w") as file:  # noqa: PTH123
        file.write("1\n")  # the format's version, and nothing known yet
    try:
        haproxy.start()
    except Failed as reason:
        fail(reason)
    running()
    loop = Loop()
    loop.every(0.25, haproxy.look)
    loop.every(1.0, haproxy.count)
    try:
        loop.run(haproxy.replace)
    finally:
        haproxy.end()
