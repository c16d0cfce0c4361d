"""QEMU as a process: in the host's network namespace, as a user without rights, ended by the lab.

It is a child of the supervisor and in its PID namespace, so it ends with the lab, also when the lab is
killed.  It is root of the hosts' user namespace without any capability: to the machine, a user that owns
nothing (``dataplane.hosts.users``). A guest that breaks out of QEMU is no further than a command in a host.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from dataplane.hosts.capabilities import confine
from dataplane.sandbox.namespaces import Namespace
from linux import syscalls

KVM = Path("/dev/kvm")
MOST_WORDS = 4096
"""Bytes of what QEMU wrote that are kept."""


class Process:
    """A running QEMU. ``ended`` is called from a thread, once, with the reason as text."""

    def __init__(self, popen: subprocess.Popen[bytes], words: int, ended: Callable[[str], None]) -> None:
        self._popen = popen
        self._words = words
        self._ended = ended
        self._asked = False
        self.pid = popen.pid
        threading.Thread(target=self._wait, name=f"qemu-{popen.pid}", daemon=True).start()

    def kill(self) -> None:
        """End it. ``ended`` is still called, with an empty text."""
        self._asked = True
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(signal.SIGKILL)

    def expect_end(self) -> None:
        """It will end because somebody wants it: then ``ended`` gets an empty text."""
        self._asked = True

    def wait(self, timeout: float) -> bool:
        """Whether it ends within so many seconds."""
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _wait(self) -> None:
        code = self._popen.wait()
        said = os.pread(self._words, MOST_WORDS, max(0, os.fstat(self._words).st_size - MOST_WORDS))
        os.close(self._words)
        self._ended("" if self._asked else reason(code, said.decode(errors="replace")))


def reason(code: int, words: str) -> str:
    """Why QEMU ended by itself. ``code``: of subprocess, -N for signal N. ``words``: what it wrote."""
    if code < 0:
        number = -code
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return f"QEMU was killed ({name})"
    lines = [line for line in words.splitlines() if line.strip()]
    if code == 0:
        return "it was switched off from inside"
    return f"QEMU ended: {lines[-1].strip() if lines else f'exit code {code}'}"


def start(
    words: Sequence[str],
    space: Namespace,
    descriptors: Sequence[int],
    ended: Callable[[str], None],
    kvm: bool,
) -> Process:
    """Start QEMU with the arguments ``words`` in the namespace. ``descriptors`` stay the caller's.

    ``kvm``: it opens /dev/kvm, and keeps the lab's user if only that one may. Raises OSError.
    """
    owner = syscalls.owner_of(space.fd)
    as_host = not _same(owner, Path("/proc/self/ns/user")) and (not kvm or _for_all(KVM))

    def enter() -> None:
        syscalls.setns(space.fd, syscalls.CLONE_NEWNET)
        if as_host:
            syscalls.setns(owner, syscalls.CLONE_NEWUSER)
            with contextlib.suppress(OSError):  # forbidden where one id alone is mapped
                os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        confine(frozenset())
        syscalls.forbid_new_privileges()

    said = os.memfd_create("qemu", os.MFD_CLOEXEC)
    try:
        popen = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=descriptors,
            preexec_fn=enter,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        )
    except subprocess.SubprocessError as error:
        os.close(said)
        raise OSError(f"the system does not let QEMU enter its namespaces: {error}") from None
    except BaseException:
        os.close(said)
        raise
    finally:
        os.close(owner)
    return Process(popen, said, ended)


def _same(namespace: int, other: Path) -> bool:
    return os.fstat(namespace).st_ino == other.stat().st_ino


def _for_all(device: Path) -> bool:
    try:
        return device.stat().st_mode & 0o006 == 0o006
    except OSError:
        return False
