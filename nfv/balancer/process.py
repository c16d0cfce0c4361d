"""The process around HAProxy: starts it, replaces it without losing connections, reports its counters.

For a changed configuration, a new HAProxy starts and gets the listening sockets of the old one (``-x``).  The
old one then finishes its connections and ends (``-sf``).
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
LOG = "haproxy.log"
START_SECONDS = 10.0
DESCRIPTORS = 40_000


class HAProxy:
    """The running HAProxy processes: the one that listens, and older ones with open connections."""

    def __init__(self) -> None:
        self._current: subprocess.Popen[bytes] | None = None
        self._former: list[subprocess.Popen[bytes]] = []
        self._up: dict[str, bool] = {}

    def start(self) -> None:
        """Start HAProxy, or replace the running one; if it fails, raises ``Failed``, and the running one
        continues."""
        # the address of a new interface may still be tentative (duplicate address detection)
        devices.set_sysctl("ipv6/ip_nonlocal_bind", 1)
        try:
            command(("haproxy", "-c", "-f", CONFIGURATION), "haproxy")
        except Failed as reason:
            raise Failed(first_alert(str(reason))) from None
        before = self._current
        options: list[str] = []
        if before is not None:
            with contextlib.suppress(OSError), open(STATES, "w") as file:  # noqa: PTH123
                file.write(ask("show servers state"))
            options = ["-x", SOCKET, "-sf", str(before.pid)]
        # HAProxy must not outlive this process, however that ends
        argv = ("setpriv", "--pdeathsig", "KILL", "haproxy", "-db", "-f", CONFIGURATION, *options)
        try:
            with open(LOG, "wb") as log:  # noqa: PTH123
                started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        except FileNotFoundError:
            raise Failed(missing("setpriv", "util-linux")) from None
        self._wait(started)
        if before is not None:
            self._former.append(before)
        self._current = started

    @staticmethod
    def _wait(started: subprocess.Popen[bytes]) -> None:
        """Wait until it answers at the socket."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                if f"Pid: {started.pid}\n" in ask("show info"):
                    return
            if started.poll() is not None:
                messages = " | ".join(content(LOG).splitlines())
                raise Failed(
                    f"haproxy ended at once with status {started.returncode}: {first_alert(messages)}"
                )
            if time.monotonic() > deadline:
                started.kill()
                started.wait()
                raise Failed(f"haproxy did not answer within {START_SECONDS:.0f} s")
            time.sleep(0.01)

    def replace(self) -> None:
        """Load a changed configuration."""
        try:
            self.start()
        except Failed as reason:
            running(f"the changed configuration was not taken: {reason}")
        else:
            running()

    def report_backends(self) -> None:
        """Report which backends went up or down; fail if HAProxy has ended."""
        assert self._current is not None
        self._former = [process for process in self._former if process.poll() is None]
        if self._current.poll() is not None:
            fail(f"haproxy ended with status {self._current.returncode}")
        with contextlib.suppress(OSError):
            health_of = backend_health(ask("show stat"))
            for name, (up, reason) in health_of.items():
                if self._up.get(name) is not up:
                    say("backend", backend=name, up=up, reason=reason)
            self._up = {name: up for name, (up, _) in health_of.items()}

    def count(self) -> None:
        """Report the counters."""
        with contextlib.suppress(OSError):
            say("counters", **{**devices.counters((HOST,)), **totals(ask("show stat"))})

    def end(self) -> None:
        """End HAProxy; open connections break."""
        for process in (*self._former, self._current):
            if process is not None:
                process.kill()
                process.wait()


def first_alert(messages: str) -> str:
    """The first alert of HAProxy's messages, which `` | `` separates; all of them if none is an alert."""
    alerts = [message for message in messages.split(" | ") if "[ALERT]" in message]
    return alerts[0].split(": ", 1)[-1] if alerts else messages


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
    """The rows of ``show stat`` by column. Only the last values contain commas, and we don't read those."""
    lines = [line for line in shown.splitlines() if line]
    if not lines:
        return []
    names = lines[0].lstrip("# ").split(",")
    return [dict(zip(names, line.split(","), strict=False)) for line in lines[1:]]


def backend_health(shown: str) -> dict[str, tuple[bool, str]]:
    """Whether each checked server is up, and the reason. ``shown``: the output of ``show stat``."""
    health_of = {}
    for row in table(shown):
        if row.get("pxname") != ALL or row.get("svname") in ("FRONTEND", "BACKEND", None):
            continue
        status = row.get("check_status", "").lstrip("* ")
        if status in ("", "INI", "UNK"):
            continue
        health_of[row["svname"]] = (row["status"].startswith("UP"), reason(row, status))
    return health_of


def reason(row: dict[str, str], status: str) -> str:
    """HAProxy's result of a check, with its explanation: ``L4CON: Connection refused``."""
    said = row.get("last_chk", "").strip('"') or row.get("check_desc", "").strip('"')
    return f"{status}: {said}" if said else status


def totals(shown: str) -> dict[str, Any]:
    """Connections in all and now, requests, refused ones, and the connections of each backend."""
    rows = table(shown)
    counts: dict[str, Any] = {"connections": 0, "current": 0, "dropped": 0, "backends": {}}
    for row in rows:
        if row.get("svname") == "FRONTEND":
            counts["connections"] += _number(row, "stot")
            counts["requests"] = _number(row, "req_tot")
            counts["current"] += _number(row, "scur")
            counts["dropped"] += sum(_number(row, name) for name in ("dreq", "dcon", "dses"))
        elif row.get("svname") not in ("BACKEND", None):
            backends = counts["backends"]
            backends[row["svname"]] = backends.get(row["svname"], 0) + _number(row, "stot")
    return counts


def _number(row: dict[str, str], name: str) -> int:
    return int(row.get(name) or 0)


def limit_descriptors() -> None:
    """The limit of open files. HAProxy accepts as many connections as it allows, and reserves memory for
    them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


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
    loop.every(0.25, haproxy.report_backends)
    loop.every(1.0, haproxy.count)
    try:
        loop.run(haproxy.replace)
    finally:
        haproxy.end()
