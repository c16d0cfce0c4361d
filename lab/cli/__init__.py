"""The command line. Nothing here is imported before it is needed: a command should feel instant."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from lab.cli.say import ReaderGone, err, paint_err
from lab.failure import Exit, Failure
from lab.launch import Interrupted


def main() -> NoReturn:
    """Run the command line and exit; whatever is foreseeable ends in a message and a documented code."""
    signal.signal(signal.SIGINT, _interrupt)
    code = 0
    try:
        from lab.cli.app import build, separated, wanted

        arguments = separated(sys.argv[1:])
        build(wanted(arguments, os.environ))(arguments, prog_name="sdnlab")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except Failure as failure:
        report(failure)
        code = failure.code
    except Interrupted:
        err("sdnlab: interrupted")
        code = Exit.INTERRUPTED
    except ReaderGone:
        code = 128 + signal.SIGPIPE
    _leave(code)


def report(failure: Failure) -> None:
    """A failure as its reader needs it: what happened, and on a line of its own what to do."""
    paint = paint_err()
    err(f"{paint('sdnlab:', 'red', 'bold')} {failure.what}")
    if failure.remedy:
        err("        " + failure.remedy.replace("\n", "\n        "))


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError, ValueError):
            stream.flush()
    os._exit(code)  # a pipe that was closed would make the interpreter complain on its way out
