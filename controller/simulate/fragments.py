"""Fragments in connection tracking: what ``controller.compiler.fragments`` relies on.

A fragment has the field ``ip_frag`` (1: the first; 3: a later one, which has no ports, and over IPv6 the
protocol 44).  Beyond OpenFlow's fields it has its datagram (``part:of``), its place (``part:number``, from 0)
and the number of fragments (``part:count``).  Without these three it is treated alone, as by
``ofproto/trace``.

A *batch* is a frame that leads others: Open vSwitch does to all of them what the leader's flows say.  It is
one mapping; the fields of the others are under ``then0:``, ``then1:``, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

PIPELINE = ("in_port", "metadata", "reg", "tun_", "ct_", "recirculation")
"""How the names of fields begin that don't leave the switch with a frame."""
RECIRCULATION = "recirculation"
"""The number of the recirculation that a frame is in; 0: none."""
_OTHERS = "then"
_ADDRESSES = ("eth_type", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst")

Frame = dict[str, int]


@cache
def _is_pipelines(name: str) -> bool:
    """Whether a field doesn't leave the switch with a frame."""
    return name.startswith(PIPELINE)


@cache
def _is_others(name: str) -> bool:
    """Whether a field is one of a frame that another leads."""
    return name.startswith(_OTHERS)


def travelling_fields(frame: Mapping[str, int]) -> Frame:
    """The fields that leave the switch with a frame: all but those of the pipeline."""
    return {name: value for name, value in frame.items() if not _is_pipelines(name)}


def split_batch(frame: Mapping[str, int]) -> list[Frame]:
    """The frames of a batch, the leader first; the others have the leader's pipeline fields."""
    if not any(map(_is_others, frame)):
        return [dict(frame)]
    leader = {name: value for name, value in frame.items() if not _is_others(name)}
    pipeline = {name: value for name, value in leader.items() if _is_pipelines(name)}
    others: dict[int, Frame] = {}
    for name, value in frame.items():
        if _is_others(name):
            number, _, own = name.removeprefix(_OTHERS).partition(":")
            others.setdefault(int(number), dict(pipeline))[own] = value
    return [leader, *others.values()]


def batch_of(frames: Iterable[Mapping[str, int]]) -> Frame:
    """The batch of these frames, led by the first; the empty frame when there is none."""
    leader, *others = [*frames] or [{}]
    batch = dict(leader)
    for number, other in enumerate(others):
        batch |= {f"{_OTHERS}{number}:{name}": value for name, value in travelling_fields(other).items()}
    return batch


def change_each(frame: Mapping[str, int], change: Callable[[Frame], Frame]) -> Frame:
    """The batch with every frame changed."""
    members = split_batch(frame)
    return change(members[0]) if len(members) == 1 else batch_of([change(member) for member in members])


@dataclass
class Reassembly:
    """Fragments that wait for the rest of their datagram, and the numbers of recirculations."""

    waiting: dict[tuple[object, ...], dict[int, Frame]] = field(default_factory=dict)
    numbers: dict[tuple[object, ...], int] = field(default_factory=dict)

    def recirculation(self, *state: object) -> int:
        """The number of a state that a frame takes from one lookup to the next; equal states, equal
        numbers."""
        return self.numbers.setdefault(state, len(self.numbers) + 1)

    def take(self, zone: int, frame: Frame) -> list[Frame] | None:
        """All fragments of the datagram in order, when this is the last to arrive; an empty list while more
        are missing.  None: it is no fragment, or a repeated one, which is refused."""
        if not frame.get("ip_frag") or "part:of" not in frame:
            return None
        protocol = frame.get("ip_proto") if "ip_src" in frame else None
        datagram = (*(frame.get(name) for name in _ADDRESSES), protocol, frame["part:of"])
        key = (zone, frame.get(RECIRCULATION, 0), datagram)
        here = self.waiting.setdefault(key, {})
        if frame["part:number"] in here:
            return None
        here[frame["part:number"]] = frame
        if len(here) < frame["part:count"]:
            return []
        return [fragment for _, fragment in sorted(self.waiting.pop(key).items())]
