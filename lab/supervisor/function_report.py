"""Connects a lab's functions to the controller (what fails) and to the log of events (texts for people)."""

from __future__ import annotations

from collections.abc import Mapping

from lab.functions.report import Reporter
from lab.supervisor.lab import Lab


def inform(lab: Lab) -> None:
    """Tell the controller which functions do not work, and write its messages about functions as events."""

    def tell(failed: Mapping[str, str]) -> None:
        lab.questions.ask(
            "/functions/reported", method="POST", body={"failed": list(failed), "reasons": dict(failed)}
        )

    reporter = Reporter(lab.functions.failed, tell)
    lab.functions.changed, lab.functions.reported = reporter.changed, reporter.reported
    lab.controllers.own.compiled = reporter.again
    for controller in lab.controllers.all():
        controller.names = lambda: lab.names
    reporter.changed()
