"""The instance's process of a user's function: owns the ports, starts the worker behind its walls, and tells.

Files: ``script.py``, and ``script.json`` with the file's name, ``packets`` (bytes or scapy), ``on_failure``.
A changed script is loaded by a second worker beside the first, which then lets go of the ports: packets wait
in the sockets meanwhile, and a script that does not load changes nothing.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time

from nfv import devices
from nfv.lines import say
from nfv.process import Failed, Loop, content, fail, running
from nfv.python_function import ports, prison, syscalls
from nfv.python_function.worker import LONGEST_TEXT, News, serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOT = "root"
REMEDY = (
    "a user's script runs only behind walls, which need user namespaces (sysctl user.max_user_namespaces,"
    " and on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0) and Linux 5.12 or newer"
)
LONGEST_LINE = 1 << 16
SIGNALLED = 128
"""What shells add to a signal's number, and so do we, to make an exit status of it."""
PATIENCE = 0.5
"""Seconds that a worker gets to finish its packet."""


class Child:
    """A worker's process, from outside."""

    def __init__(
        self, source: str, described: dict[str, Any], opened: tuple[socket.socket, socket.socket, int]
    ) -> None:
        self.file = str(described["file"])
        own_end, control = os.pipe()
        news, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(control)
            os.close(news)
            _be_worker(source, described, opened, told, own_end)
        os.close(own_end)
        os.close(told)
        self._control, self.news = control, news
        self._rest = b""
        self.counts: dict[str, int] = {}

    def go(self) -> None:
        """Let it take the ports."""
        os.write(self._control, b"g")

    def read(self) -> list[dict[str, Any]] | None:
        """What it told; None: it has ended."""
        try:
            data = os.read(self.news, LONGEST_LINE)
        except BlockingIOError:
            return []
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-LONGEST_LINE:]
        found = []
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                found.append(value)
        return found

    def end(self) -> int:
        """End it, by force if it does not hear; its status as wait gives it."""
        os.close(self._control)
        poll = select.poll()
        poll.register(self.news, select.POLLHUP)
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            poll.poll(left * 1000)
            if self.read() is None:
                break
        else:
            os.kill(self.pid, syscalls.SIGKILL)
        os.close(self.news)
        return os.waitpid(self.pid, 0)[1]


def _be_worker(
    source: str,
    described: dict[str, Any],
    opened: tuple[socket.socket, socket.socket, int],
    told: int,
    control: int,
) -> None:
    """In the child: lock in, then serve. Never returns."""
    news = News(told)
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, syscalls.SIGKILL)
        if described["packets"] == "scapy":
            # its import asks the system for much, so it comes before the walls
            import scapy.all  # noqa: F401
        keep = {opened[0].fileno(), opened[1].fileno(), told, control}
        user, group = os.geteuid(), os.getegid()
        root = os.path.abspath(ROOT)  # noqa: PTH100
        prison.leave(user, group)
        inmate = os.fork()
        if inmate:
            # only the first process of the new PID namespace is inside it; this one is its shell
            for fd in keep:
                os.close(fd)
            code = os.waitstatus_to_exitcode(os.waitpid(inmate, 0)[1])
            os._exit(code if code >= 0 else SIGNALLED - code)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, syscalls.SIGKILL)
        os.setsid()  # a process group reaches across namespaces: kill(0) must mean this process alone
        if not prison.lock(root, keep):
            news.tell("unfiltered")
    except BaseException as error:
        news.tell("failed", text=f"it can't be locked in: {type(error).__name__}: {error}; {REMEDY}")
        os._exit(1)
    serve(source, described, opened, news, control)
    os._exit(0)


class Function:
    """A running user's function."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        os.makedirs(ROOT, exist_ok=True)  # noqa: PTH103
        self._ports = ports.open_ports()
        self._note: str | None = None
        self._former = {"processed": 0, "dropped": 0, "exceptions": 0}
        self._child = self._started()
        self._take()

    def _started(self) -> Child:
        """A worker that has loaded the script; raises ``Failed`` if it can't."""
        described = json.loads(content("script.json"))
        child = Child(content("script.py"), described, self._ports)
        poll = select.poll()
        poll.register(child.news, select.POLLIN)
        while True:
            poll.poll()
            lines = child.read()
            for line in lines or ():
                if line.get("kind") == "loaded":
                    return child
                if line.get("kind") == "failed":
                    child.end()
                    if "traceback" in line:
                        say("exception", traceback=_text(line.get("traceback")))
                    raise Failed(f"{child.file}: {_text(line.get('text'))}")
                self._told(child, line)
            if lines is None:
                status = child.end()
                raise Failed(f"{child.file}: it ended while it was loaded ({_how(status)})")

    def _take(self) -> None:
        self._loop.watch(self._child.news, self._news)
        self._child.go()

    def replace(self) -> None:
        """Take a changed script."""
        try:
            child = self._started()
        except Failed as reason:
            running(f"the changed script was not taken: {reason}")
            return
        self._loop.unwatch(self._child.news)
        self._child.end()
        for name in self._former:
            self._former[name] += self._child.counts.get(name, 0)
        self._child = child
        self._take()
        self.say_running()

    def say_running(self) -> None:
        running(self._note)

    def _news(self) -> None:
        lines = self._child.read()
        if lines is None:
            self._loop.unwatch(self._child.news)
            fail(f"{self._child.file}: its process ended ({_how(self._child.end())})")
        for line in lines:
            self._told(self._child, line)

    def _told(self, child: Child, line: dict[str, Any]) -> None:
        """Say what a worker told, as far as it is of the form that it should have."""
        kind = line.get("kind")
        if kind == "exception":
            say("exception", traceback=_text(line.get("traceback")))
        elif kind == "print":
            say("log", message=_text(line.get("text")))
        elif kind == "unfiltered":
            self._note = "system calls can't be filtered on this kind of machine; the other walls stand"
        elif kind == "counters":
            child.counts = {name: value for name in self._former if isinstance(value := line.get(name), int)}

    def count(self) -> None:
        """Say the counters."""
        found = devices.counters()
        for name, value in self._former.items():
            found[name] = found.get(name, 0) + value + self._child.counts.get(name, 0)
        say("counters", **found)

    def end(self) -> None:
        self._child.end()


def _text(value: object) -> str:
    return str(value)[:LONGEST_TEXT]


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code < 0 or code > SIGNALLED:
        return f"signal {-code if code < 0 else code - SIGNALLED}"
    return f"status {code}"


def main() -> None:
    """Run until the standard input ends."""
    loop = Loop()
    try:
        function = Function(loop)
    except Failed as reason:
        fail(reason)
    except OSError as error:
        fail(f"its ports can't be opened: {error}")
    function.say_running()
    loop.every(1.0, function.count)
    try:
        loop.run(function.replace)
    finally:
        function.end()
