"""The supervisor's part of ``trace``: predicts a packet's way through the lab as it is now, and sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.compiler.compile import compile_topology
from controller.simulate.network import Lookup
from controller.trace.path import Taken
from controller.trace.questions import CannotAsk
from lab.failure import Failure
from lab.messages.trace import TraceRequest, TraceState
from lab.tracing.asking import asked_by
from lab.tracing.observing import observe
from lab.views.ending import cut_off, with_ends_cut_off
from lab.views.trace import Prediction, predicted

if TYPE_CHECKING:
    from lab.supervisor.lab import Lab


def trace(lab: Lab, request: TraceRequest) -> TraceState:
    """Follow a packet. Raises Failure if it can't be sent."""
    with lab.lock:  # what is where, until the last switch is asked
        return follow(lab, request)


def follow(lab: Lab, request: TraceRequest) -> TraceState:
    """The same for one who holds ``lab.lock``."""
    topology = lab.topology
    if topology.by_apps:
        raise Failure(
            f"a trace follows the lab's own tables, and apps control {', '.join(topology.by_apps)}",
            "what an app is asked and says: sdnlab openflow SWITCH -f; its flows: sdnlab flows SWITCH",
        )
    down = frozenset(name for name, up in lab.net.link_states().items() if not up)
    failed = frozenset(lab.functions.failed()) | _failing(lab)
    try:
        asked, data = asked_by(topology, request)
    except CannotAsk as error:
        raise Failure(error.what, error.remedy) from None
    ends = (asked.source.name, request["destination"])
    cut = [*cut_off(topology, ends, down, lab.switches_down)]
    tables = compile_topology(topology, down, frozenset(), (), failed)
    lookups = {name: Lookup(held) for name, held in tables.items()}
    back = request.get("back", True)

    def predict(turn: int, taken: Taken) -> Prediction:
        return predicted(topology, lookups, asked, request["destination"], back, down, failed, turn, taken)

    def wanted(switch: str) -> dict[int, str]:
        try:
            return {int(flow["cookie"], 16): flow["why"] for flow in lab.flows(switch) if flow["why"]}
        except Failure:
            return {cookie: flow.why for cookie, flow in lookups[switch].by_cookie().items()}

    try:
        state = observe(lab.net, topology, predict, wanted, asked, data)
    except OSError as error:
        if cut:
            raise Failure(f"can't send from {request['source']}: {cut[0]['why']}") from None
        what = f"can't send from {request['source']}: {error.strerror or error}"
        raise Failure(what, "is a host's interface gone? see: sdnlab status") from None
    return with_ends_cut_off(state, cut)


def _failing(lab: Lab) -> frozenset[str]:
    """Instances whose health checks the controller has seen fail; it sends nothing to them."""
    return frozenset(
        instance["name"]
        for function in lab.function_states()
        for instance in function["instances"]
        if instance["health"] == "failed"
    )
