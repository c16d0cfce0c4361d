"""Tells the controller which functions' processes and backends do not work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lab.failure import Failure

if TYPE_CHECKING:
    from nfv.contract import Program
    from topologies.model.functions import Function
    from topologies.model.topology import Topology

AGAIN = 0.5
"""Seconds until a report that the controller did not accept is sent again."""


class Reporter:
    """Sends the whole of ``failed()`` by ``tell`` whenever it has changed, and when ``again`` asks for it.

    A new controller knows nothing, so each report is complete.  Several changes at a time give one report.
    """

    def __init__(
        self, failed: Callable[[], dict[str, str]], tell: Callable[[Mapping[str, str]], None]
    ) -> None:
        self._failed, self._tell = failed, tell
        self._due = threading.Event()
        self._forced = threading.Event()
        self._told: Mapping[str, str] = {}
        self._took = threading.Condition()
        threading.Thread(target=self._run, name="functions' report", daemon=True).start()

    def changed(self) -> None:
        """Something may have changed."""
        self._due.set()

    def again(self) -> None:
        """Send a report, even if nothing has changed."""
        self._forced.set()
        self._due.set()

    def reported(self, patience: float) -> bool:
        """Wait until the controller has the present state, up to so many seconds; whether it has it."""
        with self._took:
            return self._took.wait_for(lambda: self._told == self._failed(), patience)

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            forced = self._forced.is_set()
            self._forced.clear()
            failed = self._failed()
            if failed == self._told and not forced:
                continue
            try:
                self._tell(failed)
                with self._took:
                    self._told = failed
                    self._took.notify_all()
            except Failure:  # the controller is down: its successor asks for a report
                if not self._due.wait(AGAIN):
                    self.again()


def describe_function(function: Function, instance: str, topology: Topology) -> Program:
    """The program of an instance. The import is late: many labs have no functions."""
    from nfv.describe import describe

    return describe(function, instance, topology)
