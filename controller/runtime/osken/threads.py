"""Threads as os-ken's apps expect them: they can be killed, and their timeouts work.

``controller.runtime.osken.framework`` puts them into ``os_ken.lib.hub``; this module imports nothing of
os-ken.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable
from typing import Any

LOG = logging.getLogger("controller.runtime.osken.threads")


class TaskExit(BaseException):
    """Ends a hub thread; unlike os-ken's own it is not an ``Exception``."""


class Event:
    """os-ken's ``hub.Event`` with a timeout that works."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.is_set, self.set, self.clear = self._event.is_set, self._event.set, self._event.clear

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is set, at the latest after ``timeout`` seconds."""
        return self._event.wait(timeout)


class Thread(threading.Thread):
    """A hub thread: a daemon (so that the process can end) that ``kill`` can end."""

    def __init__(self, target: Callable[..., object], args: Any = (), kwargs: Any = None) -> None:
        kwargs = dict(kwargs or {})
        self.raise_error = kwargs.pop("raise_error", False)
        self.killed = threading.Event()
        super().__init__(target=target, args=args, kwargs=kwargs, daemon=True)

    def run(self) -> None:
        try:
            super().run()
        except TaskExit:
            pass
        except BaseException:
            if self.raise_error:
                raise
            LOG.exception("hub: uncaught exception")

    def kill(self) -> None:
        self.killed.set()
        if self.is_alive() and self is not threading.current_thread() and self.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(TaskExit))

    def wait(self, timeout: float | None = None) -> None:
        self.join(timeout)

    def cancel(self) -> None:
        self.kill()


def sleep(seconds: float = 0) -> None:
    """Sleep as ``time.sleep`` does, but end at once when the thread is killed."""
    thread = threading.current_thread()
    if isinstance(thread, Thread):
        if thread.killed.wait(seconds):
            raise TaskExit
    else:
        threading.Event().wait(seconds)


def joinall(threads: list[threading.Thread]) -> None:
    for thread in threads:
        if isinstance(thread, Thread) and thread.killed.is_set():
            thread.join(1.0)  # it may be in a system call that nothing can interrupt
        elif thread is not threading.current_thread():
            thread.join()
