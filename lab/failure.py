"""Foreseeable failures: the message to the user, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line; ``sdnlab --help`` lists them."""

    OK = 0
    FAILED = 1
    """The answer is negative: a file is invalid, a host is unreachable, there is no such lab."""
    USAGE = 2
    MACHINE = 3
    """This machine lacks something that the lab needs (a program, a permission, a kernel feature)."""
    LOST = 4
    """The lab ended, or stopped answering, before the answer came."""
    INTERRUPTED = 130
    """Ctrl-C (128 + SIGINT), after cleaning up."""


class Failure(Exception):
    """A foreseeable failure: ``what`` happened, ``remedy`` says what to do; never a traceback."""

    def __init__(self, what: str, remedy: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.code = code
        if remedy and sys.version_info >= (3, 11):
            self.add_note(remedy)  # in the traceback that a user's own program shows


class Interrupted(BaseException):
    """Ctrl-C. It is no Exception, so that error handling does not catch it."""


class NotThere(Failure):
    """No such switch, host, link or function; the API answers 404."""


def unknown(
    kind: str,
    name: str,
    known: Sequence[str],
    there: str = "there are",
    where: str = "",
    among: Sequence[str] = (),
) -> NotThere:
    """The failure for an unknown ``name`` of this ``kind``, with similar names and the ``known`` ones.

    ``among``: further names that may be similar.
    """
    from topologies.syntax.problem import nearest

    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
    close = nearest(name, [*known, *among])
    return NotThere(
        f"no {kind} named {shown!r}{where}",
        (f"did you mean {close!r}? " if close else "") + f"{there}: {some(known) or 'none'}",
    )


_SHOWN = 80


def some(names: Sequence[str], most: int = 12) -> str:
    """The first of many names, and how many others there are."""
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def invalid_file(file: str, problems: Sequence[object]) -> Failure:
    """The failure for a topology file with problems, each on a line of its own."""
    number = f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in {file}"
    return Failure(number, "\n".join(str(problem) for problem in problems))
