"""A lab for a program of the user: it ends when that program ends, however it ends.

``lab.scripting`` starts this as a process of its own. A program may have threads, and handlers of signals;
what builds a lab must not. The program holds the other end of our standard input, and the kernel closes it
when the program ends. Then we get SIGINT: an end of the program is what Ctrl-C is to ``up``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from lab import naming
from lab.cli import files
from lab.cli.extending import extend
from lab.failure import Exit, Failure, Interrupted
from lab.start.launch import launch
from lab.start.order import Order
from linux.readiness import readable

_F_SETSIG = 10  # fcntl(2)


def main() -> NoReturn:
    """Read the order, one line of JSON; write lines of JSON: progress, then ``up`` or ``failed``."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    launched = None
    code = Exit.OK
    try:
        order = json.loads(sys.stdin.buffer.readline())
        _interrupt_at_end(0)
        extend(os.environ)
        if order["name"] is not None:
            naming.check_name(order["name"])
        if order["content"] is None:
            file, content = files.content(order["file"])
        else:
            file, content = order["file"], order["content"].encode()
        wanted = Order(
            file, content, order["name"], naming.owner(), check="proof" if order["check"] else "none"
        )
        launched = launch(wanted, _Told())
        _say(
            up=launched.building.name,
            probe=launched.ready.probe,
            notes=[*launched.notes, *launched.ready.problems],
        )
        launched.sandbox.wait()
    except Failure as failure:
        code = failure.code
        _say(failed=failure.what, remedy=failure.remedy, code=int(code))
    except Interrupted:
        code = Exit.INTERRUPTED
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if launched is not None:
            launched.stop()
    sys.exit(code)


class _Told:
    """Tells the program how far the start is."""

    def stage_done(self, name: str, seconds: float) -> None:
        """A stage has ended."""
        self.doing(f"{name} done")

    def probing(self, done: int, of: int) -> None:
        """So many of the frames of the test of all pairs have their answers."""
        self.doing(f"probing pairs: {done} of {of}")

    def doing(self, what: str) -> None:
        """This is done at present."""
        _say(doing=what)


def _say(**message: Any) -> None:
    with contextlib.suppress(OSError):  # the program has ended, which we are told in another way
        os.write(1, json.dumps(message).encode() + b"\n")


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted


def _interrupt_at_end(fd: int) -> None:
    """Let the kernel send us SIGINT when nobody can write to the pipe ``fd`` any more (fcntl(2))."""
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, _F_SETSIG, signal.SIGINT)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    if readable([fd], 0.0):  # nothing more is ever written, so this is its end
        signal.raise_signal(signal.SIGINT)
