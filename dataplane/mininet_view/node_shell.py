"""A Mininet node's shell that can't block for ever, whatever a user types.

Mininet writes to a bash on a pseudo-terminal and waits for its prompt. The prompt never comes if that shell
ends (``h1 exit``), if a quote is not closed, or if a line is longer than the terminal accepts.
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
"""Limit in bytes of one command: a terminal in canonical mode accepts lines of 4,096 (termios(3))."""
PATIENCE = 0.5
"""Seconds that an interrupt waits for its command to begin; the shell's builtins never own the terminal."""


class TooLong(ValueError):
    """A command that is too long for the terminal."""


def evaluated(command: str, quiet_input: bool = False) -> str:
    """A line for bash that runs ``command`` and always ends: an open quote is an error.

    ``quiet_input``: the command gets an empty standard input; otherwise it would read what the user types
    next, or wait for it for ever.
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
    """The command that starts a node's bash with its terminal as controlling terminal; Ctrl-C needs this.

    mnexec -d makes a session without a controlling terminal; setsid(1) does both.
    """
    return ["setsid", "--ctty", "mnexec", "-c", *command[2:]] if command[:2] == ["mnexec", "-cd"] else command


_SCRIPT = """\
if command -v bash >/dev/null; then
    exec env "PS1=$1" bash --norc --noediting -is "mininet:$2"
fi
trap : INT
printf %s "$1"
while IFS= read -r line; do
    eval "$line"
    printf %s "$1"
done"""


def any_shell(name: str) -> list[str]:
    """The command that starts a shell like Mininet's for the host ``name``, which has its terminal already.

    Where there is no bash, sh reads lines and says when each is done: an interactive sh of BusyBox would edit
    them, and write its own characters between those of commands.
    """
    return ["sh", "-c", _SCRIPT, "sh", _PROMPT, name]


class NoShell(RuntimeError):
    """A node's shell has ended, or could not start: a container may have none."""


class SafeShell:
    """A mixin for a Mininet ``Node``, which comes before it in the bases."""

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
    """Whether commands get an empty standard input: when no user types."""

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
        """Interrupt the command after it owns the terminal: before, only the shell would get Ctrl-C."""
        end = time.monotonic() + PATIENCE
        while self.waiting and self._foreground() == self._idle and time.monotonic() < end:
            time.sleep(0.01)
        super().sendInt(intr)  # type: ignore[misc]

    def _foreground(self) -> int:
        """The foreground process group of the terminal; 0 if unknown."""
        try:
            return os.tcgetpgrp(self.stdout.fileno())
        except (OSError, ValueError):
            return 0

    def waitReadable(self, timeoutms: float | None = None) -> Any:
        """Wait for output; None if none comes in time, or if the shell has ended."""
        if self.readbuf:
            return True
        return True if self.wait_for(timeoutms=timeoutms) else None

    def monitor(self, timeoutms: float | None = None, findPid: bool = True) -> str:
        """The next output of the command; ``waiting`` becomes False when it ends with the prompt.

        Mininet's own method takes any such character for the prompt, and may then wait for ever; but a
        command may print any character.
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
        """The next output of the shell, at most ``size`` characters; blocks until there is some.

        Raises NoShell when the shell has ended.
        """
        if not self.readbuf and not self.wait_for():
            remedy = f"run a command there by: sdnlab exec {self.name} -- WORDS"
            raise NoShell(f"no shell runs in {self.name}; {remedy}")
        return str(super().read(size))  # type: ignore[misc]

    def wait_for(self, *others: int, timeoutms: float | None = None) -> list[int]:
        """The readable ones of the shell's output and ``others`` (descriptors); [] after a timeout.

        When a shell has ended and all its output was read, it is left out.
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
        """Stop waiting. The next command starts a new shell."""
        self.waiting = False
        self.cleanup()

    def cleanup(self) -> None:
        """Close the descriptors of the shell."""
        if self.shell is not None and getattr(self, "_end", -1) >= 0:
            os.close(self._end)
            self._end = -1
            self.shell.poll()
        super().cleanup()  # type: ignore[misc]
