"""The command line. Imports are late, so that a command starts fast."""

from __future__ import annotations

import os
import signal
import sys

if os.path.basename(sys.argv[0]) == "sdnlab":  # noqa: PTH119 - pathlib is not loaded yet
    # Nothing has begun yet: Ctrl-C ends the process, without a traceback from an import.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from lab.cli import streams
from lab.cli.say import err, out_json_line, paint_err
from lab.cli.streams import ReaderGone
from lab.failure import Exit, Failure, Interrupted

if TYPE_CHECKING:
    from typer import Typer


def main() -> NoReturn:
    """Run the command line and exit. Every foreseeable error ends in a message and a documented exit code."""
    signal.signal(signal.SIGINT, _interrupt)
    streams.guard()
    as_json = False
    try:
        from lab.cli.app import build, for_programs, separated, wanted
        from lab.cli.extending import extend

        arguments = separated(sys.argv[1:])
        as_json = for_programs(arguments)
        extend(os.environ)
        code = _run(build(wanted(arguments, os.environ)), arguments, as_json)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except Failure as failure:
        code = _failed(failure, as_json)
    except Interrupted:
        code = _failed(Failure("interrupted", "", Exit.INTERRUPTED), as_json)
    except ReaderGone:
        code = 128 + signal.SIGPIPE
    _leave(code)


def _run(application: Typer, arguments: Sequence[str], as_json: bool) -> int:
    """Run a command line; its exit code. With --json, a wrong command line raises Failure, too."""
    if not as_json:
        try:
            application(arguments, prog_name="sdnlab")
        except SystemExit as stop:
            if stop.code == Exit.USAGE and (remedy := _advice(arguments)):
                err("        " + remedy)
            raise
    try:
        return int(application(arguments, prog_name="sdnlab", standalone_mode=False) or 0)
    except Exception as error:
        # click's own exceptions, which typer keeps to itself
        words, code = getattr(error, "format_message", None), getattr(error, "exit_code", None)
        if words is None or not isinstance(code, int):
            raise
        raise Failure(str(words()), _advice(arguments) or "see: sdnlab --help", Exit(code)) from None


def _advice(arguments: Sequence[str]) -> str:
    from lab.cli.app import commands
    from lab.cli.wording import advice

    return advice(arguments, commands())


def _failed(failure: Failure, as_json: bool) -> int:
    """Print a failure, with --json as an object on standard output; the exit code."""
    if as_json:
        try:
            out_json_line({"failed": failure.what, "remedy": failure.remedy, "code": int(failure.code)})
        except (Failure, ReaderGone):
            report(failure)
    else:
        report(failure)
    return int(failure.code)


def report(failure: Failure) -> None:
    """The text of a failure: what happened, and on a line of its own what to do."""
    paint = paint_err()
    err(f"{paint('sdnlab:', 'red', 'bold')} {failure.what}")
    if failure.remedy:
        err("        " + failure.remedy.replace("\n", "\n        "))


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted


def _leave(code: int) -> NoReturn:
    lost = streams.flush()
    os._exit(code or lost)  # a pipe that was closed would make the interpreter complain on its way out
