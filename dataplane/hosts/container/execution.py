"""Runs a command in a running container, as a child of the calling process, and returns its exit code.

The runtime starts it and ends; the command has the standard streams of the caller themselves, who adopts
it (PR_SET_CHILD_SUBREAPER).  So neither a process that copies them stays, nor does the caller wait for what a
command leaves in the background.  Only a terminal needs the runtime for as long as the command runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from dataplane.hosts.container import runtime
from dataplane.hosts.container.bundle import exec_words
from dataplane.hosts.container.entrance import NAME, Files, become_hosts_root, files_of
from dataplane.hosts.driver import Place, unpacked
from linux import syscalls
from linux.readiness import readable

CARRIED = ("TERM", "COLORTERM", "SDNLAB", "SDNLAB_PLACE")
"""The caller's variables that a command in a container gets, beside those of the container."""
NOT_FOUND = 127
PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def run(
    place: Place,
    words: Sequence[str],
    variables: Mapping[str, str],
    execute: Callable[[list[str], dict[str, str]], NoReturn],
) -> int:
    """Run ``words`` in the container of the host at ``place``; its exit code.

    ``variables``: the caller's. ``execute`` replaces the process by a program: it is called when the command
    gets a terminal of its own, because the caller has one. Raises OSError.
    """
    files, runc = files_of(place.netns), runtime.program()
    more = {key: variables[key] for key in CARRIED if key in variables}
    more |= dict(place.environment)  # as changed since the container has started
    own = runtime.environment()
    become_hosts_root(files)
    os.chdir("/")
    if not has_program(files, words[0]):
        sys.stderr.write(f"sdnlab: {words[0]}: no such command in the container of {place.name}\n")
        sys.stderr.flush()
        return NOT_FOUND
    syscalls.hang_up_with_parent()  # a change of user has cleared it
    if os.isatty(0) and os.isatty(1):
        execute(exec_words(runc, str(files.state), NAME, words, more, ["--tty"]), own)
    record = files.state / f"exec-{os.getpid()}"
    detached = exec_words(runc, str(files.state), NAME, words, more, ["--detach", "--pid-file", str(record)])
    try:
        return _adopt(detached, own, record)
    finally:
        record.unlink(missing_ok=True)


def _adopt(runtime: Sequence[str], environment: Mapping[str, str], record: Path) -> int:
    """Let the runtime start the command, and wait for it; its exit code."""
    syscalls.adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until it is known whom they are for
    starting = os.fork()
    if starting == 0:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
                signal.signal(number, signal.SIG_DFL)
            os.execve(runtime[0], list(runtime), dict(environment))
        finally:
            os._exit(NOT_FOUND)
    code = os.waitstatus_to_exitcode(os.waitpid(starting, 0)[1])
    if code:
        return code if code > 0 else 128 - code
    pid = int(record.read_text())
    for number in PASSED_ON:
        signal.signal(number, lambda number, _frame: _pass_on(pid, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    with _ended_with_us(pid):
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _pass_on(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@contextlib.contextmanager
def _ended_with_us(pid: int) -> Iterator[None]:
    """Kill the command when we are killed: a process of its own waits for the end of a pipe, or of it."""
    handle = os.pidfd_open(pid)
    ours, held = os.pipe()
    guard = os.fork()
    if guard == 0:
        try:
            os.setsid()
            os.close(held)
            for fd in (0, 1, 2):
                os.close(fd)
            if readable([ours, handle]) == [ours]:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os._exit(0)
    os.close(ours)
    os.close(handle)
    try:
        yield
    finally:
        os.close(held)


def has_program(files: Files, program: str) -> bool:
    """Whether the container has ``program``. The caller is the hosts' root. Raises OSError.

    What is wrong with a file that is there, the runtime says.
    """
    process = json.loads((files.bundle / "config.json").read_text())["process"]
    path = next((word[5:] for word in process["env"] if word.startswith("PATH=")), os.defpath)
    first = files.alive()
    child = os.fork()
    if child == 0:
        present = True
        try:
            mounts = os.open(f"/proc/{first}/ns/mnt", os.O_RDONLY)
            syscalls.setns(mounts, syscalls.CLONE_NEWNS)
            os.chdir(process["cwd"])
            present = (
                os.path.lexists(program)
                if "/" in program
                else any(_runs(Path(folder, program)) for folder in path.split(":"))
            )
        finally:
            os._exit(0 if present else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _runs(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH))


def _become(words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    os.execve(words[0], list(words), dict(environment))


def main() -> NoReturn:
    """Run a command in a container. Arguments: ``PLACE COMMAND...``, a place as in ``driver.packed``."""
    text, *command = sys.argv[1:]
    place = unpacked(text)
    code = NOT_FOUND
    try:
        code = run(place, command, os.environ, _become)
    except (OSError, ValueError) as error:
        os.write(2, f"can't enter host {place.name}: {error}\n".encode())
    os._exit(code)
