"""os-ken's hub on native threads, mended: timeouts that end waits, threads that can be killed.

A timeout ends what waits through the hub (``sleep``, ``Event``, ``Queue``, ``Semaphore``), as eventlet's
does; it never interrupts a computation, and neither does eventlet's.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import Any

from controller.runtime.osken import threads
from controller.ryu import native_web

_local = threading.local()


class Timeout(BaseException):
    """eventlet's ``Timeout``: raised in its own thread, at the first wait that would last longer.

    ``exception``: what to raise instead; ``False`` only ends the block.
    """

    def __init__(self, seconds: float | None = None, exception: Any = None) -> None:
        super().__init__(seconds)
        self.seconds, self.exception = seconds, exception
        self._end: float | None = None
        self.start()

    def start(self) -> Timeout:
        if self._end is None and self.seconds is not None:
            self._end = time.monotonic() + self.seconds
            _running().append(self)
        return self

    start_new = start

    @property
    def pending(self) -> bool:
        return self._end is not None

    def cancel(self) -> None:
        self._end = None
        with contextlib.suppress(ValueError):
            _running().remove(self)

    def expired(self) -> BaseException:
        """What a wait raises for it."""
        self.cancel()
        if self.exception is None or isinstance(self.exception, bool):
            return self
        if isinstance(self.exception, type):
            error: BaseException = self.exception()
            return error
        given: BaseException = self.exception
        return given

    def __enter__(self) -> Timeout:
        return self.start()

    def __exit__(self, kind: object, value: object, trace: object) -> bool:
        self.cancel()
        return value is self and self.exception is False

    def __str__(self) -> str:
        return "" if self.seconds is None else f"{self.seconds} second{'' if self.seconds == 1 else 's'}"


def _running() -> list[Timeout]:
    if not hasattr(_local, "timeouts"):
        _local.timeouts = []
    timeouts: list[Timeout] = _local.timeouts
    return timeouts


def _limit(timeout: float | None) -> tuple[float | None, Timeout | None]:
    """For how long to wait, and which timeout ends the wait before ``timeout`` seconds, if one does."""
    running = _running()
    if not running:
        return timeout, None
    first = min(running, key=lambda one: one._end or 0.0)
    left = max(0.0, (first._end or 0.0) - time.monotonic())
    return (left, first) if timeout is None or left < timeout else (timeout, None)


class Event(threads.Event):
    """A hub's event, whose wait a timeout ends."""

    def wait(self, timeout: float | None = None) -> bool:
        limit, ends = _limit(timeout)
        happened = super().wait(limit)
        if not happened and ends is not None:
            raise ends.expired()
        return happened


class Queue(queue.Queue[Any]):
    """A hub's queue. A ``maxsize`` of None has no limit, as eventlet has it."""

    def __init__(self, maxsize: int | None = None) -> None:
        super().__init__(maxsize or 0)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        limit, ends = _limit(timeout) if block else (timeout, None)
        try:
            return super().get(block, limit)
        except queue.Empty:
            if ends is None:
                raise
            raise ends.expired() from None

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        limit, ends = _limit(timeout) if block else (timeout, None)
        try:
            super().put(item, block, limit)
        except queue.Full:
            if ends is None:
                raise
            raise ends.expired() from None


class Semaphore(threading.Semaphore):
    """A hub's semaphore, whose wait a timeout ends."""

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        limit, ends = _limit(timeout) if blocking else (None, None)
        got = super().acquire(blocking, limit)
        if not got and ends is not None:
            raise ends.expired()
        return got

    __enter__ = acquire


class Timer(threads.Thread):
    """A thread that begins after a while, unless it is cancelled."""

    def __init__(self, seconds: float, run: Any, args: Any, kwargs: Any) -> None:
        def later() -> None:
            if not self.killed.wait(seconds):
                run(*args, **kwargs)

        super().__init__(later)


def sleep(seconds: float = 0) -> None:
    """Sleep as ``time.sleep`` does, but end when the thread is killed or a timeout is over."""
    limit, ends = _limit(seconds)
    threads.sleep(limit or 0.0)
    if ends is not None:
        raise ends.expired()


def spawn(run: Any, *args: Any, **kwargs: Any) -> threads.Thread:
    """Start a thread that can be killed."""
    thread = threads.Thread(run, args, kwargs)
    thread.start()
    return thread


def spawn_after(seconds: float, run: Any, *args: Any, **kwargs: Any) -> Timer:
    """Start a thread after a while."""
    kwargs.pop("raise_error", None)
    timer = Timer(seconds, run, args, kwargs)
    timer.start()
    return timer


def mend(hub: Any) -> None:
    """Put these into os-ken's hub, before anything imports them from there."""
    hub.TaskExit = threads.TaskExit
    hub.HubThread = threads.Thread
    hub.joinall = threads.joinall
    hub.kill = lambda thread: thread.kill() if isinstance(thread, threads.Thread) else None
    hub.getcurrent = threading.current_thread
    hub.sleep, hub.spawn, hub.spawn_after = sleep, spawn, spawn_after
    hub.Event, hub.Timeout = Event, Timeout
    hub.WSGIServer, hub.WebSocketWSGI = native_web.WSGIServer, native_web.WebSocketWSGI
    hub.Queue, hub.Semaphore, hub.BoundedSemaphore = Queue, Semaphore, Semaphore
