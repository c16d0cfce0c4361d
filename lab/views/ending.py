"""What came of a packet that was traced, in words: checks and ``sdnlab trace`` say the same. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from lab.messages.lab import PlaceState
from lab.messages.trace import StopState, TraceState, WayState, stop_words
from lab.views.trace import place_state
from topologies.model.places import Entity
from topologies.model.topology import Topology


class Ending(NamedTuple):
    """``last_seen``: where the packet, or its answer, was seen last. ``stopped_by``: what stopped it there.
    ``place``: its line in the file."""

    last_seen: str
    stopped_by: str
    place: PlaceState | None


def came_to(state: TraceState) -> Ending:
    """The ending of an observed packet."""
    back = state["back"]
    way, what = (state["way"], "the request") if back is None else (back, "the answer")
    last = _last_seen(way, what)
    if state["differences"]:
        first = state["differences"][0]
        return Ending(last, f"{first['where']}: {first['text']}", first["place"])
    if way["stops"] and not _arrived(way):
        return Ending(last, stop_words(way["stops"][0]), way["stops"][0]["place"])
    if state["reached"]:
        return Ending(last, "nothing: the same packet got there, and its answer back, a moment later", None)
    why = state["why"] or f"{what} does not come back, and no flow stops it"
    return Ending(last, why, None)


def _arrived(way: WayState) -> bool:
    return way["destination"] in way["delivered"]


def _last_seen(way: WayState, what: str) -> str:
    if way["delivered"]:
        return f"{what} at {', '.join(dict.fromkeys(way['delivered']))}"
    seen = [step for step in way["steps"] if step["seen"] == "yes"]
    if not seen:
        return f"it left {way['source']}, and was seen nowhere"
    into = [copy["name"] for copy in seen[-1]["copies"] if copy["kind"] == "function"]
    kept = [name for name in into if any(stop["why"].startswith(f"{name} ") for stop in way["stops"])]
    return f"{what} at {kept[0] if kept else 'switch ' + seen[-1]['switch']}"


def cut_off(
    topology: Topology, names: Collection[str], links: Collection[str], switches: Collection[str]
) -> Iterator[StopState]:
    """Why hosts are cut off: their own wires are cut (``links``), or their switches are off."""
    for host in topology.hosts:
        if host.name not in names:
            continue
        if host.port is None:
            continue  # no trace begins or ends there
        switch, wire = host.at.switch, f"{host.name}-{host.at.switch}"
        if wire in links:
            place = place_state(Entity("host", host.name), topology.places)
            why = f"the wire of {host.name} is cut (sdnlab link up {wire})"
            yield {"switch": switch, "why": why, "place": place}
        elif switch in switches:
            place = place_state(Entity("switch", switch), topology.places)
            why = f"the switch is off (sdnlab switch up {switch})"
            yield {"switch": switch, "why": why, "place": place}


def with_ends_cut_off(state: TraceState, cut: Sequence[StopState]) -> TraceState:
    """The answer with what cuts its ends off as the first reason; what follows from that is no fault."""
    if cut and not state["way"]["delivered"]:
        at = {state["way"]["source"], state["way"]["destination"], *(stop["switch"] for stop in cut)}
        state["way"]["stops"] = [*cut, *state["way"]["stops"]]
        state["differences"] = [one for one in state["differences"] if one["where"] not in at]
    return state
