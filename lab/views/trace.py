"""A predicted trace as a lab's answer. Pure: a topology and its tables in, the answer out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.flow.tables import Flow, ToMeter
from controller.flow.text import actions_text, bucket_text, match_text, value_text
from controller.simulate.network import Frame, Lookup
from controller.simulate.notes import Chosen, Missed, Note, NotSent, Shared, Tracked
from controller.simulate.tracking import Connections
from controller.trace.path import NOTHING_TAKEN, Copy, Hop, Stop, Taken, Trace, explain, stopped
from controller.trace.places import Passage
from controller.trace.questions import CannotAsk, Question, answer
from controller.trace.rules import decisions, dropped
from lab.messages.lab import PlaceState
from lab.messages.trace import CopyState, NoteState, StepState, StopState, TraceState, WayState
from topologies.model.endpoints import endpoints
from topologies.model.places import Entity, Place, Places
from topologies.model.topology import Topology

_STATES = (
    "new",
    "established",
    "related",
    "a reply",
    "invalid",
    "",
    "translated source",
    "translated destination",
)


@dataclass(frozen=True)
class Prediction:
    """The way of a host's frame, and that of its answer; ``why``: the reason if there is none.

    ``destination``: as the user names it. ``tables``: of each switch. ``dead_links``: those that are cut.
    """

    topology: Topology
    tables: dict[str, Lookup]
    asked: Question
    destination: str
    there: Trace
    reply: Question | None
    back: Trace | None
    why: str
    dead_links: frozenset[str] = frozenset()

    def state(self, by_rules: bool = True) -> TraceState:
        """The answer about what is predicted. ``by_rules``: what firewalls drop by their rules ends there;
        else they are taken to pass everything."""
        drops = [passed for passed in decisions(self.topology, self.there) if not passed.decision.accepted]
        ends = frozenset(id(passed.hop) for passed in drops) if by_rules else frozenset()
        way = self._way(self.there, self.asked, self.destination, ends)
        if by_rules:
            stops: list[StopState] = [
                {
                    "switch": passed.hop.at.switch,
                    "why": dropped(passed.instance, passed.decision),
                    "place": line(passed.decision.place),
                }
                for passed in drops
            ]
            way["stops"] = [*stops, *way["stops"]]
        returned, why = None, self.why
        got_there = reached(self.topology, way["delivered"], self.destination)
        if self.back is not None and self.reply is not None and not ends:
            returned = self._way(self.back, self.reply, self.asked.source.name)
            got_there = got_there and self.asked.source.name in returned["delivered"]
        elif ends:
            why = "the packet does not arrive"
        return {
            "file": self.topology.places.file,
            "observed": False,
            "way": way,
            "back": returned,
            "why": why,
            "differences": [],
            "remarks": _remarks(self.topology, self.there),
            "reached": got_there,
        }

    def _way(
        self, trace: Trace, asked: Question, destination: str, ends: frozenset[int] = frozenset()
    ) -> WayState:
        """``ends``: hops that the frame does not get to, by their identity."""
        hops = [*_hops(trace, ends)]
        number = {id(hop): at for at, hop in enumerate(hops)}
        places = self.topology.places
        stops = [stop for stop in map(stopped, hops) if stop is not None]
        return {
            "source": asked.source.name,
            "destination": destination,
            "words": asked.words,
            "steps": [_step(hop, number, places) for hop in hops],
            "delivered": [
                copy.passage.name
                for hop in hops
                for copy in hop.copies
                if copy.hop is None and copy.passage.kind == "host"
            ],
            "stops": [stop_state(stop, self.topology, self.dead_links) for stop in stops],
        }


def stop_state(stop: Stop, topology: Topology, dead_links: frozenset[str]) -> StopState:
    """Why a frame went no further: with the links that are cut, the first of which is the place if no entry
    of the file is nearer."""
    place, why = place_state(stop.entity, topology.places), stop.why
    if dead_links:
        cut = sorted(dead_links)
        why += f" (cut: {', '.join(cut[:6])})"
        place = place or place_state(Entity("link", cut[0]), topology.places)
    return {"switch": stop.switch, "why": why, "place": place}


def _hops(trace: Trace, ends: frozenset[int]) -> Iterator[Hop]:
    """The hops in their order, without those in ``ends`` and what follows from them."""
    left_out: set[int] = set(ends)
    for hop in trace.hops():
        if id(hop) in left_out:
            left_out |= {id(copy.hop) for copy in hop.copies if copy.hop is not None}
        else:
            yield hop


def predicted(
    topology: Topology,
    tables: dict[str, Lookup],
    asked: Question,
    destination: str,
    back: bool = True,
    dead_links: frozenset[str] = frozenset(),
    failed: frozenset[str] = frozenset(),
    turn: int = 0,
    taken: Taken = NOTHING_TAKEN,
) -> Prediction:
    """The way of a host's frame, and that of the answer (``back``). ``turn``, ``taken``: as for
    ``explain``."""
    connections = Connections()
    there = explain(topology, tables, asked.frame, asked.at, dead_links, failed, connections, turn, taken)
    reply, why = _reply(topology, there) if back else (None, "")
    returned = None
    if reply is not None:
        returned = explain(
            topology, tables, reply.frame, reply.at, dead_links, failed, connections, turn, taken
        )
    return Prediction(topology, tables, asked, destination, there, reply, returned, why, dead_links)


def reached(topology: Topology, delivered: list[str], destination: str) -> bool:
    """Whether one of those who got a frame is its destination; behind an address of a function anybody is."""
    of = {str(interface.ip): endpoint for endpoint in endpoints(topology) for interface in endpoint.addresses}
    named = {endpoint.name: endpoint for endpoint in endpoints(topology)} | of
    meant = named.get(destination)
    if meant is None or meant.kind != "host":
        return bool(delivered)
    return meant.name in delivered


def _reply(topology: Topology, trace: Trace) -> tuple[Question | None, str]:
    """The answer of the first host that gets the frame and answers; None, and why there is no answer."""
    why = ""
    by_port = {endpoint.port: endpoint for endpoint in endpoints(topology) if endpoint.port is not None}
    for copy in trace.delivered():
        receiver = by_port.get(copy.port)
        if receiver is None:
            continue
        try:
            told = answer(topology, receiver, copy.frame)
        except CannotAsk as error:
            why = f"{receiver.name} can't answer: {error.what}"
            continue
        if told is not None:
            return told, ""
        why = why or f"{receiver.name} does not answer such a frame by itself"
    return None, why


def _remarks(topology: Topology, trace: Trace) -> list[str]:
    """What functions do that a prediction knows from their rules, and what it can't know about this way."""
    remarks: dict[str, None] = {}
    by_rules = {passed.instance: passed.decision for passed in decisions(topology, trace)}
    for instance, decision in by_rules.items():
        if decision.accepted:
            at = "" if decision.place is None else f" ({decision.place})"
            remarks[f"{instance} lets it pass: {decision.words}{at}"] = None
    for hop in trace.hops():
        for copy in hop.copies:
            if copy.passage.kind == "function" and copy.hop is not None and copy.passage.name not in by_rules:
                what = f"{copy.passage.name} is taken to pass it unchanged: what its process does is unknown"
                remarks[what] = None
        for note in hop.notes:
            if isinstance(note, Flow) and any(isinstance(action, ToMeter) for action in note.actions):
                remarks[f"{hop.at.switch} may drop it when there are too many: {note.why}"] = None
    return [*remarks]


def _step(hop: Hop, number: Mapping[int, int], places: Places) -> StepState:
    return {
        "switch": hop.at.switch,
        "in_port": hop.at.number,
        "came": hop.came.kind,
        "name": hop.came.name,
        "frame": as_text(hop.frame),
        "notes": [*_untagged(hop), *(_note(note, places) for note in hop.notes)],
        "copies": [_copy(hop, copy, number) for copy in hop.copies],
        "fault": hop.fault,
        "seen": "",
    }


def _copy(hop: Hop, copy: Copy, number: Mapping[int, int]) -> CopyState:
    passage = copy.passage
    return {
        "port": copy.port.number,
        "kind": passage.kind,
        "name": passage.name,
        "detail": passage.detail,
        "vni": passage.vni,
        "vteps": [*(passage.vteps or ())],
        "changes": changes(hop.frame, copy.frame) + _tagged(passage),
        "frame": as_text(copy.frame),
        "step": number.get(id(copy.hop)),
    }


def _untagged(hop: Hop) -> list[NoteState]:
    """What becomes of the tag of a frame that comes in from a trunk."""
    if hop.came.tag is None:
        return []
    tag, device = hop.came.tag
    return [_noted("tag", "", f"tag {tag} taken off, which it has on trunk {device}")]


def _tagged(passage: Passage) -> list[str]:
    if passage.tag is None:
        return []
    tag, device = passage.tag
    return [f"tag {tag} put on, on trunk {device}"]


def _note(note: Note, places: Places) -> NoteState:
    if isinstance(note, Flow):
        quiet = note.origin.entity is None and not note.actions and note.goto is not None
        text = note.why or actions_text(note)
        return _noted(
            "flow", note.table.name, text, note, quiet=quiet, place=place_state(note.origin.entity, places)
        )
    if isinstance(note, Missed):
        return _noted("miss", note.table.name, "no flow matches: the frame is dropped")
    if isinstance(note, Chosen):
        return _chosen(note, places)
    if isinstance(note, NotSent):
        port = "" if note.port is None else f"nothing out of port {note.port}: "
        return _noted("not sent", "", port + note.why)
    if isinstance(note, Shared):
        return _noted(
            "share", "", f"share {note.share} of {note.ways}, by the hash of its connection", quiet=True
        )
    return _noted("tracking", "", _tracking(note))


def _chosen(note: Chosen, places: Places) -> NoteState:
    group = note.group
    number = f"bucket {note.bucket + 1} of {len(group.buckets)}"
    text = f"{group.why}: {number}" if group.why else f"group {group.id}: {number}"
    text += f", which it took of {note.ways} ways" if note.taken and note.ways > 1 else ""
    state = _noted(
        "group", "", text, ways=1 if note.taken else note.ways, place=place_state(group.origin.entity, places)
    )
    return {**state, "actions": bucket_text(group.buckets[note.bucket])}


def _tracking(note: Tracked) -> str:
    if not note.state:
        return "connection tracking keeps it until all fragments of its datagram are there"
    said = [text for bit, text in enumerate(_STATES) if text and note.state >> bit & 1]
    return f"its connection: {', '.join(said) or 'unknown'}"


def _noted(
    kind: str,
    table: str,
    text: str,
    flow: Flow | None = None,
    quiet: bool = False,
    ways: int = 1,
    place: PlaceState | None = None,
) -> NoteState:
    return {
        "kind": kind,  # type: ignore[typeddict-item]
        "table": table,
        "text": text,
        "match": "" if flow is None else match_text(flow.match),
        "actions": "" if flow is None else actions_text(flow),
        "priority": 0 if flow is None else flow.priority,
        "cookie": "" if flow is None else f"{flow.cookie:#x}",
        "quiet": quiet,
        "ways": ways,
        "place": place,
    }


def line(place: Place | None) -> PlaceState | None:
    """A line of the file, as the answer has it."""
    return None if place is None else {"file": place.file, "line": place.line}


def place_state(entity: Entity | None, places: Places) -> PlaceState | None:
    """The line of the file that describes an entity; None if no line does."""
    return None if entity is None else line(places.of(entity))


def as_text(frame: Frame) -> dict[str, str]:
    """A frame's fields as people write them."""
    return {name: value_text(name.split(":")[-1], value) for name, value in frame.items()}


_WORDS = {
    "eth_src": "source MAC",
    "eth_dst": "destination MAC",
    "ip_src": "source",
    "ip_dst": "destination",
    "ipv6_src": "source",
    "ipv6_dst": "destination",
    "nw_ttl": "TTL",
    "tcp_src": "source port",
    "tcp_dst": "destination port",
    "udp_src": "source port",
    "udp_dst": "destination port",
    "sctp_src": "source port",
    "sctp_dst": "destination port",
    "icmp_id": "echo's identifier",
}


def changes(before: Frame, after: Frame) -> list[str]:
    """What changed between two frames, in words."""
    said = []
    if "nsh_spi" in after and "nsh_spi" not in before:
        said.append(f"NSH put on: path {after['nsh_spi']}, index {after['nsh_si']}")
        return said
    if "nsh_spi" in before and "nsh_spi" not in after:
        inside = {
            name.removeprefix("inside:"): value
            for name, value in before.items()
            if name.startswith("inside:")
        }
        return ["NSH taken off", *changes(inside, after)]
    if "vlan_vid" in after and "vlan_vid" not in before:
        said.append(f"tag {after['vlan_vid'] & 0xFFF} put on")
    elif "vlan_vid" in before and "vlan_vid" not in after:
        said.append(f"tag {before['vlan_vid'] & 0xFFF} taken off")
    elif before.get("vlan_vid") != after.get("vlan_vid"):
        said.append(f"tag {before['vlan_vid'] & 0xFFF} -> {after['vlan_vid'] & 0xFFF}")
    for name in sorted(
        {*before, *after} - {"vlan_vid", "vlan_pcp", "tun_id"}, key=lambda name: [*_WORDS, name].index(name)
    ):
        old, new = before.get(name), after.get(name)
        if old != new:
            words = _WORDS.get(name, name)
            shown = ["none" if value is None else value_text(name, value) for value in (old, new)]
            said.append(f"{words} {shown[0]} -> {shown[1]}")
    return said
