"""A qemu-storage-daemon in a host's network namespace, with its control connection."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataplane.sandbox.namespaces import run_in
from dataplane.storage.error import StorageError
from dataplane.storage.plan import SEARCH
from dataplane.storage.qmp import Hear, Qmp, QmpError
from linux import syscalls

ENVIRONMENT = {"PATH": SEARCH, "LANG": "C.UTF-8"}


class Process:
    """The running daemon. ``mounts``: a descriptor of its own mount namespace.

    ``ended`` is called once, from a thread, when it ends in another way than by ``stop``.
    """

    def __init__(
        self,
        netns: int,
        argv: Sequence[str],
        control: Path,
        hear: Hear,
        ended: Callable[[], None],
        files: Sequence[int] = (),
    ) -> None:
        """``netns``: a descriptor; ``files``: descriptors that it inherits. Raises StorageError."""
        control.parent.mkdir(parents=True, exist_ok=True)
        control.unlink(missing_ok=True)
        self._stopping = False
        self.log = control.with_suffix(".log")
        with self.log.open("ab") as log:
            try:
                self.process, self.mounts = run_in(netns, lambda: _start(argv, log.fileno(), files))
            except OSError as error:
                raise StorageError(f"can't start {argv[0]}: {error.strerror}") from None
        try:
            self.qmp = Qmp(control, hear)
        except QmpError as error:
            self.stop()
            raise StorageError(f"{argv[0]}: {self.last_words() or error}") from None
        threading.Thread(target=self._watch, args=(ended,), name=control.name, daemon=True).start()

    def do(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """The answer to a command of QMP. Raises StorageError."""
        try:
            return self.qmp.do(command, arguments)
        except QmpError as error:
            raise StorageError(str(error)) from None

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def last_words(self) -> str:
        """The last line of its log."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()
            return lines[-1][-300:] if lines else ""
        return ""

    def stop(self) -> None:
        """End it. What it was told to flush is on the disk."""
        self._stopping = True
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2.0)
        self.process.kill()
        self.process.wait()

    def _watch(self, ended: Callable[[], None]) -> None:
        self.process.wait()
        os.close(self.mounts)
        self.mounts = -1
        self.qmp.close()
        if not self._stopping:
            ended()


def run_tool(words: Sequence[str]) -> None:
    """Run a program to its end. Raises StorageError with its last words."""
    done = subprocess.run(list(words), env=ENVIRONMENT, capture_output=True, check=False, cwd="/")
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip().splitlines()
        raise StorageError(f"{words[0]}: {text[-1] if text else f'exit code {done.returncode}'}")


def _start(argv: Sequence[str], log: int, files: Sequence[int]) -> tuple[subprocess.Popen[bytes], int]:
    """Runs in a thread of its own, which is in the network namespace and ends after this."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    process = subprocess.Popen(
        list(argv),
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=list(files),
        start_new_session=True,
    )
    return process, os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
