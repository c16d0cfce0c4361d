"""Proves all pairs of hosts of a lab that starts: by computation, and by as few packets as that needs.

The controller computes on its tables which pairs reach each other, and compares these tables with what the
switches say they hold (``controller.runtime.proving``). Packets show what no computation can: that each host
is reached, and that each link carries.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from controller.messages import Computed, TablesHeld
from dataplane.fabric.fabric import Fabric
from lab.failure import Failure
from lab.messages.lab import PingResult
from lab.probe.answer import tellable
from lab.probe.injecting import Injecting
from lab.probe.loop import Told
from lab.probe.pairs import default_pairs, gateways
from lab.probe.prober import Crossing, ProbeResult
from lab.probe.proof import crossings_of, pairs_of, proven
from lab.supervisor.controllers import SwitchController
from lab.supervisor.pinging import ping, send
from topologies.model.policy import Policy
from topologies.model.routing import Routing
from topologies.model.topology import Topology

PATIENCE = 30.0
"""Timeout in seconds for the controller's proof."""


LEARNING = 60.0
"""Seconds within which routers learn their routes: OSPF elects its designated router after 40 (RFC 2328)."""
PATIENCE_OF_ONE = 1.0
"""Timeout in seconds of one try while they learn."""


@dataclass(frozen=True)
class Unlearned:
    """Pairs between which routers have learned no routes in time, those of one address family at least."""

    pairs: Sequence[tuple[str, str]] = ()

    @property
    def note(self) -> str:
        """A text about them; empty: there are none."""
        if not self.pairs:
            return ""
        some = ", ".join(f"{src} -> {dst}" for src, dst in self.pairs[:3])
        more = f" and {len(self.pairs) - 3} more" if len(self.pairs) > 3 else ""
        return (
            f"FRR has led no packet there within {LEARNING:.0f} s, so these pairs don't count: {some}{more} "
            "(see: sdnlab exec ROUTER -- vtysh -c 'show ip route'; sdnlab logs ROUTER)"
        )


@dataclass(frozen=True)
class Proving:
    """``controller`` was started to prove all pairs."""

    net: Fabric
    topology: Topology
    controller: SwitchController

    def prove(self, told: Told) -> PingResult:
        """Prove all pairs; ``told`` is called with the progress of packets. Raises Failure."""
        slow = self._routes_learned(told)
        if self.topology.applications:  # the user's own apps decide who reaches whom
            return self._by_packets(slow, told)
        computed = self._computed()
        if computed is None or computed.failed:
            why = computed.failed if computed is not None else "the controller did not do it"
            answer = self._by_packets(slow, told)
            note = f"all pairs by packets, since no computation can tell: {why}"
            note = note if self.topology.switches else ""
            return {**answer, "note": "; ".join(filter(None, (answer["note"], note)))}
        ring = self._ring(computed, told)
        now, held = self._held()
        if now is not computed:  # the tables have changed meanwhile
            computed, ring = now, self._ring(now, told)
        left = self._left(computed, slow, told)
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

    def _routes_learned(self, told: Told) -> Unlearned:
        """Wait until routers have learned their routes; the pairs to which they have not."""
        pairs = sorted(Routing(self.topology).learned)
        end = time.monotonic() + LEARNING
        while pairs and time.monotonic() < end:
            result = send(self.net, self.topology, pairs, PATIENCE_OF_ONE, told)
            pairs = sorted({(failure.src, failure.dst) for failure in result.failures})
        return Unlearned(pairs)

    def _by_packets(self, slow: Unlearned, told: Told) -> PingResult:
        """All pairs by packets, but not those that routers don't know."""
        if not slow.pairs:
            return ping(self.net, self.topology, None, None, "auto", told)
        everybody = default_pairs(self.topology.hosts, gateways(self.topology), Routing(self.topology).ways)
        return self._some([pair for pair in everybody if pair not in slow.pairs], slow.note, told)

    def _left(self, computed: Computed, slow: Unlearned, told: Told) -> PingResult | None:
        """The pairs that the computation could not tell, by packets; not those that routers don't know."""
        pairs = [pair for pair in pairs_of(computed.left) if pair not in slow.pairs]
        return self._some(pairs, slow.note, told) if pairs or slow.note else None

    def _some(self, pairs: list[tuple[str, str]], note: str, told: Told) -> PingResult:
        """These pairs by packets, but not those of which the file does not tell. ``note``: told, too."""
        policy = Policy(self.topology)
        if pairs and policy:
            pairs, more = tellable(self.topology.hosts, pairs, policy)
            note = "; ".join(filter(None, (note, more)))
        answer = ping(self.net, self.topology, pairs, None, "auto", told)
        return {**answer, "note": "; ".join(filter(None, (answer["note"], note)))}
