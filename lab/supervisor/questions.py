"""What a lab asks its controllers, and how long it waits: no longer than the one that is asked can answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from controller import answers
from controller.messages import BadMessage
from lab.failure import Failure
from lab.supervisor.controllers import Controllers, SwitchController
from lab.supervisor.health import Health, key_of, process_name
from lab.supervisor.northbound import TIMEOUT, ask

GLANCE = 0.6
"""Seconds for what a look at the lab asks the controller: it says what it knows without."""
T = TypeVar("T")


@dataclass(frozen=True)
class Questions:
    """Asks ``controllers``; ``health`` says when there is no sense in waiting."""

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
        """A controller's own answer to a request for ``path`` of its northbound API. ``of``: which one's; the
        lab's own when None. Raises Failure for one that has no API.

        ``doubt``: why there is no sense in waiting for it (else: it hangs). See
        ``lab.supervisor.northbound.ask``.
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
        """The answer of the lab's own controller, if it gives one at once."""
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
