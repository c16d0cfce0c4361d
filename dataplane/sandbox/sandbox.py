"""A sandbox: private namespaces below one init process, so that the kernel does the clean-up.

``spawn(main)`` starts two processes in new mount, PID, network, IPC and UTS namespaces (and, for an ordinary
user, in a new user namespace as its root): an init (PID 1) that only reaps orphans, and the supervisor that
runs ``main``. They are two processes, so that the supervisor can use ``subprocess`` and ``waitpid`` freely,
and orphans don't stay zombies.  When either dies, even by SIGKILL, the kernel kills every process inside.
With the last process, the namespaces, mounts and devices end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dataplane.sandbox.errors import SandboxError, explain, system_facts
from dataplane.sandbox.sockets import close_side_by_side, processes, taken_over
from linux import syscalls
from linux.readiness import readable

NAMESPACES = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
)
CARRIED = ("/run/user", "/sys/fs/cgroup")
"""The old mounts that stay visible: the user's X authority, and the control groups."""


@dataclass
class Sandbox:
    """A running sandbox, seen from outside; the caller owns the descriptors.

    ``pid`` is the supervisor's process id and ``init`` that of PID 1, both in the caller's PID namespace;
    ``status`` is a stream from the supervisor's ``main`` (which has the other end); ``notes`` are texts about
    what the system refused and what is used instead.  A supervisor that has already ended has no descriptor;
    its output can still be read from ``status``.
    """

    pid: int
    init: int
    status: socket.socket
    notes: tuple[str, ...] = ()
    _pidfd: int = -1
    _helper: int | None = field(default=None, repr=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait (seconds; None: forever) until every process inside has ended; whether they have."""
        ready = self._pidfd < 0 or bool(readable([self._pidfd], timeout))
        if ready and self._helper is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._helper, 0)
            self._helper = None
        return ready

    def kill(self, timeout: float | None = None) -> bool:
        """End the sandbox by SIGKILL; whether it has ended within ``timeout`` seconds."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        return self.wait(timeout)

    def close(self) -> None:
        """Close the descriptors; the sandbox stays."""
        self.status.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def nothing() -> None:
    """Do nothing."""


def spawn(
    main: Callable[[int], None],
    *,
    tied: bool = False,
    log: int | None = None,
    hostname: str | None = None,
    last: Callable[[], None] = nothing,
    door: Callable[[], None] | None = None,
) -> Sandbox:
    """Run ``main(status_fd)`` as the supervisor of a new sandbox and return when it has been entered.

    The caller should have one thread.  The sandbox stays when the caller ends, in a session of its own; if
    ``tied``, it ends with the caller.  Its stdin is /dev/null, stdout and stderr go to descriptor ``log``
    (None: the caller's if tied, otherwise /dev/null).  Other descriptors are inherited.

    The init calls ``last``, without any descriptors, when all other processes inside have ended.  It is for
    what does not end with them.

    ``door`` runs in a process of its own inside, which stays in the caller's network namespace and sees the
    caller's mounts (see ``dataplane.sandbox.door``).

    Raises ``SandboxError`` (what failed, and the remedy) if the system refuses a step.
    """
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    sys.stdout.flush()
    sys.stderr.flush()
    caller = os.getpid()
    helper = os.fork()
    if helper == 0:
        ours.close()
        _guarded(theirs, lambda: _helper(main, theirs, caller, tied, log, hostname, last, door))
    theirs.close()
    try:
        reports: dict[str, tuple[int, dict[str, object]]] = {}
        buffer = b""
        while "ready" not in reports:
            data, pid = _receive(ours)
            if not data:
                break
            buffer += data
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                report = json.loads(line)
                reports[report.pop("is")] = (pid, report)
        if "error" in reports or "ready" not in reports:
            os.waitpid(helper, 0)
            raise _error(reports.get("error", (0, {}))[1])
    except BaseException:
        ours.close()
        raise
    if not tied:
        os.waitpid(helper, 0)
    init, said = reports["init"]
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    try:
        pidfd = os.pidfd_open(init)
    except ProcessLookupError:
        pidfd = -1
    notes = tuple(str(note) for note in said["notes"]) if isinstance(said["notes"], list) else ()
    return Sandbox(reports["ready"][0], init, ours, notes, pidfd, helper if tied else None)


def _receive(stream: socket.socket) -> tuple[bytes, int]:
    """Receive one byte and its sender's process id (only one, because ``main``'s output may follow).

    SCM_CREDENTIALS: the kernel translates the id into the receiver's PID namespace.
    """
    data, ancillary, _, _ = stream.recvmsg(1, socket.CMSG_SPACE(12))
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return data, struct.unpack("=iii", payload[:12])[0]
    return data, 0


def _error(report: dict[str, object]) -> SandboxError:
    stage, errno = str(report.get("stage", "start")), int(str(report.get("errno", 0)))
    what, remedy = explain(stage, errno, system_facts())
    return SandboxError(f"{what} ({report.get('message', 'the process ended')})", remedy)


class _Stage(Exception):
    """A named stage of entering the sandbox failed."""

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(name)
        self.name, self.error = name, error


def _say(stream: socket.socket, kind: str, **more: object) -> None:
    stream.sendall(json.dumps({"is": kind, **more}).encode() + b"\n")


def _guarded(stream: socket.socket, body: Callable[[], None]) -> None:
    """Run ``body`` in a forked process, which must never return into the caller's code."""
    try:
        body()
    except _Stage as stage:
        with contextlib.suppress(OSError):
            _say(stream, "error", stage=stage.name, errno=stage.error.errno, message=str(stage.error))
    except BaseException as error:
        with contextlib.suppress(OSError):
            _say(stream, "error", stage="start", errno=0, message=repr(error))
    finally:
        os._exit(1)


def _stage(name: str, action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        raise _Stage(name, error) from error


def _helper(
    main: Callable[[int], None],
    stream: socket.socket,
    caller: int,
    tied: bool,
    log: int | None,
    hostname: str | None,
    last: Callable[[], None],
    door: Callable[[], None] | None,
) -> None:
    """The intermediate process: makes the new namespaces; its child is the first process in them."""
    os.setsid()
    _redirect(log, tied)
    _enter_namespaces(NAMESPACES if door is None else NAMESPACES & ~syscalls.CLONE_NEWNET)
    if tied:
        syscalls.die_with_parent(signal.SIGKILL)
        if os.getppid() != caller:
            os._exit(1)
    init = os.fork()
    if init == 0:
        if tied:
            syscalls.die_with_parent(signal.SIGKILL)
        _guarded(stream, lambda: _init(main, stream, hostname, last, door))
    stream.close()
    if tied:
        os.closerange(0, 3)
        os.waitpid(init, 0)
    os._exit(0)


def _redirect(log: int | None, tied: bool) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    output = log if log is not None else None if tied else null
    if output is not None:
        os.dup2(output, 1)
        os.dup2(output, 2)
    os.close(null)


def _enter_namespaces(kinds: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        try:
            syscalls.unshare(kinds)
            return
        except PermissionError:
            pass  # a container's root without CAP_SYS_ADMIN: a user namespace may still be allowed
        except OSError as error:
            raise _Stage("namespaces", error) from error
    syscalls.make_dumpable()
    _stage("user namespace", lambda: syscalls.unshare(syscalls.CLONE_NEWUSER))

    def map_ids() -> None:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")

    _stage("id map", map_ids)
    _stage("namespaces", lambda: syscalls.unshare(kinds))


def _init(
    main: Callable[[int], None],
    stream: socket.socket,
    hostname: str | None,
    last: Callable[[], None],
    door: Callable[[], None] | None,
) -> None:
    """PID 1: prepare the mounts, start the supervisor, reap, and end when the supervisor does."""
    if door is not None:
        if os.fork() == 0:
            _stay_outside(door)
        _stage("namespaces", lambda: syscalls.unshare(syscalls.CLONE_NEWNET))
    notes = _prepare_mounts()
    if hostname:
        with contextlib.suppress(OSError):
            socket.sethostname(hostname[:64])
    _say(stream, "init", notes=notes)
    supervisor = os.fork()
    if supervisor == 0:
        _say(stream, "ready")
        _supervise(main, stream)
    syscalls.name_process("sdnlab-init")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)  # which the kernel makes PID 1 ignore
    os.closerange(0, 1 << 20)  # hold nothing open that the supervisor closes
    while True:
        pid, status = os.wait()
        if pid == supervisor:
            break
    with contextlib.suppress(Exception):  # nobody reads what went wrong
        _end_all_others()
        last()
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _stay_outside(door: Callable[[], None]) -> None:
    """Run ``door`` in the process that stays in the caller's network namespace."""
    try:
        door()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _end_all_others() -> None:
    """Kill all processes of the PID namespace of the caller, its PID 1, and wait for those inside."""
    kept = taken_over(processes())
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    close_side_by_side(kept)


def _supervise(main: Callable[[int], None], stream: socket.socket) -> None:
    code = 1
    try:
        main(stream.detach())
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _prepare_mounts() -> list[str]:
    """Set private propagation, mount new /proc and /sys if allowed, and an own tmpfs on /run."""
    notes: list[str] = []
    carried = []
    for path in CARRIED:
        with contextlib.suppress(OSError):
            carried.append((path, os.open(path, os.O_PATH | os.O_DIRECTORY)))
    private = syscalls.MS_REC | syscalls.MS_PRIVATE
    _stage("mount propagation", lambda: syscalls.mount("none", "/", None, private))
    plain = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    for kind, path, loss in (
        ("proc", "/proc", "the processes of the whole machine stay visible inside the lab"),
        ("sysfs", "/sys", "/sys/class/net shows the machine's devices instead of the lab's"),
    ):
        try:
            syscalls.mount(kind, path, kind, plain)
        except OSError as error:
            # In containers, parts of /proc and /sys are masked, and the kernel refuses an unmasked copy.
            notes.append(f"no fresh {path} ({error.strerror}): {loss}")
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
    _stage("tmpfs", lambda: syscalls.mount("sdnlab", "/run", "tmpfs", flags, "mode=0755"))
    for path, fd in carried:
        with contextlib.suppress(OSError):
            Path(path).mkdir(parents=True, exist_ok=True)
            syscalls.mount(f"/proc/self/fd/{fd}", path, None, syscalls.MS_BIND | syscalls.MS_REC)
        os.close(fd)
    return notes
