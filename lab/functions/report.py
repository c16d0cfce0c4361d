"""Keeping the controller informed of which functions' processes and backends do not work."""

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
"""Seconds until what the controller did not take is told again."""


class Reporter:
    """Tells all of ``failed()`` by ``tell`` whenever that has changed, and when ``again`` asks for it.

    A controller that was just started knows nothing, so it is told all.  What comes together is told once.
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
        """Tell all, also when it is what was told last."""
        self._forced.set()
        self._due.set()

    def reported(self, patience: float) -> bool:
        """Wait up to so many seconds until the controller was told what holds now; whether it was."""
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
            except Failure:  # the controller is away: its successor asks for all
                if not self._due.wait(AGAIN):
                    self.again()


def describe_function(function: Function, instance: str, topology: Topology) -> Program:
    """What to start for an instance; imported when there is one."""
    from nfv.describe import describe

    return describe(function, instance, topology)
