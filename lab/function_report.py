"""Keeping the controller informed of which functions' processes and backends do not work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from lab.failure import Failure

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
        threading.Thread(target=self._run, name="functions' report", daemon=True).start()

    def changed(self) -> None:
        """Something may have changed."""
        self._due.set()

    def again(self) -> None:
        """Tell all, also when it is what was told last."""
        self._forced.set()
        self._due.set()

    def _run(self) -> None:
        told: Mapping[str, str] = {}
        while True:
            self._due.wait()
            self._due.clear()
            forced = self._forced.is_set()
            self._forced.clear()
            failed = self._failed()
            if failed == told and not forced:
                continue
            try:
                self._tell(failed)
                told = failed
            except Failure:  # the controller is away: its successor asks for all
                if not self._due.wait(AGAIN):
                    self.again()
