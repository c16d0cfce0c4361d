"""Answering when it is true: a change holds for every packet before anybody is told that it was made.

Three parts follow a change at their own pace: ovs-vswitchd learns of devices from the kernel, the controller
of ports from ovs-vswitchd, and the datapath keeps what was worked out for earlier packets.  Each is asked in
turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from controller import answers
from controller.messages import BadMessage
from lab.failure import Failure
from lab.supervisor.health import Lasting
from lab.supervisor.northbound import NoAnswer

if TYPE_CHECKING:
    from lab.supervisor.controllers import SwitchController
    from lab.supervisor.lab import Lab
    from topologies.model.topology import Topology

SETTLE_PATIENCE = 30.0
"""Seconds until every switch must have confirmed a change."""
FOLLOW_PATIENCE = 5.0
"""Seconds that the controller gets to follow what happened to a port."""
HUNG_PATIENCE = 1.0
"""Seconds for which a process may hang before a change that needs it is given up."""
_READ_PATIENCE = 10.0


Intents = Mapping[str, int]
"""Controller -> the number of what it was told to work for."""


def intend(lab: Lab, topology: Topology) -> Intents:
    """Have all controllers work for ``topology``, now and whenever they are started again; the intents'
    numbers.

    Its successor, should one die now, reads the same; one that hangs is replaced by a successor.  Raises
    Failure when one refuses.
    """
    return {controller.name: _intend(lab, controller, topology) for controller in lab.controllers.all()}


def _intend(lab: Lab, controller: SwitchController, topology: Topology) -> int:
    number = controller.replace(topology)
    if controller.api is None:
        return number
    body = topology.model_dump(mode="json")
    while not controller.has_read(number):
        pid = controller.pid
        hangs = Lasting(partial(lab.health.why_no_answer, controller=controller.name), HUNG_PATIENCE)
        doubt = partial(_doubt, hangs, controller, pid)
        try:
            lab.ask_controller(
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
                lab.events.add("controller", f"{silence.what}; a new controller replaces it")
                controller.restart()
            controller.wait_until(lambda _: controller.has_read(number), SETTLE_PATIENCE)
    return number


def _doubt(hangs: Callable[[], str], controller: SwitchController, pid: int) -> str:
    return hangs() or ("" if controller.pid == pid else "the controller ended")


def wait_settled(lab: Lab, numbers: Intents) -> None:
    """Wait until every switch that is connected holds the tables of its controller's intent, whichever
    process brings them, and every packet meets them.  Raises Failure."""
    for controller in lab.controllers.at_work():
        _wait_settled(lab, controller, numbers[controller.name])
    lab.net.forget_worked_out()


def _wait_settled(lab: Lab, controller: SwitchController, number: int) -> None:
    hangs = Lasting(lambda: lab.health.why_no_answer(None, controller.name), HUNG_PATIENCE)

    def doubt() -> str:
        why = hangs()
        if why and not lab.health.controller_works(controller.name):
            controller.restart()  # its successor finds the intent
            return ""
        return why

    controller.wait_until(lambda state: state.settled >= number, SETTLE_PATIENCE, doubt)


def settle(lab: Lab, reported: Callable[[float], bool] = lambda patience: True) -> str:
    """Wait until what was changed in the data plane holds for every packet, and controllers have followed.

    ``reported`` waits, so many seconds, until the lab's own was told what the lab itself knows.  Returns
    what could not be waited for, in words.
    """
    lab.net.notice_devices()
    notes = [
        _follow(lab, controller, reported)
        for controller in lab.controllers.at_work()
        if controller.api is not None
    ]
    lab.net.forget_worked_out()
    return "; ".join(filter(None, notes))


def _follow(lab: Lab, controller: SwitchController, reported: Callable[[float], bool]) -> str:
    """Wait until one controller has brought its switches up to date; why it has not, in words."""
    try:
        if not reported(FOLLOW_PATIENCE):
            raise NoAnswer("it did not get the function's state")
        within = f"{FOLLOW_PATIENCE}"
        hangs = Lasting(partial(lab.health.why_no_answer, controller=controller.name), HUNG_PATIENCE / 2)
        said = lab.ask_controller(
            "/settled",
            method="POST",
            of=controller,
            patience=FOLLOW_PATIENCE,
            doubt=hangs,
            within=within,
            without=",".join(sorted(lab.switches_down)),
        )
        if not answers.read(answers.Settled, said).settled:
            return "the controller has not brought all switches up to date yet"
    except Failure as failure:
        return f"the controller has not followed yet: {failure.what}"
    except BadMessage as problem:
        return f"the controller says what is not understood: {problem}"
    return ""
