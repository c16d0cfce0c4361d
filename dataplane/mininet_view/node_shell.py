"""A Mininet node's shell, made safe: a command can't leave it waiting for ever, whatever is typed.

Mininet feeds a bash on a pseudo-terminal and waits for its prompt. Where that shell ends (``h1 exit``), where
a quote is not closed, or where a line is longer than the terminal takes, the prompt never comes.
"""

from __future__ import annotations

import codecs
import os
import re
import select
import time
from typing import Any

_PROMPT = chr(127)
LONGEST = 4000
"""Bytes of one command: a terminal in canonical mode takes lines of 4,096 (termios(3))."""
PATIENCE = 0.5
"""Seconds that an interrupt waits for its command to begin; the shell's own never have the terminal."""


class TooLong(ValueError):
    """A command that the terminal would cut."""


def evaluated(command: str, quiet_input: bool = False) -> str:
    """A line for bash that runs ``command`` and always comes to an end: what is not closed is an error.

    ``quiet_input``: the command reads nothing; else it would take what is typed, or wait for it for ever.
    """
    text = command.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    line = f"eval $'{text}'" + (" </dev/null" if quiet_input else "")
    if command.rstrip().endswith("&"):
        line += r'; printf "\001%d\012" $! '  # what Mininet takes a background command's process from
    if len(line.encode(errors="replace")) > LONGEST:
        raise TooLong(
            f"a command in a node's shell may have {LONGEST} bytes: write it into a file, and run that"
        )
    return line


def with_terminal(command: list[str]) -> list[str]:
    """The command that starts a node's bash, with its terminal as the controlling one: else an interrupt
    (Ctrl-C) reaches nobody. mnexec -d makes a session and leaves the terminal out; setsid(1) does both."""
    return ["setsid", "--ctty", "mnexec", "-c", *command[2:]] if command[:2] == ["mnexec", "-cd"] else command


class SafeShell:
    """Mixed into a Mininet ``Node`` before it."""

    name: str
    shell: Any
    waiting: bool
    stdout: Any
    readbuf: str
    lastCmd: Any
    lastPid: int | None
    _plain = False
    _background: str | None = None
    _idle = 0
    quiet_input = False
    """Whether commands get an empty standard input: where nobody types."""

    def wake(self) -> None:
        """Start the shell if there is none."""
        raise NotImplementedError

    def startShell(self, mnopts: str | None = None) -> None:
        """Start bash, whose output may be any bytes."""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._end = -1
        quiet, self.quiet_input = (
            self.quiet_input,
            False,
        )  # its first command sets up the terminal that it reads
        try:
            super().startShell(mnopts)  # type: ignore[misc]
        finally:
            self.quiet_input = quiet

    def _popen(self, cmd: list[str], **params: Any) -> Any:
        """Start a process."""
        return super()._popen(with_terminal(cmd), **params)  # type: ignore[misc]

    def sendCmd(self, *args: Any, **kwargs: Any) -> None:
        """Start a shell command."""
        self.wake()
        if self.waiting:
            raise RuntimeError(f"{self.name} is still running {str(self.lastCmd)[:60]!r}: interrupt it first")
        self._idle = self._foreground()
        words = args[0] if len(args) == 1 and isinstance(args[0], list) else args
        command = " ".join(map(str, words))
        self._plain = bool(re.search(r"\w", command)) and not kwargs.get("printPid")
        self._background = "" if command.rstrip().endswith("&") else None
        if self._plain:
            super().sendCmd(evaluated(command, self.quiet_input))  # type: ignore[misc]
            self.lastCmd = command
        else:
            super().sendCmd(command, **kwargs)  # type: ignore[misc]

    def sendInt(self, intr: str = chr(3)) -> None:
        """Interrupt the command once it has the terminal: before, Ctrl-C would reach the shell alone."""
        end = time.monotonic() + PATIENCE
        while self.waiting and self._foreground() == self._idle and time.monotonic() < end:
            time.sleep(0.01)
        super().sendInt(intr)  # type: ignore[misc]

    def _foreground(self) -> int:
        """The process group that the terminal belongs to; 0 when that can't be told."""
        try:
            return os.tcgetpgrp(self.stdout.fileno())
        except (OSError, ValueError):
            return 0

    def waitReadable(self, timeoutms: float | None = None) -> Any:
        """Wait until there is output; None when there is none in time, or the shell has ended."""
        if self.readbuf:
            return True
        return True if self.wait_for(timeoutms=timeoutms) else None

    def monitor(self, timeoutms: float | None = None, findPid: bool = True) -> str:
        """What the command says next; ``waiting`` is over when that ends with the prompt.

        Mininet's own takes any such character for the prompt, and waits for ever after others: a command may
        print what it likes.
        """
        if not self._plain:
            return str(super().monitor(timeoutms, findPid))  # type: ignore[misc]
        if not self.waitReadable(timeoutms):
            return ""
        said = self.read(1024)
        if said.endswith(_PROMPT) and not self._more():
            self.waiting, said = False, said[:-1]
        if self._background is None:
            return said
        self._background += said
        if self.waiting:
            return ""
        if pids := re.findall(r"\x01(\d+)\r\n", self._background):
            self.lastPid = int(pids[-1])
        return re.sub(r"\x01\d+\r\n|\[\d+\] \d+\r\n", "", self._background)

    def _more(self) -> bool:
        if self.readbuf:
            return True
        poller = select.poll()
        poller.register(self.stdout, select.POLLIN)
        return bool(poller.poll(0))

    def read(self, size: int = 1024) -> str:
        """What the shell says next, ``size`` characters at most; blocks while it says nothing."""
        return str(super().read(size))  # type: ignore[misc]

    def wait_for(self, *others: int, timeoutms: float | None = None) -> list[int]:
        """Those of the shell's output and ``others`` (descriptors) that can be read; nothing in time is [].

        A shell that has ended stops to be waited for once all that it said was read.
        """
        output = self.stdout.fileno()
        if self._end < 0:
            self._end = os.pidfd_open(self.shell.pid)
        poller = select.poll()
        for descriptor in (output, self._end, *others):
            poller.register(descriptor, select.POLLIN)
        ready = [descriptor for descriptor, event in poller.poll(timeoutms) if event & ~select.POLLNVAL]
        if self._end in ready and output not in ready:
            self.end()
            return []
        return [descriptor for descriptor in ready if descriptor != self._end]

    def end(self) -> None:
        """Nothing is waited for any more, and the next command starts a new shell."""
        self.waiting = False
        self.cleanup()

    def cleanup(self) -> None:
        """Give back what belongs to the shell."""
        if self.shell is not None and getattr(self, "_end", -1) >= 0:
            os.close(self._end)
            self._end = -1
            self.shell.poll()
        super().cleanup()  # type: ignore[misc]
