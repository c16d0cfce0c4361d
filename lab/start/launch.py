"""Starts and stops labs from outside: spawns the sandbox, follows the build, ends it again."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lab.access import holders
from lab.failure import Exit, Failure
from lab.naming import CLOSING
from lab.start import suspended

if TYPE_CHECKING:
    from dataplane.sandbox.sandbox import Sandbox
    from lab.start.inside import Order

GRACE = 2.0
"""Seconds to wait after SIGTERM before the supervisor's sandbox is killed."""


CLOSING_PATIENCE = 20.0
"""Seconds for a lab to write its storage out."""
_MOMENT = 0.3
"""Seconds after which we look for the reason why a lab does not end."""


class Interrupted(BaseException):
    """Ctrl-C. It is no Exception, so that error handling does not catch it."""


@dataclass
class Launched:
    """A lab that is up, and ends when this process ends, unless it is detached.

    ``said`` is the supervisor's report: name, sizes, probe, datapath, flows.
    """

    sandbox: Sandbox
    notes: tuple[str, ...]
    said: dict[str, Any]

    def detach(self) -> None:
        """Let the lab run when this process ends."""
        try:
            self.sandbox.status.sendall(b"detach\n")
        except OSError:
            raise Failure(
                "the lab ended as soon as it was up", "was it stopped from elsewhere?", Exit.LOST
            ) from None
        finally:
            self.sandbox.close()

    def stop(self) -> None:
        """End the lab and wait until nothing of it remains; its storage is written out before."""
        from dataplane.hosts.cgroups import removed_after

        with removed_after(self.sandbox.pid):
            if self.said.get("closes"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.sandbox.pid, signal.SIGTERM)
                self.sandbox.wait(CLOSING_PATIENCE)
            if not self.sandbox.kill(_MOMENT):
                suspended.go_on(self.sandbox.init)
                self.sandbox.kill(10.0)
        self.sandbox.close()


@contextlib.contextmanager
def _no_interrupt_before(sandbox: list[Sandbox]) -> Iterator[Callable[[], None]]:
    """Delay Ctrl-C while the sandbox is created, until we hold it.

    Yields a function to call when we hold the sandbox: it raises a delayed Ctrl-C.
    """
    pending = False

    def strike(_number: int, _frame: FrameType | None) -> None:
        nonlocal pending
        pending = True
        if sandbox:
            raise Interrupted

    def held() -> None:
        if pending:
            raise Interrupted

    before = signal.signal(signal.SIGINT, strike)
    try:
        yield held
        if pending:
            raise Interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def launch(order: Order, follow: Callable[[dict[str, Any]], None]) -> Launched:
    """Build the lab; ``follow`` gets each stage's message, and the progress of ``probing``.

    If it fails, nothing of the lab remains.
    """
    from dataplane.sandbox.errors import SandboxError
    from dataplane.sandbox.sandbox import spawn

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    log = os.memfd_create("supervisor.log")
    held: list[Sandbox] = []

    def body(status_fd: int) -> None:
        from lab.start import inside as supervisor

        _close_all_but(listener.fileno(), log, status_fd)
        supervisor.main(order, listener, log, status_fd)

    try:
        with _no_interrupt_before(held) as now_held:
            try:
                held.append(spawn(body, log=log))
            except SandboxError as error:
                raise Failure(error.what, error.remedy, Exit.MACHINE) from None
            finally:
                listener.close()
            now_held()
            said = _follow(held[0], log, follow)
    except BaseException:
        for sandbox in held:
            sandbox.kill(10.0)
            sandbox.close()
        raise
    finally:
        os.close(log)
    return Launched(held[0], held[0].notes, said)


def _close_all_but(*kept: int) -> None:
    """Close the caller's descriptors: a lab in the background must not hold the caller's locks and pipes."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, 1 << 20)


def _follow(sandbox: Sandbox, log: int, follow: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    # The supervisor writes nothing before it reads this: ``spawn`` could take it for its own message.
    with contextlib.suppress(OSError):  # it has already ended: its last message can still be read
        sandbox.status.sendall(b"go\n")
    buffer = b""
    said: dict[str, Any] = {}
    while True:
        try:
            data = sandbox.status.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Failure("the lab ended while it was being built", _last_words(log), Exit.LOST)
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "failed" in message:
                remedy = message["remedy"] or (_last_words(log) if message.get("unforeseen") else "")
                raise Failure(message["failed"], remedy, Exit(message["code"]))
            if "stage" in message or "probing" in message:
                follow(message)
                continue
            if "prepare" in message:
                from lab.start.preparing import prepare

                prepare(message["prepare"], lambda what: follow({"doing": what}))
                with contextlib.suppress(OSError):  # it has already ended: so will the stream
                    sandbox.status.sendall(b"prepared\n")
                continue
            said.update(message)
            if "taken" in message and holders.comes_before(message["name"], message["taken"]):
                raise Failure(
                    f"a lab named {message['name']!r} is running already",
                    f"choose another name with --name, or stop it: sdnlab down {message['name']}",
                )
            if "ready" in message:
                return said


def _last_words(log: int) -> str:
    size = os.fstat(log).st_size
    text = os.pread(log, 4096, max(0, size - 4096)).decode(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    return (
        f"its last words: {lines[-1].strip()}"
        if lines
        else "it was stopped from elsewhere (sdnlab down, or kill)"
    )


def stop(name: str, timeout: float = 10.0) -> None:
    """End the lab ``name``, even if it is being built or hangs, and wait until nothing of it remains.

    If another process ends it meanwhile, this is no error.
    """
    from dataplane.hosts.cgroups import removed_after
    from lab.access.client import supervisor_pid

    pid = supervisor_pid(name)
    with removed_after(pid):
        _end(name, pid, timeout)


def _end(name: str, pid: int, timeout: float) -> None:
    try:
        supervisor = os.pidfd_open(pid)
        first = parent(pid)
        init = os.pidfd_open(first)
    except (OSError, ValueError, IndexError):
        return  # it ended between two looks
    deadline = time.monotonic() + timeout
    try:
        signal.pidfd_send_signal(supervisor, signal.SIGTERM)
        ended = _ends(init, first, min(GRACE, timeout))
        if not ended and _closes(pid):
            deadline += CLOSING_PATIENCE
            ended = _ends(init, first, CLOSING_PATIENCE)
        if not ended:
            signal.pidfd_send_signal(init, signal.SIGKILL)
            suspended.go_on(first)
            if not select.select([init], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise Failure(
                    f"lab {name} doesn't end",
                    f"a process in it hangs in the kernel; see: ps --ppid {pid}",
                    Exit.LOST,
                )
    except ProcessLookupError:
        return
    finally:
        os.close(supervisor)
        os.close(init)


def _ends(init: int, pid: int, timeout: float) -> bool:
    """Whether the process of the pidfd ``init`` ends in time; commands that are suspended are continued."""
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        if select.select([init], [], [], min(_MOMENT, left))[0]:
            return True
        suspended.go_on(pid)
    return False


def _closes(pid: int) -> bool:
    """Whether the supervisor writes the lab's storage out."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == CLOSING
    return False


def parent(pid: int) -> int:
    """The parent of ``pid``: the sandbox's init, whose end is the end of every process inside."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
