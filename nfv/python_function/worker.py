"""The worker inside the sandbox: loads the script, and gives it packets.

It writes JSON lines to its parent on a pipe.  The parent checks each line, since the script could write there
as well.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from nfv.python_function.life import Progress

BATCH, BATCH_SECONDS = 64, 0.05
"""Packets of one port, or time for them, before the other port and commands are handled."""
TRACEBACKS, PRINTS = 5, 50
"""So many messages a second are written; others are counted."""
LONGEST_TEXT = 4000


class Wrong(TypeError):
    """The script returned a value that can't be sent."""


def frames(result: object, longest: int) -> list[bytes]:
    """The frames to send from the return value of ``process``; raises ``Wrong``."""
    if result is None:
        return []
    if type(result) is bytes:
        to_send = [result]
    elif isinstance(result, list | tuple):
        to_send = [_frame(frame) for frame in result]
    else:
        to_send = [_frame(result)]
    for frame in to_send:
        if not 14 <= len(frame) <= longest:
            raise Wrong(f"process() returned a frame of {len(frame)} bytes; allowed are 14 to {longest}")
    return to_send


def _frame(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if type(value).__module__.startswith("scapy.") or "scapy.packet" in {
        base.__module__ for base in type(value).__mro__
    }:
        return bytes(value)  # type: ignore[call-overload, no-any-return]
    raise Wrong(
        f"process() returned {type(value).__name__};"
        " allowed are bytes, a scapy packet, a list of these, and None"
    )


def load(source: str, file: str) -> Callable[..., object]:
    """The script's ``process``; raises any exception of the script, or ``Wrong``."""
    import linecache

    # so that tracebacks show the script's lines: there is no file of it in the sandbox
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Any] = {"__name__": "function", "__file__": file, "__builtins__": __builtins__}
    exec(compile(source, file, "exec"), space)
    process = space.get("process")
    if not callable(process):
        raise Wrong(f"{file} has no function process(packet)")
    return process  # type: ignore[no-any-return]


def takes_direction(process: Callable[..., object]) -> bool:
    """Whether ``process`` has a second argument."""
    import inspect

    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in inspect.signature(process).parameters.values()) >= 2


def only_own(error: BaseException, file: str) -> str:
    """A traceback, from the script's first line on."""
    step = error.__traceback__
    while step is not None and step.tb_frame.f_code.co_filename != file:
        step = step.tb_next
    lines = traceback.format_exception(type(error), error, step)
    return "".join(lines)[-LONGEST_TEXT:]


class News:
    """Lines to the parent; lines that come too fast are only counted."""

    def __init__(self, fd: int) -> None:
        self.descriptor = fd
        self._second = 0
        self._line = ""
        self._told: dict[str, int] = {}

    def tell(self, kind: str, **fields: Any) -> None:
        """Write one line, without waiting for the parent to read."""
        line = json.dumps({"kind": kind, **fields}).encode() + b"\n"
        try:
            os.write(self.descriptor, line)
        except BlockingIOError:
            pass
        except OSError:
            os._exit(0)  # there is no parent any more

    def may(self, kind: str, most: int) -> bool:
        """Whether one more message of this kind may be written in this second."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._told = second, {}
        self._told[kind] = self._told.get(kind, 0) + 1
        return self._told[kind] <= most

    def write(self, text: str) -> int:
        """The script's standard output: ``print`` becomes an event."""
        *lines, rest = (self._line + text).split("\n")
        self._line = rest[-LONGEST_TEXT:]
        for line in lines:
            if line.strip() and self.may("print", PRINTS):
                self.tell("print", text=line[:LONGEST_TEXT])
        return len(text)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""


class Worker:
    """Pass packets from one port through the script to the other."""

    def __init__(
        self,
        process: Callable[..., object],
        news: News,
        file: str,
        longest: int,
        passes_on_failure: bool,
        decode: Callable[[bytes], object] | None,
        progress: Progress,
    ) -> None:
        self._step = progress.step
        self._process, self._news, self._file, self._longest = process, news, file, longest
        self._open, self._decode = passes_on_failure, decode
        self._directed = takes_direction(process)
        self.counts = {"processed": 0, "dropped": 0, "exceptions": 0}

    def run(self, inward: socket.socket, outward: socket.socket, control: int) -> None:
        """Run until ``control`` has something to read, or its other end is closed."""
        ports = {inward.fileno(): (inward, outward, "in"), outward.fileno(): (outward, inward, "out")}
        poll = select.poll()
        for fd in (*ports, control):
            poll.register(fd, select.POLLIN)
        told = time.monotonic()
        while True:
            for fd, _ in poll.poll(500):
                if fd == control:
                    return
                self._batch(*ports[fd])
            self._step()
            if time.monotonic() - told >= 1.0:
                told = time.monotonic()
                self._news.tell("counters", **self.counts)

    def _batch(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        receive, send, longest = source.recv, target.send, self._longest
        counts, process, decode, step = self.counts, self._process, self._decode, self._step
        plain = decode is None and not self._directed
        until = time.monotonic() + BATCH_SECONDS
        for _ in range(BATCH):
            if time.monotonic() > until:
                return
            try:
                data = receive(longest)
            except BlockingIOError:
                return
            except OSError:
                return  # the device is down; it says so once
            counts["processed"] += 1
            step()
            try:
                if plain:
                    result = process(data)
                else:
                    given = data if decode is None else decode(data)
                    result = process(given, direction) if self._directed else process(given)
                out = (
                    [result]
                    if type(result) is bytes and 14 <= len(result) <= longest
                    else frames(result, longest)
                )
            except BaseException as error:  # also sys.exit(): a script does not end its function
                out = [data] if self._open else []
                self._failed(error)
            if not out:
                counts["dropped"] += 1
            for frame in out:
                try:
                    send(frame)
                except OSError:  # the other side's queue is full, or its device down
                    counts["dropped"] += 1

    def _failed(self, error: BaseException) -> None:
        self.counts["exceptions"] += 1
        if self._news.may("exception", TRACEBACKS):
            self._news.tell("exception", traceback=only_own(error, self._file))


def serve(
    source: str,
    described: dict[str, Any],
    ports: tuple[socket.socket, socket.socket, int],
    news: News,
    control: int,
    progress: Progress,
) -> None:
    """Load the script, report it, wait for the start command, and work. The sandbox is complete."""
    import faulthandler

    file = described["file"]
    sys.stdout = sys.stderr = news
    # if it hangs, the interpreter itself writes where, without help of the script
    faulthandler.register(signal.SIGUSR1, news.descriptor, all_threads=False)
    try:
        process = load(source, file)
    except BaseException as error:
        news.tell(
            "failed", traceback=only_own(error, file), text=f"{type(error).__name__}: {error}"[:LONGEST_TEXT]
        )
        return
    decode: Callable[[bytes], object] | None = None
    if described["packets"] == "scapy":
        from scapy.layers.l2 import Ether

        decode = Ether
    inward, outward, longest = ports
    worker = Worker(process, news, file, longest, described["on_failure"] == "open", decode, progress)
    news.tell("loaded")
    if os.read(control, 1):
        worker.run(inward, outward, control)
        news.tell("counters", **worker.counts)
