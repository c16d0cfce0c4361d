"""Compiling in a thread of its own, so that switches are answered while a large lab is compiled."""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections.abc import Callable, Mapping

from controller.flow.tables import SwitchTables
from controller.runtime.commands import Compile

Compiled = Callable[[Compile, dict[str, SwitchTables], float], None]
"""Called with the tables, and the seconds that they took."""
Failed = Callable[[Compile, str], None]
"""Called with the reason."""


class Compiling:
    """Does one `Compile` after the other, and calls ``compiled`` or ``failed`` from its thread.

    ``first`` is called with the first tables after ``compiled``, and ``proof`` after that, with what was
    compiled, too.
    """

    def __init__(
        self,
        compiled: Compiled,
        failed: Failed,
        first: Callable[[Mapping[str, SwitchTables]], None],
        proof: Callable[[Compile, Mapping[str, SwitchTables]], None] = lambda command, tables: None,
    ) -> None:
        self._compiled, self._failed, self._first, self._proof = compiled, failed, first, proof
        self._work: queue.SimpleQueue[Compile] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the thread, which ends with the process."""
        threading.Thread(target=self._compile_forever, daemon=True, name="compile").start()

    def put(self, command: Compile) -> None:
        """Compile this after all that was put before."""
        self._work.put(command)

    def _compile_forever(self) -> None:
        from controller.compiler.compile import compile_topology

        while True:
            command = self._work.get()
            began = time.perf_counter()
            try:
                tables = compile_topology(*command[1:])
            except Exception as problem:
                self._failed(command, f"{type(problem).__name__}: {problem}")
                gc.enable()
                continue
            self._compiled(command, tables, time.perf_counter() - began)
            if command.generation == 1:
                self._first(tables)
                gc.freeze()  # the tables of a large lab are millions of objects that stay
                self._proof(command, tables)
                gc.enable()
