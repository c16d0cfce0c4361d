"""Follows a real packet through a running lab, beside what its file predicts."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from controller.flow.text import value_text
from controller.simulate.network import Frame, Lookup
from controller.trace.path import Hop, Trace
from controller.trace.questions import Question
from dataplane.fabric.fabric import Fabric
from dataplane.ovs.tracing import Visit, arguments, arguments_for_fields, visits
from dataplane.ovs.unixctl import UnixctlError, ask
from lab.messages.trace import TraceState, WayState
from lab.packets.tagged import Direction, inside, tagged
from lab.probe.prober import open_in
from lab.tracing.comparison import Compared, compare, entry
from lab.tracing.points import observable, points
from lab.tracing.watching import Sighting, send_and_watch
from lab.views.trace import Prediction, reached
from topologies.model.topology import Topology

PATIENCE = 3.0
"""Seconds for a packet and its answer, on a busy machine. It takes milliseconds."""
SILENCE = 0.7
"""Seconds in which nothing should come, if nothing is predicted to."""
_ASKING = 5.0
_FIRST = ("eth_type", "ip_proto")
_BESIDE = ("icmp_id", "inner_", "inside:", "part:", "then")


@dataclass(frozen=True)
class _Asker:
    """Asks the switches of a lab what their flows do to a frame."""

    net: Fabric

    def visit(self, hop: Hop, seen: Sighting | None) -> Visit | None:
        """What the switch of a hop does with the frame that it gets, as it was seen there if it was."""
        plan = self.net.plan
        domain, bridge = next(
            (domain, bridge)
            for domain in plan.domains
            for bridge in domain.bridges
            if bridge.switch == hop.at.switch
        )
        daemon = self.net.daemon_sockets().get((domain.name, "ovs-vswitchd"))
        if daemon is None:
            return None
        states = hop.tracked
        # a raw socket gets a tagged frame without its tag
        if seen is not None and "vlan_vid" not in hop.frame:
            words = arguments(bridge.device, hop.at.number, seen.data, states)
        else:
            words = arguments_for_fields(bridge.device, _flow(hop.frame, hop.at.number), states)
        try:
            said = ask(daemon[1], "ofproto/trace", *words, timeout=_ASKING)
        except UnixctlError:
            return None
        return next((visit for visit in visits(said) if visit.bridge == bridge.device), None)


def _flow(frame: Frame, in_port: int) -> str:
    """A frame as a flow of Open vSwitch."""
    names = sorted(frame, key=lambda name: (name not in _FIRST, not name.startswith("icmp"), name))
    parts = [f"in_port={in_port}"]
    for name in names:
        if not name.startswith(_BESIDE):
            value = {1: "first", 3: "later"}.get(frame[name], "") if name == "ip_frag" else ""
            parts.append(f"{name}={value or value_text(name, frame[name])}")
    return ",".join(parts)


def observe(
    net: Fabric, topology: Topology, prediction: Prediction, asked: Question, data: bytes | None
) -> TraceState:
    """Send the packet, and compare. ``data``: its octets; None: those of the question, with a token.

    Raises OSError if a device is gone.
    """
    there, back = prediction.there, prediction.back
    octets = tagged(asked.frame, os.urandom(8)) if data is None else data
    entered = {(hop.at.switch, hop.at.number) for trace in (there, back) if trace for hop in trace.hops()}
    ends = {asked.source.name, *(copy.passage.name for copy in there.delivered())}
    seen_at = {host.name: net.seen_at(host.name) for host in topology.hosts}

    def open_at(netns: str, device: str) -> socket.socket:
        return open_in(net.space_fd(netns), device)

    def enough(sightings: list[Sighting]) -> bool:
        got = {(s.point.name, s.direction) for s in sightings if s.point.kind == "host"}
        wanted = {(copy.passage.name, "there") for copy in there.delivered() if not copy.passage.detail}
        wanted |= {(asked.source.name, "back")} if back is not None else set()
        return bool(wanted) and wanted <= got

    sender = seen_at[asked.source.name]
    sightings = send_and_watch(
        points(net.plan, seen_at, ends, entered),
        open_at,
        (sender.netns, sender.device),
        octets,
        enough,
        PATIENCE if there.delivered() else SILENCE,
    )
    state = prediction.state()
    asker = _Asker(net)
    way = _compared(asker, topology, there, "there", sightings, prediction.tables)
    _show(state["way"], way)
    answered: Compared | None = None
    if back is not None and state["back"] is not None:
        if reached(topology, way.delivered, prediction.destination):
            answered = _compared(asker, topology, back, "back", sightings, prediction.tables)
            _show(state["back"], answered)
        else:
            state["back"], state["why"] = None, "the packet did not arrive"
    taken = [remark for remark in state["remarks"] if " is taken to pass " not in remark]
    remarks = [*taken, *way.remarks, *(answered.remarks if answered else ()), *_tunnels(sightings)]
    differences = [*way.differences, *(answered.differences if answered else ())]
    arrived = reached(topology, way.delivered, prediction.destination)
    if back is not None:
        arrived = arrived and answered is not None and asked.source.name in answered.delivered
    state["observed"], state["remarks"], state["differences"] = True, remarks, differences
    state["reached"] = arrived and not differences
    return state


def _compared(
    asker: _Asker,
    topology: Topology,
    trace: Trace,
    direction: Direction,
    sightings: Sequence[Sighting],
    tables: dict[str, Lookup],
) -> Compared:
    asked = [
        None if hop.fault else asker.visit(hop, entry(hop, direction, sightings)) for hop in trace.hops()
    ]
    known = {name: lookup.by_cookie() for name, lookup in tables.items()}
    seen = observable(asker.net.plan)
    return compare(trace, direction, sightings, asked, seen, known, topology.places)


def _show(way: WayState, result: Compared) -> None:
    for step, seen in zip(way["steps"], result.seen, strict=True):
        step["seen"] = seen
    way["delivered"] = result.delivered
    way["stops"] = [*result.stops, *way["stops"]]


def _tunnels(sightings: Sequence[Sighting]) -> list[str]:
    """On which underlay links the packet was seen, in which tunnel."""
    lines: dict[str, None] = {}
    for sighting in sightings:
        outer = inside(sighting.data).outer
        if sighting.point.kind == "underlay" and outer is not None:
            ends = f"{IPv4Address(outer.source)} -> {IPv4Address(outer.destination)}"
            lines[f"seen on underlay link {sighting.point.name}: VXLAN {outer.vni}, {ends}"] = None
    return [*lines]
