"""Waits until a change applies to every packet; only then is the request answered.

Three parts follow a change, one after the other: ovs-vswitchd gets devices' events from the kernel, the
controller gets ports' events from ovs-vswitchd, and the datapath caches translations of earlier packets.  So
each is asked in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from controller import answers
from controller.typed_json import BadMessage
from dataplane.fabric.fabric import Fabric
from lab.events.log import EventLog
from lab.failure import Failure
from lab.supervisor.controllers import Controllers, SwitchController
from lab.supervisor.health import Health, Lasting
from lab.supervisor.northbound import NoAnswer
from lab.supervisor.questions import Questions
from topologies.model.choices import NO_PART_OF_LABS
from topologies.model.topology import Topology

SETTLE_PATIENCE = 30.0
"""Timeout in seconds until every switch has confirmed a change."""
FOLLOW_PATIENCE = 5.0
"""Timeout in seconds for the controller to follow an event of a port."""
APP_PATIENCE = 6.0
"""Timeout in seconds for switches to connect to a user's app, which may fail for reasons of its own."""
HUNG_PATIENCE = 1.0
"""Seconds for which a process may hang before a change that needs it is given up."""
_READ_PATIENCE = 10.0


Intents = Mapping[str, int]
"""Controller -> the number of its intent."""


@dataclass(frozen=True)
class Settling:
    """Gives controllers their intents, and waits until they and the switches have followed."""

    net: Fabric
    controllers: Controllers
    health: Health
    questions: Questions
    events: EventLog

    def intend(self, topology: Topology) -> Intents:
        """Give all controllers the intent ``topology``, for now and for each restart; the intents' numbers.

        If a controller dies now, its successor reads the same intent; one that hangs is replaced.  Raises
        Failure when a controller refuses.
        """
        return {controller.name: self._intend(controller, topology) for controller in self.controllers.all()}

    def _intend(self, controller: SwitchController, topology: Topology) -> int:
        number = controller.replace(topology)
        if controller.api is None:
            return number
        body = topology.model_dump(mode="json", exclude={*NO_PART_OF_LABS})
        while not controller.has_read(number):
            pid = controller.pid
            doubt = partial(_doubt, self._hangs(controller), controller, pid)
            try:
                self.questions.ask(
                    "/topology",
                    method="PUT",
                    body=body,
                    of=controller,
                    patience=_READ_PATIENCE,
                    doubt=doubt,
                    number=str(number),
                )
                return number
            except NoAnswer as silence:
                if pid and controller.pid == pid and not controller.has_read(number):
                    self.events.add("controller", f"{silence.what}; a new controller replaces it")
                    controller.restart()
                controller.wait_until(lambda _: controller.has_read(number), SETTLE_PATIENCE)
        return number

    def _hangs(self, controller: SwitchController, seconds: float = HUNG_PATIENCE) -> Lasting:
        """The reason why the controller's process has not answered for so long, as text; empty: none."""
        return Lasting(partial(self.health.why_no_answer, controller=controller.name), seconds)

    def _any_hangs(self, controller: SwitchController) -> Lasting:
        """The same, but any of its switches may also be the reason."""
        return Lasting(partial(self.health.why_no_answer, None, controller.name), HUNG_PATIENCE)

    def wait_settled(self, numbers: Intents) -> None:
        """Wait until every connected switch holds the tables of its controller's intent, and they apply to
        every packet.

        The controller may be restarted meanwhile.  Raises Failure.
        """
        for controller in self.controllers.at_work():
            self._wait_settled(controller, numbers[controller.name])
        self.net.forget_worked_out()

    def _wait_settled(self, controller: SwitchController, number: int) -> None:
        hangs = self._any_hangs(controller)

        def doubt() -> str:
            why = hangs()
            if why and not self.health.controller_works(controller.name):
                controller.restart()  # its successor finds the intent
                return ""
            return why

        controller.wait_until(lambda state: state.settled >= number, SETTLE_PATIENCE, doubt)

    def wait_taken_over(self, switches: Mapping[str, str]) -> list[str]:
        """Wait until switches have their tables from their new controllers (switch -> name); texts about apps
        that have not connected to theirs in time.

        Raises Failure when the lab's own controller does not program one.
        """
        notes = []
        for switch, name in switches.items():
            controller = next(known for known in self.controllers.all() if known.name == name)
            mine = controller.api is not None
            try:
                controller.wait_until(
                    lambda state, switch=switch, mine=mine: (  # type: ignore[misc]
                        switch in state.programmed and (state.converged or not mine)
                    ),
                    SETTLE_PATIENCE if mine else APP_PATIENCE,
                    self._any_hangs(controller) if mine else lambda: "",
                )
            except Failure as failure:
                if mine:
                    raise
                notes.append(f"{switch} has not connected to its app yet: {failure.what}")
        return notes

    def settle(
        self, without: Collection[str], reported: Callable[[float], bool] = lambda patience: True
    ) -> str:
        """Wait until a change of the data plane applies to every packet, and the controllers have followed.

        ``without``: the switches that have failed.

        ``reported`` waits, so many seconds, until the lab's own controller has the state of functions.
        Returns a text about the controllers that did not follow in time.
        """
        self.net.notice_devices()
        asked = [controller for controller in self.controllers.at_work() if controller.api is not None]
        notes = [self._follow(controller, without, reported) for controller in asked]
        self.net.forget_worked_out()
        return "; ".join(filter(None, notes))

    def _follow(
        self, controller: SwitchController, without: Collection[str], reported: Callable[[float], bool]
    ) -> str:
        """Wait until one controller has updated its switches; a text that says why it has not (empty: it
        has)."""
        try:
            if not reported(FOLLOW_PATIENCE):
                raise NoAnswer("it did not get the function's state")
            said = self.questions.ask(
                "/settled",
                method="POST",
                of=controller,
                patience=FOLLOW_PATIENCE,
                doubt=self._hangs(controller, HUNG_PATIENCE / 2),
                within=f"{FOLLOW_PATIENCE}",
                without=",".join(sorted(without)),
            )
            if not answers.read(answers.Settled, said).settled:
                return "the controller has not brought all switches up to date yet"
        except Failure as failure:
            return f"the controller has not followed yet: {failure.what}"
        except BadMessage as problem:
            return f"the controller says what is not understood: {problem}"
        return ""

    def follow_return(self, switch: str) -> str:
        """Wait until a switch that is on again has its tables; a text that says why it has not (empty: it
        has)."""
        try:
            controller = self.controllers.of(switch)
            controller.wait_until(
                lambda state: switch in state.programmed and state.converged,
                FOLLOW_PATIENCE,
                self._any_hangs(controller),
            )
        except Failure as failure:
            return f"the controller has not followed yet: {failure.what}"
        return ""


def _doubt(hangs: Callable[[], str], controller: SwitchController, pid: int) -> str:
    return hangs() or ("" if controller.pid == pid else "the controller ended")
