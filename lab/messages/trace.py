"""The answer of ``sdnlab trace``: a frame's way, predicted or observed."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le
from typing_extensions import NotRequired, TypedDict

from lab.messages.lab import PlaceState


class TraceRequest(TypedDict):
    """What to send from a host. ``destination``: a name or an address. ``packet``: an expression of scapy
    (``lab.packets.expression``); else the first packet of ``protocol`` to ``port``. ``back``: trace the
    answer."""

    source: str
    destination: str
    protocol: NotRequired[Literal["icmp", "tcp", "udp"]]
    port: NotRequired[Annotated[int, Ge(0), Le(65535)]]
    family: NotRequired[Literal[4, 6] | None]
    packet: NotRequired[str | None]
    back: NotRequired[bool]


NoteKind = Literal["flow", "miss", "group", "share", "tracking", "not sent", "tag"]
Seen = Literal["", "yes", "no"]
"""Whether what is predicted was observed; empty: nobody looked."""


class NoteState(TypedDict):
    """What a switch did, in order. ``table``: of a flow or a miss, else empty; ``text``: the reason in words.

    ``match``, ``actions``, ``priority``, ``cookie``: of the flow, else empty and 0. ``quiet``: it only sends
    the frame on to the next table, for no entry of the file. ``ways``: of how many ways this is one (1: it is
    the only one).
    """

    kind: NoteKind
    table: str
    text: str
    match: str
    actions: str
    priority: int
    cookie: str
    quiet: bool
    ways: int
    place: PlaceState | None


class CopyState(TypedDict):
    """A frame that left a switch. ``port``: its number. ``kind``, ``name``, ``detail``: what it went into, as
    ``controller.trace.places.Passage``; ``vni`` and ``vteps`` of a tunnel. ``changes``: how it differs from
    the frame that came in. ``step``: the number of the step that follows; None: here it ends."""

    port: int
    kind: str
    name: str
    detail: str
    vni: int | None
    vteps: list[str]
    changes: list[str]
    frame: dict[str, str]
    step: int | None


class StepState(TypedDict):
    """What one switch did. ``came``: as ``kind`` and ``name`` of the copy that led here. ``fault``: why it
    was not evaluated; else empty. ``seen``: whether the packet was observed at this switch."""

    switch: str
    in_port: int
    came: str
    name: str
    frame: dict[str, str]
    notes: list[NoteState]
    copies: list[CopyState]
    fault: str
    seen: Seen


class StopState(TypedDict):
    """Why a copy got nowhere, at which switch, and the line of the file that is the nearest reason."""

    switch: str
    why: str
    place: PlaceState | None


def stop_words(stop: StopState) -> str:
    """Where a copy ended, and why, for all who tell it."""
    return f"{stop['switch']}: {stop['why']}"


class WayState(TypedDict):
    """One frame's way. ``source``: the host that sends it; ``words``: the frame. ``steps``: the first is
    where it comes in. ``delivered``: hosts and end systems that it got to. ``stops``: why copies got
    nowhere."""

    source: str
    destination: str
    words: str
    steps: list[StepState]
    delivered: list[str]
    stops: list[StopState]


class DifferenceState(TypedDict):
    """Where a lab did something else than its file says. ``where``: a switch, host or function."""

    where: str
    text: str
    remedy: str
    place: PlaceState | None


class TraceState(TypedDict):
    """The answer. ``file``: the topology file, as the user has named it. ``observed``: a packet was sent.

    ``back``: the answer's way; None: there is none, and ``why`` says why. ``differences``: between what is
    predicted and what was observed. ``reached``: the frame got to its destination, and so did the answer, if
    there is one to expect; observed if a packet was sent.
    """

    file: str
    observed: bool
    way: WayState
    back: WayState | None
    why: str
    differences: list[DifferenceState]
    remarks: list[str]
    reached: bool
