"""Starting functions' processes in their instances' namespaces, and ending them.

A process is started from a plain description: what to run, files, a directory.  It gets the instance's
network namespace, and a mount namespace of its own in which /sys shows its devices and, of the lab's run
directory, only its own part is to be seen.  Its standard input and output are pipes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from dataplane.netlink.route import NetlinkError, Socket, delete_link
from dataplane.netlink.shaping import remove as unshape
from dataplane.sandbox.namespaces import run_in
from linux import syscalls

LOG = "function.log"
"""Where a process's standard error goes, in its directory."""
HIDDEN = ("/run/netns", "/run/openvswitch")
"""Ways to the rest of the lab."""
OWN = ("in", "out", "tap", "eth0")
"""Devices that belong to an instance, whatever runs in it."""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/",
    "LANG": "C.UTF-8",
}
"""All that a process sees of an environment: whoever started the lab has secrets in theirs."""
NOTHING_THERE = frozenset({errno.ENOENT, errno.EINVAL})
"""What the kernel says of a queueing discipline that is not there."""


class FunctionError(Exception):
    """A function's process can't be started; the message says why."""


class FunctionProcess:
    """A function's running process. ``directory`` is its own, which outlives it.

    ``output`` is for the caller to read, to its end. ``netns`` (a descriptor, which stays the caller's) is
    where it runs: with the process ends what it has made the kernel do there.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], directory: Path, netns: int, log_begin: int = 0
    ) -> None:
        self.process = process
        self.directory = directory
        self._log_begin = log_begin
        # Its own, since the namespace may be given up before the process has ended.
        self._netns = os.dup(netns)

    @property
    def pid(self) -> int:
        """Its process id; 0 when it has ended."""
        return self.process.pid if self.process.poll() is None else 0

    @property
    def output(self) -> IO[bytes]:
        """Its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def last_words(self) -> str:
        """The last line that it wrote to its standard error, of at most 300 characters; empty: none."""
        with contextlib.suppress(OSError), (self.directory / LOG).open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_begin, size - 4096))
            lines = log.read().decode(errors="replace").splitlines()
            words = next((line.strip() for line in reversed(lines) if line.strip()), "")
            return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in words)[
                -300:
            ]
        return ""

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files into its directory."""
        write_files(self.directory, files)

    def tell(self, line: bytes) -> bool:
        """Write a command line to its standard input; False when it listens no more."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def ask_to_end(self) -> None:
        """End its standard input, which asks it to end."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.close()

    def kill(self) -> None:
        """End it, and what it has started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Wait for its end; its exit code, negative for a signal. What it had started ends, too.

        So does what the kernel does for it: else a bridge would forward on, and who asks would be told that
        the function does not run.
        """
        code = self.process.wait()
        self.kill()
        netns, self._netns = self._netns, -1
        if netns >= 0:
            with contextlib.suppress(OSError, NetlinkError):  # the lab may be going, too
                run_in(netns, _clean)
            os.close(netns)
        return code

    def end(self, patience: float = 1.0) -> int:
        """Ask it to end, and kill it when it has not after ``patience`` seconds; its exit code."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.kill()
        return self.reap()


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Make ``files`` be what ``directory`` holds of such names, each all at once (rename(2)).

    Names are relative and stay inside. Raises FunctionError for one that does not.
    """
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise FunctionError(f"a function's file can't be called {name!r}")
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, new = tempfile.mkstemp(dir=target.parent, prefix=".new-")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            os.fchmod(stream.fileno(), 0o644)
        Path(new).replace(target)


def start(
    netns: int, directory: Path, argv: Sequence[str], files: Mapping[str, bytes], visible: Path
) -> FunctionProcess:
    """Start ``argv`` in the network namespace ``netns`` (a descriptor) and in ``directory``.

    ``visible``: the lab's run directory, of which it sees ``directory`` alone. What it writes to its
    standard error goes to ``function.log`` there. Raises FunctionError.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_files(directory, files)
        with (directory / LOG).open("ab") as log:
            begin = log.seek(0, os.SEEK_END)
            process = run_in(netns, lambda: _start(directory, argv, log.fileno(), visible))
            return FunctionProcess(process, directory, netns, begin)
    except OSError as error:
        raise FunctionError(f"can't start {argv[0]}: {error.strerror or error}") from None


def remove(directory: Path) -> None:
    """Remove what an instance leaves behind."""
    shutil.rmtree(directory, ignore_errors=True)


def _start(directory: Path, argv: Sequence[str], log: int, visible: Path) -> subprocess.Popen[bytes]:
    """In a thread of its own, which is in the network namespace already and ends after this."""
    _clean()
    _own_mounts(directory, visible)
    pipe = subprocess.PIPE
    # A session of its own: its process group is all that it starts, and ends with it.
    return subprocess.Popen(
        list(argv),
        cwd=directory,
        env=ENVIRONMENT,
        stdin=pipe,
        stdout=pipe,
        stderr=log,
        start_new_session=True,
    )


def _clean() -> None:
    """Take away what an earlier process has left in the network namespace: devices, queueing disciplines.

    Its rules (nftables) are for the process to replace, in one step.
    """
    netlink = Socket()
    try:
        for index, name in socket.if_nameindex():
            if name in OWN:
                netlink.run([unshape(index)], NOTHING_THERE)
            elif name != "lo":
                with contextlib.suppress(NetlinkError):  # some the kernel makes in every namespace: they stay
                    netlink.run([delete_link(name)])
    finally:
        netlink.close()


def _own_mounts(directory: Path, visible: Path) -> None:
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    except OSError:
        return  # it sees more than it should, and runs
    with contextlib.suppress(OSError):
        syscalls.mount("sysfs", "/sys", "sysfs", 0)
    with contextlib.suppress(OSError):
        own = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
            for path in (str(visible), *HIDDEN):
                if Path(path).is_dir():
                    syscalls.mount("sdnlab", path, "tmpfs", flags, "mode=0755,size=64k")
            directory.mkdir(parents=True)
            syscalls.mount(f"/proc/self/fd/{own}", str(directory), None, syscalls.MS_BIND)
        finally:
            os.close(own)
