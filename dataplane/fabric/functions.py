"""Starting functions' processes in their instances' namespaces, and ending them.

A plain description (a program, its files, a directory) defines a process.  The process gets the instance's
network namespace, and a mount namespace of its own: there /sys shows its devices, and it sees only its own
part of the lab's run directory.  Its standard input and output are pipes.
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
"""The file, in its directory, to which a process's standard error goes."""
HIDDEN = ("/run/netns", "/run/openvswitch")
"""Files that lead to the rest of the lab; they are hidden."""
OWN = ("in", "out", "tap", "eth0")
"""Devices that stay in an instance's namespace when its process changes."""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/",
    "LANG": "C.UTF-8",
}
"""The whole environment of a process. The environment of the user who started the lab may hold secrets."""
NOTHING_THERE = frozenset({errno.ENOENT, errno.EINVAL})
"""The kernel's error for a queueing discipline that doesn't exist."""


class FunctionError(Exception):
    """A function's process can't be started; the message says why."""


class FunctionProcess:
    """A function's running process. ``directory`` is its own, and stays when the process ends.

    The caller reads ``output`` until its end. ``netns`` is a descriptor of its namespace, and stays the
    caller's. When the process ends, the devices that it made in the namespace are removed.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], directory: Path, netns: int, log_begin: int = 0
    ) -> None:
        self.process = process
        self.directory = directory
        self._log_begin = log_begin
        # A descriptor of our own: the caller may close its one before the process has ended.
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
            visible = (letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words)
            return "".join(visible)[-300:]
        return ""

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files into its directory."""
        write_files(self.directory, files)

    def tell(self, line: bytes) -> bool:
        """Write a line to its standard input; False when the process has closed it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def ask_to_end(self) -> None:
        """Close its standard input, which asks the process to end."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.close()

    def kill(self) -> None:
        """Kill the process and all that it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Wait for its end; its exit code, negative for a signal. Processes that it has started end, too.

        Its devices are removed as well. Otherwise a bridge would still forward, although the function's state
        is that it does not run.
        """
        code = self.process.wait()
        self.kill()
        netns, self._netns = self._netns, -1
        if netns >= 0:
            with contextlib.suppress(OSError, NetlinkError):  # the lab may be ending, too
                run_in(netns, _clean)
            os.close(netns)
        return code

    def end(self, patience: float = 1.0) -> int:
        """Ask the process to end, and kill it after ``patience`` seconds; its exit code."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.kill()
        return self.reap()


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` into ``directory``, each one atomically (rename(2)).

    Names are relative paths. Raises FunctionError for a name that leads out of the directory.
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

    ``visible``: the lab's run directory; the process sees only ``directory`` of it. Its standard error goes
    to ``function.log`` in ``directory``. Raises FunctionError.
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
    """Remove the files of an instance."""
    shutil.rmtree(directory, ignore_errors=True)


def _start(directory: Path, argv: Sequence[str], log: int, visible: Path) -> subprocess.Popen[bytes]:
    """Start the process. Runs in a thread of its own, which is in the network namespace and ends after
    this."""
    _clean()
    _own_mounts(directory, visible)
    pipe = subprocess.PIPE
    # A session of its own: its process group then has all processes that it starts, and we can kill them all.
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
    """Remove the devices and queueing disciplines that an earlier process has left in the network namespace.

    The new process replaces its nftables rules itself, in one step.
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
