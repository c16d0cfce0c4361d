"""QEMU's monitors, by the QEMU Machine Protocol: one thread and one event loop for all machines.

The methods block the calling thread, which must not be that of the loop. Protocol and commands: QEMU's QMP
Reference Manual.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar

from qemu.qmp import ExecuteError, QMPClient, QMPError

T = TypeVar("T")
PATIENCE = 20.0
"""Timeout in seconds of a command: QEMU answers at once, unless the machine is overloaded."""
Heard = Callable[[str, Mapping[str, Any]], None]
"""Takes an event: its name, such as GUEST_PANICKED, and its data."""


class MonitorError(Exception):
    """QEMU refused a command, or can't be asked any more; the message says why."""


class Late(MonitorError):
    """What was awaited has not come in time."""


class Event(NamedTuple):
    """Something that QEMU told by itself. ``at``: when, in seconds since 1970, by QEMU's own clock."""

    name: str
    data: Mapping[str, Any]
    at: float


MOST_EVENTS = 1000
"""Events that a monitor remembers."""
LOOK = 0.2
"""Seconds between two looks whether QEMU still runs while an event is awaited."""


class Loop:
    """The thread and event loop of the monitors and consoles; it starts when it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """Let the loop do ``work``, and wait. Raises TimeoutError, or what it raises."""
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def soon(self, call: Callable[[], object]) -> None:
        """Let the loop make a call, without waiting."""
        self._running().call_soon_threadsafe(call)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="qmp", daemon=True).start()
            return self._loop


LOOP = Loop()


class Monitor:
    """The monitor of one machine, over a connected socket. ``heard`` is called from the loop's thread: it
    must not block, nor ask this monitor."""

    def __init__(self, name: str, stream: socket.socket, heard: Heard) -> None:
        self._heard = heard
        self._client = QMPClient(name)
        self._stream = stream
        self._events: asyncio.Task[None] | None = None
        self._told: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._count = 0
        self._news = threading.Condition()

    def connect(self, timeout: float = PATIENCE) -> None:
        """Greet QEMU. Raises MonitorError."""

        async def greet() -> None:
            await self._client.connect(self._stream)
            self._events = asyncio.create_task(self._listen())

        self._run(greet(), timeout)

    def execute(self, command: str, **arguments: Any) -> Any:
        """QEMU's answer to a command. An underscore in an argument's name stands for a hyphen. Raises
        MonitorError."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self._run(self._client.execute(command, named or None), PATIENCE)

    def give(self, descriptor: int, command: str, **arguments: Any) -> Any:
        """A command with a descriptor, such as getfd and add-fd. Raises MonitorError."""

        async def send() -> object:
            self._client.send_fd_scm(descriptor)
            named = {name.replace("_", "-"): value for name, value in arguments.items()}
            return await self._client.execute(command, named or None)

        return self._run(send(), PATIENCE)

    def mark(self) -> int:
        """A place in the sequence of events, for ``await_event``: all that come from now on."""
        with self._news:
            return self._count

    def await_event(
        self, wanted: Callable[[Event], bool], after: int, timeout: float, alive: Callable[[], bool]
    ) -> Event:
        """The first wanted event after a mark; waits for it, ``timeout`` seconds and as long as ``alive``.

        Raises Late, or another MonitorError.
        """
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                new = list(self._told)[max(0, len(self._told) - (self._count - after)) :]
                event = next(filter(wanted, new), None)
                if event is not None:
                    return event
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Late(f"QEMU has not told the end for {timeout:.0f} s")
                if not self._news.wait(min(left, LOOK)) and not alive():
                    raise MonitorError("QEMU has ended")

    def state(self) -> str:
        """The machine's run state: ``running``, ``paused``, ``guest-panicked``, ... Raises MonitorError."""
        return str(self.execute("query-status")["status"])

    def close(self) -> None:
        """End the connection. It may be broken already."""

        async def end() -> None:
            if self._events is not None:
                self._events.cancel()
            with contextlib.suppress(Exception):
                await self._client.disconnect()

        with contextlib.suppress(MonitorError):
            self._run(end(), PATIENCE)
        self._stream.close()

    async def _listen(self) -> None:
        async for event in self._client.events:
            data = event.get("data")
            told = Event(str(event["event"]), data if isinstance(data, dict) else {}, _time(event))
            with self._news:
                self._told.append(told)
                self._count += 1
                self._news.notify_all()
            self._heard(told.name, told.data)

    def _run(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        try:
            return LOOP.run(work, timeout)
        except ExecuteError as error:
            raise MonitorError(f"QEMU refuses: {error}") from None
        except TimeoutError:
            raise MonitorError(f"QEMU has not answered for {timeout:.0f} s") from None
        except (QMPError, OSError, EOFError) as error:
            raise MonitorError(f"QEMU does not answer: {error}") from None


def _time(event: Mapping[str, Any]) -> float:
    """The time of an event in seconds since 1970; 0 when QEMU doesn't tell it."""
    stamp = event.get("timestamp")
    if not isinstance(stamp, Mapping):
        return 0.0
    return float(stamp.get("seconds", 0)) + float(stamp.get("microseconds", 0)) / 1e6
