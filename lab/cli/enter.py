"""Enters a running lab from outside: joins its namespaces, runs a command there, returns its exit code.

This needs no request to the supervisor, so it works even when the supervisor is busy.  The command is a child
of the caller, so it has the same terminal and the same job control.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import termios
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dataplane.hosts.driver import Door, HostError, MachineDriver, Place, folder_of
from dataplane.hosts.drivers import UnknownKind, driver
from dataplane.hosts.packages import how_to_install
from lab.cli.streams import ReaderGone
from lab.failure import Exit, Failure, unknown
from lab.naming import OWNER, owner
from linux import syscalls
from topologies.extensions import VARIABLE

NETNS = Path("/run/netns")
"""The folder, in the sandbox, of the hosts' and domains' network namespaces."""
MAP = Path("/run/sdnlab/map.json")
"""The file that maps names to namespaces; the supervisor writes it."""

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # what shells use, POSIX.1-2017, 2.8.2
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)


def join(pid: int, lab: str, network: bool = True) -> None:
    """Put the calling (single-threaded) process into the namespaces of the supervisor ``pid``.

    The PID namespace takes effect for children only.  Without ``network`` the caller stays in its own network
    namespace.  Raises Failure when the lab has ended or the kernel refuses.
    """
    flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    flags |= syscalls.CLONE_NEWNET if network else 0
    before = Path.cwd() if _has_cwd() else Path("/")
    try:
        handle = os.pidfd_open(pid)
        if not Path(f"/proc/{pid}/ns/user").samefile("/proc/self/ns/user"):
            flags |= syscalls.CLONE_NEWUSER
        syscalls.setns(handle, flags)
        os.close(handle)
    except (ProcessLookupError, FileNotFoundError):
        raise Failure(f"lab {lab} has ended", "", Exit.LOST) from None
    except PermissionError as error:
        raise Failure(
            f"can't enter lab {lab}: {error.strerror}",
            "enter it as the user who started it, outside any container or sandbox of your own",
            Exit.MACHINE,
        ) from None
    except OSError as error:
        raise Failure(
            f"can't enter lab {lab}: {error.strerror}", "Linux 5.8 or newer is needed", Exit.MACHINE
        ) from None
    try:
        os.chdir(before)  # joining a mount namespace moves the caller to its root
    except OSError:
        os.chdir("/")


def places() -> dict[str, dict[str, Any]]:
    """Once inside: host or switch name -> its ``netns`` file; for switches ``ovs``, the run directory."""
    try:
        where = json.loads(MAP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Failure("this lab is still being built", "try again in a moment", Exit.LOST) from None
    return dict(where)


def place_of(name: str) -> dict[str, Any]:
    """Once inside: the entry of a host or switch in ``places``. Raises Failure with the known names."""
    known = places()
    if name not in known:
        hosts = [other for other, entry in known.items() if is_host(entry)]
        raise unknown("host or switch", name, hosts, "hosts", " in this lab", among=list(known))
    return known[name]


def is_host(place: Mapping[str, Any]) -> bool:
    """Whether it is a host. Switches, domains, routers and functions belong to the lab itself."""
    return "kind" in place


def join_place(name: str) -> dict[str, str]:
    """From inside the lab, enter the network namespace of a switch, domain, router or function.

    ``/sys`` and the host name change, too.  Returns the environment for commands there.  Raises Failure with
    the known names if there is no such name.
    """
    place = place_of(name)
    if not place["netns"]:  # a user's own controller is where the supervisor is
        return {}
    try:
        handle = os.open(NETNS / place["netns"], os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise Failure("this lab is still being built", "try again in a moment", Exit.LOST) from None
    syscalls.setns(handle, syscalls.CLONE_NEWNET)
    os.close(handle)
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS)
        socket.sethostname(name)
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("sysfs", "/sys", "sysfs", 0)
    except OSError:
        pass  # only /sys/class/net and the prompt would show it; the network is right
    if place.get("hosts"):
        with contextlib.suppress(OSError):  # without it, names of other networks resolve too
            syscalls.mount(str(MAP.parent / place["hosts"]), "/etc/hosts", None, syscalls.MS_BIND)
    if "ovs" not in place:
        return {}
    return {"OVS_RUNDIR": place["ovs"], "OVS_DBDIR": place["ovs"], "OVS_LOGDIR": place["ovs"]}


_SHELL = ("/bin/sh", "-c", 'command -v "$0" >/dev/null && exec "$0"; exec /bin/sh')
"""Starts the user's shell, or another one: a container or virtual machine may not have it."""


def run_in(lab: str, pid: int, place: str, command: Sequence[str]) -> int:
    """Run ``command`` in a host or switch of the lab whose supervisor is ``pid``; its exit code.

    No words: a shell. The code is 128 + N when signal N ended it.  Raises Failure when the lab can't be
    entered.
    """
    join(pid, lab)
    where = place_of(place)
    door = _door(place, where) if is_host(where) else None

    def child() -> NoReturn:
        more = {"SDNLAB": lab, "SDNLAB_PLACE": place}
        shell = os.environ.get("SHELL") or "/bin/sh"
        if door is None:
            _execute(command or [shell], {**os.environ, **join_place(place), **more})
        door.run(command or [*_SHELL, shell], {**os.environ, **more}, _execute)

    return run(child)


def run_on_console(lab: str, pid: int, host: str, relay: Callable[[socket.socket, str], int]) -> int:
    """Run ``relay`` in a child with a stream to a machine's serial console; its exit code. Raises Failure."""
    join(pid, lab, network=False)
    where = place_of(host)
    machines = driver(where["kind"]) if is_host(where) else None
    if not isinstance(machines, MachineDriver):
        kind = where.get("kind", "switch or function")
        raise Failure(f"{host} has no console: it is a {kind}", f"a shell there: sdnlab exec {host}")
    path = machines.console(_place(host, where))

    def child() -> NoReturn:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            try:
                stream.connect(path)
            except OSError as error:
                raise Failure(f"the console of {host} can't be reached: {error.strerror}") from None
            os._exit(relay(stream, host))

    return run(child)


def _place(name: str, place: Mapping[str, Any]) -> Place:
    """A host's place, by its entry in ``places``."""
    names_file = str(MAP.parent / place["hosts"]) if place.get("hosts") else ""
    environment = tuple((key, value) for key, value in place.get("environment", ()))
    folder = folder_of(place["netns"], MAP.parent)
    name = place.get("host", name)  # of an interface
    return Place(name, place["kind"], place["netns"], names_file, folder, environment)


def _door(name: str, place: Mapping[str, Any]) -> Door:
    """The entrance to a host, for the caller's next children."""
    try:
        return driver(place["kind"]).door(_place(name, place))
    except UnknownKind as error:
        remedy = f"name the extension that has them as the lab's start did: {VARIABLE}=FILE sdnlab exec ..."
        raise Failure(str(error), remedy) from None
    except HostError as error:
        remedy = error.remedy or "try again: possibly the lab is still being built, or is changing"
        raise Failure(str(error), remedy, Exit.LOST) from None


def run_shell(lab: str, pid: int) -> int:
    """Run Mininet's shell in the lab whose supervisor is ``pid``; its exit code."""
    os.environ[OWNER] = str(owner())  # in the lab's user namespace, our user id is another one
    join(pid, lab, network=False)

    def child() -> NoReturn:
        from lab.cli import shell

        shell.main(lab)

    return run(child)


_SI_KERNEL = 0x80  # sigaction(2): of a terminal, not of kill(2)
_GROUP = 0.3
"""Seconds after which a signal that was sent to our whole process group has had its effect."""


_TYPED = (signal.SIGINT, signal.SIGQUIT)
_AWAITED = {signal.SIGCHLD, *_TYPED, *_FORWARDED}


def run(main: Callable[[], NoReturn]) -> int:
    """Run ``main`` in a child that dies with the caller, and wait for it as a shell would; its exit code.

    The code is 128 + N when signal N ended the child.  Signals that come from the fork on are for the child.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    modes = termios.tcgetattr(0) if os.isatty(0) else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    try:
        pid = os.fork()
        if pid == 0:
            _child(main, before)
        status = _wait(pid)
        if not os.WIFSIGNALED(status):
            return os.WEXITSTATUS(status)
        if modes is not None and os.tcgetpgrp(0) == os.getpgrp():
            with contextlib.suppress(termios.error):  # what was killed could not restore its terminal
                termios.tcsetattr(0, termios.TCSADRAIN, modes)
        return 128 + os.WTERMSIG(status)
    finally:
        while signal.sigtimedwait(_AWAITED, 0) is not None:  # the child got them, too, or has ended
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(main: Callable[[], NoReturn], mask: Iterable[int]) -> NoReturn:
    try:
        syscalls.hang_up_with_parent()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        main()
    except Failure as failure:
        from lab.cli import report

        report(failure)
        os._exit(failure.code)
    except ReaderGone:
        os._exit(128 + signal.SIGPIPE)
    except BaseException as error:
        sys.stderr.write(f"sdnlab: {error!r}\n")
        sys.stderr.flush()
    os._exit(Exit.FAILED)


def run_at(lab: str, pid: int, netns: str, work: Callable[[], int]) -> int:
    """Run ``work`` in a child, in the network namespace ``netns`` of the lab whose supervisor is ``pid``; its
    exit code."""
    join(pid, lab)

    def child() -> NoReturn:
        handle = os.open(NETNS / netns, os.O_RDONLY | os.O_CLOEXEC)
        syscalls.setns(handle, syscalls.CLONE_NEWNET)
        os.close(handle)
        code = work()
        sys.stderr.flush()
        os._exit(code)

    return run(child)


def _execute(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; a command must not inherit that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), dict(environment))
    except FileNotFoundError:
        remedy = how_to_install(command[0])
        sys.stderr.write(f"sdnlab: {command[0]}: no such command{'; ' if remedy else ''}{remedy}\n")
        code = _NOT_FOUND
    except (OSError, ValueError) as error:
        sys.stderr.write(f"sdnlab: {command[0]}: {getattr(error, 'strerror', None) or error}\n")
        code = _NOT_EXECUTABLE
    sys.stderr.flush()
    os._exit(code)


def _wait(pid: int) -> int:
    """Wait for the child ``pid``: signals are passed on, a stopped child stops the caller. Its status.

    A terminal sends Ctrl-C and Ctrl-\\ to the child as well, since it is in the same group.  A program may
    have sent the signal to us only: if the child still runs after ``_GROUP`` seconds, the signal is passed
    on.
    """
    due: dict[int, float] = {}
    while True:
        ended, status = os.waitpid(pid, os.WUNTRACED | os.WNOHANG)
        if ended and not os.WIFSTOPPED(status):
            break
        if ended:
            os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(pid, signal.SIGCONT)
        now = time.monotonic()
        for number in [signal_number for signal_number, at in due.items() if at <= now]:
            os.kill(pid, number)
            del due[number]
        left = min(due.values(), default=now + 3600.0) - now
        received = signal.sigtimedwait(_AWAITED, max(0.0, left))
        if received is None or received.si_signo == signal.SIGCHLD:
            continue
        if received.si_signo in _FORWARDED:
            os.kill(pid, received.si_signo)
        elif received.si_code != _SI_KERNEL:
            due.setdefault(received.si_signo, time.monotonic() + _GROUP)
    return status


def _has_cwd() -> bool:
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False
