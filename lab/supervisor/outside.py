"""The ways out of a lab in its supervisor."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dataplane.outside.plan import gateway_plans
from dataplane.outside.stack import OutsideError
from dataplane.outside.ways import WaysOut, lacks
from dataplane.plan.lab import plan
from lab.failure import Failure
from lab.messages.outside import WayState
from lab.naming import RUN
from lab.supervisor.hosts import refuse
from topologies.model.topology import Topology

if TYPE_CHECKING:
    from dataplane.fabric.fabric import Fabric
    from dataplane.plan.lab import Plan
    from dataplane.sandbox.door import Door
    from lab.events.log import EventLog

FOLDER = RUN / "outside"


def machine_must_have(topology: Topology) -> None:
    """Raise Failure, before anything is built, when this machine lacks what the ways out need."""
    refuse(lacks(topology))


def check_ports(door: Door, topology: Topology) -> None:
    """Raise Failure, before anything is built, when a port can't be published."""
    if topology.publish:
        _do(
            lambda: WaysOut(door, lambda netns: -1, FOLDER, _silent).check(
                gateway_plans(topology, plan(topology))
            )
        )


class Outside:
    """The ways out; errors are Failures."""

    def __init__(self, door: Door, net: Fabric, events: EventLog) -> None:
        def tell(text: str, data: Mapping[str, Any]) -> None:
            events.add("outside", text, data)

        self._ways = WaysOut(door, net.space_fd, FOLDER, tell)

    def check(self, topology: Topology) -> None:
        """Raise Failure when a port can't be published that is not published yet. Changes nothing."""
        if topology.publish:
            _do(lambda: self._ways.check(gateway_plans(topology, plan(topology))))

    def become(self, topology: Topology, planned: Plan) -> None:
        """Change to the ways out of this topology; the namespaces of its plan are there. Raises Failure; then
        all are as before."""
        if topology.outside or self._ways.states():
            _do(lambda: self._ways.become(gateway_plans(topology, planned)))

    def become_again(self, topology: Topology, planned: Plan) -> None:
        """Undo a change; troubles tell what did not succeed."""
        with contextlib.suppress(Failure):
            self.become(topology, planned)

    def states(self) -> list[WayState]:
        """All ways out."""
        return [
            {
                "network": way.gateway.network,
                "gateway": way.gateway.host,
                "open": way.gateway.open,
                "running": way.stack is not None,
                "pid": way.stack.pid if way.stack is not None else 0,
                "restarts": way.restarts,
                "trouble": way.trouble,
                "published": [
                    {
                        "port": forward.port,
                        "host": forward.host,
                        "to": forward.to,
                        "target": f"{forward.host}:{forward.to}",
                    }
                    for forward in way.gateway.forwards
                ],
            }
            for way in self._ways.states()
        ]

    def troubles(self) -> list[str]:
        """Texts about present problems."""
        return self._ways.troubles()


def _do(action: Any) -> None:
    try:
        action()
    except OutsideError as error:
        raise Failure(error.what, error.remedy or "see: sdnlab events") from None


def _silent(text: str, data: Mapping[str, Any]) -> None:
    """Nobody is told."""
