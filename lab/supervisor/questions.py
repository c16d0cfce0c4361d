"""Requests of a lab to its controllers. It stops waiting when the controller hangs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from controller import answers
from controller.typed_json import BadMessage
from lab.failure import Failure
from lab.supervisor.controllers import Controllers, SwitchController
from lab.supervisor.health import Health, key_of, process_name
from lab.supervisor.northbound import TIMEOUT, ask

GLANCE = 0.6
"""Timeout in seconds for the controller if a user only looks at the lab; then the answer comes without it."""
T = TypeVar("T")


@dataclass(frozen=True)
class Questions:
    """Sends requests to ``controllers``; ``health`` tells when a controller hangs."""

    controllers: Controllers
    health: Health

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: Any = None,
        patience: float = 10.0,
        timeout: float = TIMEOUT,
        doubt: Callable[[], str] | None = None,
        of: SwitchController | None = None,
        **query: str | None,
    ) -> Any:
        """A controller's answer to a request for ``path`` of its northbound API.

        ``of``: the controller's name; None: the lab's own. ``doubt``: returns a reason not to wait (default:
        it hangs). Raises Failure if the controller has no API. See ``lab.supervisor.northbound.ask``.
        """
        controller = of or self.controllers.own
        if controller.api is None:
            remedy = "ask a switch itself: sdnlab exec SWITCH -- ovs-ofctl dump-flows SWITCH"
            raise Failure(f"{process_name(key_of(controller.name))} can't be asked for {path}", remedy)
        return ask(
            str(controller.api),
            path,
            method,
            body,
            query,
            patience=patience,
            timeout=timeout,
            doubt=doubt or (lambda: self.health.why_no_answer(controller=controller.name)),
        )

    def glance(self, kind: type[T], path: str) -> T | None:
        """The answer of the lab's own controller; None if it does not answer quickly."""
        try:
            answer = self.ask(
                path,
                patience=GLANCE,
                timeout=GLANCE,
                within=f"{GLANCE / 2}",
                doubt=self.health.why_no_answer,
            )
            return answers.read(kind, answer)
        except (Failure, BadMessage):
            return None
