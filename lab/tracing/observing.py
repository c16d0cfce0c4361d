"""Follows a real packet through a running lab, beside what its file predicts."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from controller.flow.text import value_text
from controller.simulate.decode import frame_of
from controller.simulate.network import Frame
from controller.simulate.notes import Chosen
from controller.trace.path import NOTHING_TAKEN, Hop, Taken, Trace
from controller.trace.questions import Question, words
from dataplane.fabric.fabric import Fabric
from dataplane.ovs.group_counters import Counters, read, used
from dataplane.ovs.tracing import Visit, arguments, arguments_for_fields, visits
from dataplane.ovs.unixctl import UnixctlError, ask
from dataplane.plan.pieces import BridgePlan, DomainPlan
from lab.messages.trace import TraceState, WayState
from lab.packets.tagged import Direction, inside, tagged
from lab.probe.prober import open_in
from lab.tracing.comparison import Compared, compare, entry
from lab.tracing.points import points
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

    def counters(self, switch: str) -> Counters:
        """What a switch has counted of its groups' buckets so far; empty when it does not answer."""
        domain, bridge = self._bridge(switch)
        daemon = self.net.daemon_sockets().get((domain.name, "ovs-vswitchd"))
        if daemon is None:
            return {}
        try:
            ask(daemon[1], "revalidator/wait", timeout=_ASKING)  # until then, the datapath's own counters
        except UnixctlError:
            return {}
        return read(daemon[1].parent, bridge.device)

    def taken(self, before: Mapping[str, Counters]) -> Taken:
        """The buckets that switches have used since ``before``, where each group has used one only."""
        return {
            (switch, group): bucket
            for switch, counters in before.items()
            for group, bucket in used(counters, self.counters(switch)).items()
        }

    def _bridge(self, switch: str) -> tuple[DomainPlan, BridgePlan]:
        return next(
            (domain, bridge)
            for domain in self.net.plan.domains
            for bridge in domain.bridges
            if bridge.switch == switch
        )

    def visit(self, hop: Hop, seen: Sighting | None) -> Visit | None:
        """What the switch of a hop does with the frame that it gets, as it was seen there if it was."""
        domain, bridge = self._bridge(hop.at.switch)
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


Predict = Callable[[int, Taken], Prediction]
MOST_SWITCHES = 24
"""Switches whose groups' counters are read."""
MOST_TURNS = 16
"""Buckets of a select group that are tried, to find the one that the datapath has taken."""


def observe(
    net: Fabric,
    topology: Topology,
    predict: Predict,
    wanted: Callable[[str], Mapping[int, str]],
    asked: Question,
    data: bytes | None,
) -> TraceState:
    """Send the packet, and compare.

    ``predict``: the prediction for a turn, and for buckets that are known: see
    ``controller.trace.path.explain``. ``wanted``: of a switch, the reasons of the flows that its controller
    wants now, by cookie. ``data``: the packet's octets; None: those of the question, with a token. Raises
    OSError if a device is gone.
    """
    prediction = predict(0, NOTHING_TAKEN)
    there, back = prediction.there, prediction.back
    asker = _Asker(net)
    possible = [trace for some in _alternatives(prediction, predict) for trace in _traces(some)]
    before = {switch: asker.counters(switch) for switch in choosing(possible)}
    octets = tagged(asked.frame, os.urandom(8)) if data is None else data
    entered = {(hop.at.switch, hop.at.number) for trace in possible for hop in trace.hops()}
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
    watched = points(net.plan, seen_at, ends, entered)
    seen = frozenset((point.name, point.number) for point in watched if point.kind == "enters")
    sightings = send_and_watch(
        watched,
        open_at,
        (sender.netns, sender.device),
        octets,
        enough,
        PATIENCE if there.delivered() else SILENCE,
    )
    prediction = _as_taken(predict, sightings, asker.taken(before))
    there, back = prediction.there, prediction.back
    state = prediction.state(by_rules=False)
    way = _compared(asker, topology, there, "there", sightings, wanted, seen)
    _show(state["way"], way)
    answered: Compared | None = None
    if back is not None and state["back"] is not None:
        if reached(topology, way.delivered, prediction.destination):
            answered = _compared(asker, topology, back, "back", sightings, wanted, seen)
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


def _alternatives(prediction: Prediction, predict: Predict) -> list[Prediction]:
    """The prediction, and those for other buckets of its groups."""
    ways = [note.ways for trace in _traces(prediction) for note in _chosen(trace)]
    turns = range(1, min(max(ways, default=1), MOST_TURNS))
    return [prediction, *(predict(turn, NOTHING_TAKEN) for turn in turns)]


def choosing(traces: Iterable[Trace]) -> list[str]:
    """The switches on which a group chooses one of several ways."""
    switches = {
        hop.at.switch: None
        for trace in traces
        for hop in trace.hops()
        if any(isinstance(note, Chosen) and note.ways > 1 for note in hop.notes)
    }
    return [*switches][:MOST_SWITCHES]


def _traces(prediction: Prediction) -> list[Trace]:
    return [trace for trace in (prediction.there, prediction.back) if trace is not None]


def _chosen(trace: Trace) -> list[Chosen]:
    return [note for hop in trace.hops() for note in hop.notes if isinstance(note, Chosen)]


def _as_taken(predict: Predict, sightings: Sequence[Sighting], taken: Taken) -> Prediction:
    """The prediction with the buckets that are known, and others that lead where the packet was seen; the
    first ones if none do."""
    prediction = predict(0, taken)
    ways = [note.ways for hop in prediction.there.hops() for note in hop.notes if isinstance(note, Chosen)]
    got = {s.point.name for s in sightings if s.point.kind == "host" and s.direction == "there"}
    for turn in range(1, min(max(ways, default=1), MOST_TURNS) if got else 0):
        if {copy.passage.name for copy in prediction.there.delivered()} == got:
            break
        prediction = predict(turn, taken)
    matches = {copy.passage.name for copy in prediction.there.delivered()} == got
    return prediction if matches else predict(0, taken)


def _compared(
    asker: _Asker,
    topology: Topology,
    trace: Trace,
    direction: Direction,
    sightings: Sequence[Sighting],
    wanted: Callable[[str], Mapping[int, str]],
    seen: frozenset[tuple[str, int]],
) -> Compared:
    asked = [
        None if hop.fault else asker.visit(hop, entry(hop, direction, sightings)) for hop in trace.hops()
    ]
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
