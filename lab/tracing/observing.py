"""Follows a real packet through a running lab, beside what its file predicts."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from controller.flow.text import value_text
from controller.simulate.decode import frame_of
from controller.simulate.network import Frame
from controller.simulate.notes import Chosen
from controller.trace.path import Hop, Trace
from controller.trace.questions import Question, words
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


MOST_TURNS = 16
"""Buckets of a select group that are tried, to find the one that the datapath has taken."""


def observe(
    net: Fabric,
    topology: Topology,
    predict: Callable[[int], Prediction],
    wanted: Callable[[str], Mapping[int, str]],
    asked: Question,
    data: bytes | None,
) -> TraceState:
    """Send the packet, and compare.

    ``predict``: the prediction for a turn (``controller.trace.path.explain``). ``wanted``: of a switch, the
    reasons of the flows that its controller wants now, by cookie. ``data``: the packet's octets; None: those
    of the question, with a token. Raises OSError if a device is gone.
    """
    prediction = predict(0)
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
    prediction = _as_taken(prediction, predict, sightings)
    there, back = prediction.there, prediction.back
    state = prediction.state(by_rules=False)
    asker = _Asker(net)
    way = _compared(asker, topology, there, "there", sightings, wanted)
    _show(state["way"], way)
    answered: Compared | None = None
    if back is not None and state["back"] is not None:
        if reached(topology, way.delivered, prediction.destination):
            answered = _compared(asker, topology, back, "back", sightings, wanted)
            _show(state["back"], answered)
        else:
            state["back"], state["why"] = None, "the packet did not arrive"
    if answered is None:
        way.remarks += _told(sightings, asked.source.name)
    taken = [remark for remark in state["remarks"] if " is taken to pass " not in remark]
    remarks = [*taken, *way.remarks, *(answered.remarks if answered else ()), *_tunnels(sightings)]
    differences = [*way.differences, *(answered.differences if answered else ())]
    arrived = reached(topology, way.delivered, prediction.destination)
    if back is not None:
        arrived = arrived and answered is not None and asked.source.name in answered.delivered
    state["observed"], state["remarks"], state["differences"] = True, remarks, differences
    state["reached"] = arrived and not differences
    return state


def _as_taken(
    prediction: Prediction, predict: Callable[[int], Prediction], sightings: Sequence[Sighting]
) -> Prediction:
    """The prediction with the buckets that lead where the packet was seen; the first one if none does."""
    ways = [note.ways for hop in prediction.there.hops() for note in hop.notes if isinstance(note, Chosen)]
    got = {s.point.name for s in sightings if s.point.kind == "host" and s.direction == "there"}
    for turn in range(1, min(max(ways, default=1), MOST_TURNS) if got else 0):
        if {copy.passage.name for copy in prediction.there.delivered()} == got:
            break
        prediction = predict(turn)
    matches = {copy.passage.name for copy in prediction.there.delivered()} == got
    return prediction if matches else predict(0)


def _compared(
    asker: _Asker,
    topology: Topology,
    trace: Trace,
    direction: Direction,
    sightings: Sequence[Sighting],
    wanted: Callable[[str], Mapping[int, str]],
) -> Compared:
    asked = [
        None if hop.fault else asker.visit(hop, entry(hop, direction, sightings)) for hop in trace.hops()
    ]
    seen = observable(asker.net.plan)
    return compare(trace, direction, sightings, asked, seen, wanted, topology)


def _show(way: WayState, result: Compared) -> None:
    for step, seen in zip(way["steps"], result.seen, strict=True):
        step["seen"] = seen
    way["delivered"] = result.delivered
    way["stops"] = [*result.stops, *way["stops"]]


def _told(sightings: Sequence[Sighting], source: str) -> list[str]:
    """What the sender got as an answer, where none was predicted: a refusal, an error."""
    answers = (
        sighting
        for sighting in sightings
        if sighting.direction == "back" and (sighting.point.kind, sighting.point.name) == ("host", source)
    )
    return [*dict.fromkeys(f"{source} got an answer: {words(frame_of(one.data))}" for one in answers)]


def _tunnels(sightings: Sequence[Sighting]) -> list[str]:
    """On which underlay links the packet was seen, in which tunnel."""
    lines: dict[str, None] = {}
    for sighting in sightings:
        outer = inside(sighting.data).outer
        if sighting.point.kind == "underlay" and outer is not None:
            ends = f"{IPv4Address(outer.source)} -> {IPv4Address(outer.destination)}"
            lines[f"seen on underlay link {sighting.point.name}: VXLAN {outer.vni}, {ends}"] = None
    return [*lines]
