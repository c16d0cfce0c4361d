"""Flows by which rules of firewalls send packets to the controller, told by their provenance.

A packet-in carries its flow's cookie, which is a hash; of what rule the flow is stands in its ``why``.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from controller.tables import CONTROLLER, Action, Clone, Flow, Output

Verdict = Literal["accept", "drop", "reject"]


class Punted(NamedTuple):
    """What a rule (or ``default``) of a function decides; ``log``: and that it is to be told."""

    function: str
    rule: str
    verdict: Verdict
    log: bool

    @property
    def why(self) -> str:
        """The provenance of a flow that does this."""
        return f"firewall {self.function}, rule {self.rule}: {self.verdict}" + (
            ", logged" if self.log else ""
        )


_WHY = re.compile(r"firewall (\S+), rule (.+): (accept|drop|reject)(, logged)?")


def punted(flow: Flow) -> Punted | None:
    """The rule of a flow that sends to the controller; None for any other flow."""
    if not any(map(_tells, flow.actions)):
        return None
    found = _WHY.fullmatch(flow.why)
    if found is None:
        return None
    function, rule, verdict, log = found.groups()
    return Punted(function, rule, verdict, log is not None)  # type: ignore[arg-type]


def _tells(action: Action) -> bool:
    if isinstance(action, Clone):
        return any(map(_tells, action.actions))
    return isinstance(action, Output) and action.port == CONTROLLER
