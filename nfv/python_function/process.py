"""The instance's process of a user's function: owns the ports, starts the worker in its sandbox, writes
events.

Files: ``script.py``, and ``script.json`` with the file's name, ``packets`` (bytes or scapy), ``on_failure``.
A second worker loads a changed script, while the first one still works.  Then the first one releases the
ports; packets wait in the sockets meanwhile.  If the script does not load, nothing changes.

This process passes health probes on, beside the worker's queue.  If a worker hangs in one packet, the worker
and this process end.  The lab starts it again, after a delay that grows.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time

from linux import syscalls
from nfv import devices
from nfv.lines import say
from nfv.process import Failed, Loop, content, fail, running
from nfv.python_function import ports, prison
from nfv.python_function.life import LOOK, STUCK, Progress, Watch, script_line
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
"""An exit status for a signal is this plus the signal's number, as in shells."""
PATIENCE = 0.5
"""Timeout in seconds for a worker to finish its packet, or to report where it hangs."""
LOADING = 15.0
"""Timeout in seconds for loading a script."""


class Child:
    """A worker's process, from outside."""

    def __init__(self, source: str, described: dict[str, Any], opened: ports.Ends) -> None:
        self.file = str(described["file"])
        self.begun = time.monotonic()
        self.progress, self.watch = Progress(), Watch()
        own_end, control = os.pipe()
        news, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(control)
            os.close(news)
            _be_worker(source, described, opened, told, own_end, self.progress)
        os.close(own_end)
        os.close(told)
        self._control, self.news = control, news
        self._rest = b""
        self._status: int | None = None
        self.dump = ""
        """Its output other than messages: a stack, after a request for one."""
        self.counts: dict[str, int] = {}

    def go(self) -> None:
        """Give it the ports."""
        os.write(self._control, b"g")

    def read(self) -> list[dict[str, Any]] | None:
        """Its messages; None: it has ended."""
        try:
            data = os.read(self.news, LONGEST_LINE)
        except BlockingIOError:
            return []
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-LONGEST_LINE:]
        messages = []
        for line in lines:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                self.dump = (self.dump + line.decode(errors="replace") + "\n")[-LONGEST_LINE:]
                continue
            if isinstance(value, dict):
                messages.append(value)
        return messages

    def hangs_at(self) -> str | None:
        """The script's line in which a worker hangs; None: unknown."""
        self.dump = ""
        os.kill(self.pid, signal.SIGUSR1)
        deadline = time.monotonic() + PATIENCE
        poll = select.poll()
        poll.register(self.news, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            poll.poll(left * 1000)
            if self.read() is None or script_line(self.dump, self.file) is not None:
                break
        return script_line(self.dump, self.file)

    def end(self) -> int:
        """End it, with SIGKILL if necessary; its wait status."""
        if self._status is not None:
            return self._status
        os.close(self._control)
        poll = select.poll()
        poll.register(self.news, select.POLLHUP)
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            poll.poll(left * 1000)
            if self.read() is None:
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.news)
        self._status = os.waitpid(self.pid, 0)[1]
        return self._status


def _be_worker(
    source: str,
    described: dict[str, Any],
    opened: ports.Ends,
    told: int,
    control: int,
    progress: Progress,
) -> None:
    """In the child: enter the sandbox, then work. Never returns."""
    news = News(told)
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        if described["packets"] == "scapy":
            # its import needs many system calls, so it comes before the sandbox
            import scapy.all  # noqa: F401
        keep = {opened[0].fileno(), opened[1].fileno(), told, control}
        user, group = os.geteuid(), os.getegid()
        root = os.path.abspath(ROOT)  # noqa: PTH100
        prison.leave(user, group)
        inmate = os.fork()
        if inmate:
            # only the next child is in the new PID namespace; this process waits for it
            for fd in keep:
                os.close(fd)
            signal.signal(signal.SIGUSR1, lambda *_: os.kill(inmate, signal.SIGUSR1))
            code = os.waitstatus_to_exitcode(os.waitpid(inmate, 0)[1])
            os._exit(code if code >= 0 else SIGNALLED - code)
        syscalls.die_with_parent(signal.SIGKILL)
        os.setsid()  # a process group reaches across namespaces: kill(0) must mean this process alone
        prison.lock(root, keep)
    except BaseException as error:
        news.tell("failed", text=f"it can't be locked in: {type(error).__name__}: {error}; {REMEDY}")
        os._exit(1)
    serve(source, described, opened, news, control, progress)
    os._exit(0)


class Function:
    """A running user's function: the worker with the ports, and the next worker."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        os.makedirs(ROOT, exist_ok=True)  # noqa: PTH103
        self._ends, probes = ports.open_ports()
        for descriptor in probes.descriptors:
            loop.watch(descriptor, probes.pass_on)
        self._former = {"processed": 0, "dropped": 0, "exceptions": 0}
        self._child: Child | None = None
        self._coming: Child | None = None
        self.load()

    def load(self) -> None:
        """Start to load the present script in a new worker, which then gets the ports."""
        if self._coming is not None:
            self._drop(self._coming)
        described = json.loads(content("script.json"))
        child = self._coming = Child(content("script.py"), described, self._ends)
        self._loop.watch(child.news, lambda: self._news(child))

    def end_hung(self) -> None:
        """End a worker that hangs."""
        now = time.monotonic()
        coming, child = self._coming, self._child
        if coming is not None and now - coming.begun > LOADING:
            where = coming.hangs_at() or "it is not known where"
            self._drop(coming)
            self._refused(f"{coming.file}: it was not loaded within {LOADING:g} s ({where})")
        if child is not None and child.watch.stuck(child.progress.read(), now):
            where = child.hangs_at() or "it is not known where"
            self._drop(child)
            fail(f"{child.file}: process() did not return within {STUCK:g} s ({where})")

    def _take(self, child: Child) -> None:
        if self._child is not None:
            self._drop(self._child)
            for name in self._former:
                self._former[name] += self._child.counts.get(name, 0)
        self._child, self._coming = child, None
        child.go()
        running()

    def _refused(self, reason: str) -> None:
        """A script can't be loaded, and its worker has ended: the old worker continues."""
        self._coming = None
        if self._child is None:
            fail(reason)
        running(f"the changed script was not taken: {reason}")

    def _drop(self, child: Child) -> str:
        """End a worker; a text about how it ended."""
        self._loop.unwatch(child.news)
        return _how(child.end())

    def _news(self, child: Child) -> None:
        lines = child.read()
        if lines is None:
            how = self._drop(child)
            if child is not self._coming:
                fail(f"{child.file}: its process ended ({how})")
            self._refused(f"{child.file}: it ended while it was loaded ({how})")
            return
        for line in lines:
            kind = line.get("kind")
            if kind == "loaded" and child is self._coming:
                self._take(child)
            elif kind == "failed" and child is self._coming:
                if "traceback" in line:
                    say("exception", traceback=_text(line.get("traceback")))
                self._drop(child)
                self._refused(f"{child.file}: {_text(line.get('text'))}")
                return
            else:
                self._told(child, line)

    def _told(self, child: Child, line: dict[str, Any]) -> None:
        """Write a worker's message as an event, if it has the right form."""
        kind = line.get("kind")
        if kind == "exception":
            say("exception", traceback=_text(line.get("traceback")))
        elif kind == "print":
            say("log", message=_text(line.get("text")))
        elif kind == "counters":
            child.counts = {name: value for name in self._former if isinstance(value := line.get(name), int)}

    def count(self) -> None:
        """Report the counters."""
        counts = devices.counters()
        now = self._child.counts if self._child is not None else {}
        for name, value in self._former.items():
            counts[name] = counts.get(name, 0) + value + now.get(name, 0)
        say("counters", **counts)

    def end(self) -> None:
        """End the workers."""
        for child in (self._coming, self._child):
            if child is not None:
                child.end()


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
    loop.every(LOOK, function.end_hung)
    loop.every(1.0, function.count)
    try:
        loop.run(function.load)
    finally:
        function.end()
