"""Requests and answers about commands that run in hosts."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Gt, Le, MinLen
from typing_extensions import NotRequired, TypedDict

Encoding = Literal["text", "base64"]


class ExecRequest(TypedDict):
    """A command for a host: the program and its arguments (no shell reads them).

    ``input``: what it reads from its standard input. ``encoding`` of input and output: ``text`` (UTF-8, what
    is not becomes U+FFFD) or ``base64``. ``timeout``: seconds until it is ended; absent: none. ``stream``:
    answer with JSON lines while it runs (``ExecLine``).
    """

    words: Annotated[list[str], MinLen(1)]
    input: NotRequired[str]
    encoding: NotRequired[Encoding]
    timeout: NotRequired[Annotated[float, Gt(0), Le(86400)]]
    stream: NotRequired[bool]


class ExecResult(TypedDict):
    """What a command did. ``code``: its exit code, 128 + N after signal N, 127 if there is no such command.

    ``seconds`` that it ran. ``timed_out``: it was ended after ``timeout``. ``truncated``: its output or its
    errors were longer than an answer holds (8 MiB each); the rest is lost.
    """

    host: str
    words: list[str]
    code: int
    output: str
    errors: str
    seconds: float
    timed_out: bool
    truncated: bool


class ExecLine(TypedDict):
    """A line of a stream: a piece of output or errors; the last line has ``code``, ``seconds`` and
    ``timed_out`` instead."""

    output: NotRequired[str]
    errors: NotRequired[str]
    code: NotRequired[int]
    seconds: NotRequired[float]
    timed_out: NotRequired[bool]
