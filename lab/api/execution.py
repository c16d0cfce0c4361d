"""Runs a command in a host for a request. When the client goes, the command ends."""

from __future__ import annotations

import asyncio
import base64
import codecs
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Coroutine
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request

from lab.commands.command import groups_below
from lab.failure import Failure
from lab.messages.execution import Encoding, ExecLine, ExecRequest, ExecResult
from lab.supervisor.host_commands import Invocation
from linux.readiness import readable

MOST = 8 << 20
"""Bytes of output, and of errors, that an answer holds."""
PIECE = 1 << 16
LINGER = 0.2
"""Seconds for which we read on after a command's end: what it has left in the background may hold its pipes
open for ever."""
END_PATIENCE = 1.0
"""Seconds from SIGTERM to SIGKILL."""

_NOT_EXECUTABLE = 126  # what shells use, POSIX.1-2017, 2.8.2

Result = TypeVar("Result")


class Piece(NamedTuple):
    """Some bytes that a command wrote. ``stream``: ``output`` or ``errors``."""

    stream: str
    octets: bytes


class Ended(NamedTuple):
    """The end of a command; ``code`` as in ``ExecResult``."""

    code: int
    seconds: float
    timed_out: bool


def _start(program: Invocation) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        program.arguments,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        cwd="/",
        env=program.environment,
        start_new_session=True,
    )


async def pieces(
    program: Invocation, given: bytes, timeout: float | None
) -> AsyncGenerator[Piece | Ended, None]:
    """Run a program: what it writes, as it comes, and then its end. It reads ``given``.

    Nothing is read before the last piece was taken: a slow reader makes the command wait. After ``timeout``
    seconds, or when the generator is closed, the process and all below it are ended.
    """
    try:
        process = _start(program)
    except (OSError, ValueError) as error:  # its words are too long, or hold a NUL
        yield Piece("errors", f"sdnlab: {getattr(error, 'strerror', None) or error}\n".encode())
        yield Ended(_NOT_EXECUTABLE, 0.0, False)
        return
    async with contextlib.aclosing(_followed(process, given, timeout)) as followed:
        async for piece in followed:
            yield piece


async def _followed(
    process: subprocess.Popen[bytes], given: bytes, timeout: float | None
) -> AsyncGenerator[Piece | Ended, None]:
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    began = time.monotonic()
    handle = os.pidfd_open(process.pid)
    sources = {process.stdout.fileno(): "output", process.stderr.fileno(): "errors"}
    target, rest = process.stdin.fileno(), memoryview(given)
    for fd in (*sources, target):
        os.set_blocking(fd, False)
    until: float | None = None if timeout is None else began + timeout
    ended = timed_out = False
    try:
        if not rest:
            process.stdin.close()
        while sources or not ended:
            watched = [*sources] if ended else [*sources, handle]
            ready = await _ready(watched, [target] if rest else [], until)
            if not ready:
                timed_out = not ended
                break
            if target in ready:
                try:
                    rest = rest[os.write(target, rest[:PIECE]) :]
                except BlockingIOError:
                    pass
                except OSError:  # it reads no more
                    rest = rest[:0]
                if not rest:
                    process.stdin.close()
            for fd in ready & set(sources):
                octets = os.read(fd, PIECE)
                if octets:
                    yield Piece(sources[fd], octets)
                else:
                    del sources[fd]
            if handle in ready:
                ended = True
                lingers = time.monotonic() + LINGER
                until = lingers if until is None else min(until, lingers)
        if ended:
            yield Ended(_code(process.wait()), time.monotonic() - began, False)
        else:
            await asyncio.to_thread(_end, process)
            yield Ended(_code(process.wait()), time.monotonic() - began, timed_out)
    finally:
        os.close(handle)
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                stream.close()
        if process.returncode is None:
            threading.Thread(target=_end, args=(process,), name="end of a command", daemon=True).start()


async def _ready(readers: Collection[int], writers: Collection[int], until: float | None) -> set[int]:
    """The descriptors that can be read or written, as select(2) has it; none after the time ``until``."""
    loop = asyncio.get_running_loop()
    woken, ready = asyncio.Event(), set[int]()

    def note(fd: int) -> None:
        ready.add(fd)
        woken.set()

    for fd in readers:
        loop.add_reader(fd, note, fd)
    for fd in writers:
        loop.add_writer(fd, note, fd)
    try:
        left = None if until is None else max(0.0, until - time.monotonic())
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(woken.wait(), left)
    finally:
        for fd in readers:
            loop.remove_reader(fd)
        for fd in writers:
            loop.remove_writer(fd)
    return ready


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, then kill all that is below it, and wait."""
    groups = groups_below(process.pid) | {process.pid}
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(process.pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            readable([handle], END_PATIENCE)
        finally:
            os.close(handle)
    # Before wait(), no other process has its number. 0 is a group that began outside of the lab.
    for group in groups - {0, 1, os.getpgrp()}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    process.wait()


def _code(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode


def decoded(request: ExecRequest) -> bytes:
    """The input of a command. Raises Failure when it is not what its encoding says."""
    text = request.get("input", "")
    if request.get("encoding", "text") == "text":
        return text.encode("utf-8", "replace")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise Failure("the input is no base64", "encode it, or leave out the encoding") from None


async def result(
    host: str, request: ExecRequest, running: AsyncIterator[Piece | Ended], most: int = MOST
) -> ExecResult:
    """The answer about a command: what it writes is collected, up to ``most`` bytes of each stream."""
    collected = {"output": bytearray(), "errors": bytearray()}
    truncated, end = False, Ended(0, 0.0, False)
    async for piece in running:
        if isinstance(piece, Ended):
            end = piece
            continue
        so_far = collected[piece.stream]
        truncated = truncated or len(so_far) + len(piece.octets) > most
        so_far += piece.octets[: most - len(so_far)]
    encoding = request.get("encoding", "text")
    return {
        "host": host,
        "words": request["words"],
        "code": end.code,
        "output": _encoded(collected["output"], encoding),
        "errors": _encoded(collected["errors"], encoding),
        "seconds": end.seconds,
        "timed_out": end.timed_out,
        "truncated": truncated,
    }


def _encoded(octets: bytes | bytearray, encoding: Encoding) -> str:
    return base64.b64encode(octets).decode() if encoding == "base64" else octets.decode("utf-8", "replace")


async def lines(running: AsyncGenerator[Piece | Ended, None], encoding: Encoding) -> AsyncIterator[str]:
    """The JSON lines of a stream (``ExecLine``). A character whose bytes come in two pieces stays whole."""
    text = {name: codecs.getincrementaldecoder("utf-8")(errors="replace") for name in ("output", "errors")}
    async with contextlib.aclosing(running):
        async for piece in running:
            line: ExecLine
            if isinstance(piece, Ended):
                for name, decoder in text.items():
                    if rest := decoder.decode(b"", final=True):
                        yield json.dumps({name: rest}) + "\n"
                line = {"code": piece.code, "seconds": piece.seconds, "timed_out": piece.timed_out}
            else:
                octets = piece.octets
                told = (
                    _encoded(octets, encoding) if encoding == "base64" else text[piece.stream].decode(octets)
                )
                if not told:
                    continue
                line = {"output": told} if piece.stream == "output" else {"errors": told}
            yield json.dumps(line) + "\n"


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The result of ``work``; None when the client has closed the connection, which cancels the work."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.wait((working, watching))
