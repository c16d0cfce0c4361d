"""Proves all pairs of hosts of a lab that starts: by computation, and by as few packets as that needs.

The controller computes on its tables which pairs reach each other, and compares these tables with what the
switches say they hold (``controller.runtime.proving``). Packets show what no computation can: that each host
is reached, and that each link carries.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.messages import Computed, TablesHeld
from dataplane.fabric.fabric import Fabric
from lab.failure import Failure
from lab.messages.lab import PingResult
from lab.probe.answer import tellable
from lab.probe.injecting import Injecting
from lab.probe.loop import Told
from lab.probe.prober import Crossing, ProbeResult
from lab.probe.proof import crossings_of, pairs_of, proven
from lab.supervisor.controllers import SwitchController
from lab.supervisor.pinging import ping, send
from topologies.model.policy import Policy
from topologies.model.topology import Topology

PATIENCE = 30.0
"""Timeout in seconds for the controller's proof."""


@dataclass(frozen=True)
class Proving:
    """``controller`` was started to prove all pairs."""

    net: Fabric
    topology: Topology
    controller: SwitchController

    def prove(self, told: Told) -> PingResult:
        """Prove all pairs; ``told`` is called with the progress of packets. Raises Failure."""
        if self.topology.applications:  # the user's own apps decide who reaches whom
            return ping(self.net, self.topology, None, None, "auto", told)
        computed = self._computed()
        if computed is None or computed.failed:
            why = computed.failed if computed is not None else "the controller did not do it"
            answer = ping(self.net, self.topology, None, None, "auto", told)
            note = f"all pairs by packets, since no computation can tell: {why}"
            return {**answer, "note": "; ".join(filter(None, (answer["note"], note)))}
        ring = self._ring(computed, told)
        now, held = self._held()
        if now is not computed:  # the tables have changed meanwhile
            computed, ring = now, self._ring(now, told)
        left = self._left(computed, told)
        hosts = [host.name for host in self.topology.hosts]
        down = [name for name, up in self.net.link_states().items() if not up]
        links = {link.name for link in self.topology.links}
        return proven(hosts, computed, held, ring, left, down, links)

    def _computed(self) -> Computed | None:
        if not self.controller.state.switches:
            return None
        try:
            self.controller.wait_until(lambda state: state.computed is not None, PATIENCE)
        except Failure:
            return None
        return self.controller.state.computed

    def _held(self) -> tuple[Computed, TablesHeld]:
        self.controller.wait_until(lambda state: state.proven is not None, PATIENCE)
        answer = self.controller.state.proven
        if answer is None:
            raise Failure("the controller has died while it proved all pairs", "see: sdnlab logs controller")
        return answer

    def _ring(self, computed: Computed, told: Told) -> ProbeResult:
        with Injecting(self.net.openflow_socket) as injecting:
            frames = [
                Crossing(
                    crossing.src,
                    crossing.dst,
                    crossing.family,
                    lambda frame, crossing=crossing: injecting.send(crossing.switch, crossing.port, frame),  # type: ignore[misc]
                )
                for crossing in crossings_of(computed)
            ]
            pairs = pairs_of(computed.ring)
            return send(self.net, self.topology, pairs, told=told, crossings=frames, method="stack")

    def _left(self, computed: Computed, told: Told) -> PingResult | None:
        """The pairs that the computation could not tell, by packets."""
        pairs = pairs_of(computed.left)
        note = ""
        policy = Policy(self.topology)
        if pairs and policy:
            pairs, note = tellable(self.topology.hosts, pairs, policy)
        if not pairs and not note:
            return None
        answer = ping(self.net, self.topology, pairs, None, "auto", told)
        return {**answer, "note": "; ".join(filter(None, (answer["note"], note)))}
