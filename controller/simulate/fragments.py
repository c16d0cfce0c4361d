"""Fragments in connection tracking: the meaning of what ``controller.compiler.fragments`` relies on.

Of a fragment a frame says ``ip_frag`` (1: the first; 3: a later one, which has no ports and over IPv6 the
protocol 44), and beyond OpenFlow's fields which datagram's it is (``part:of``), its place (``part:number``,
from 0) and how many there are (``part:count``).  Without these it is looked at alone, as by
``ofproto/trace``.

A *batch* is a frame that leads others: Open vSwitch does to all what the leader's flows say.  It is one
mapping, with the others' fields under ``then0:``, ``then1:``, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

PIPELINE = ("in_port", "metadata", "reg", "tun_", "ct_", "recirculation")
"""Beginnings of the names of fields that don't travel with a frame."""
RECIRCULATION = "recirculation"
"""Which return from connection tracking a frame is in; 0: none."""
_OTHERS = "then"
_ADDRESSES = ("eth_type", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst")

Frame = dict[str, int]


def travels(frame: Mapping[str, int]) -> Frame:
    """The fields that travel with a frame."""
    return {name: value for name, value in frame.items() if not name.startswith(PIPELINE)}


def apart(frame: Mapping[str, int]) -> list[Frame]:
    """The frames of a batch, the leader first; the others have its pipeline's fields."""
    leader = {name: value for name, value in frame.items() if not name.startswith(_OTHERS)}
    if len(leader) == len(frame):
        return [leader]
    pipeline = {name: value for name, value in leader.items() if name.startswith(PIPELINE)}
    others: dict[int, Frame] = {}
    for name, value in frame.items():
        if name.startswith(_OTHERS):
            number, _, own = name.removeprefix(_OTHERS).partition(":")
            others.setdefault(int(number), dict(pipeline))[own] = value
    return [leader, *others.values()]


def together(frames: Iterable[Mapping[str, int]]) -> Frame:
    """The batch of these frames, of which the first leads; of none, the empty frame."""
    leader, *others = [*frames] or [{}]
    found = dict(leader)
    for number, other in enumerate(others):
        found |= {f"{_OTHERS}{number}:{name}": value for name, value in travels(other).items()}
    return found


def each_of(frame: Mapping[str, int], change: Callable[[Frame], Frame]) -> Frame:
    """The batch with every frame changed."""
    return together([change(one) for one in apart(frame)])


@dataclass
class Reassembly:
    """What waits for the rest of its datagram, and the numbers of recirculations."""

    waiting: dict[tuple[object, ...], dict[int, Frame]] = field(default_factory=dict)
    numbers: dict[tuple[object, ...], int] = field(default_factory=dict)

    def recirculation(self, *state: object) -> int:
        """The number of what a frame takes with it from one lookup to the next: equal for equal."""
        return self.numbers.setdefault(state, len(self.numbers) + 1)

    def take(self, zone: int, frame: Frame) -> list[Frame] | None:
        """All fragments of the datagram in order, when this is the last of them to come; none while more are
        awaited.  None: no fragment, or one that is refused, since it came before."""
        if not frame.get("ip_frag") or "part:of" not in frame:
            return None
        protocol = frame.get("ip_proto") if "ip_src" in frame else None
        who = (*(frame.get(name) for name in _ADDRESSES), protocol, frame["part:of"])
        key = (zone, frame.get(RECIRCULATION, 0), who)
        here = self.waiting.setdefault(key, {})
        if frame["part:number"] in here:
            return None
        here[frame["part:number"]] = frame
        if len(here) < frame["part:count"]:
            return []
        return [one for _, one in sorted(self.waiting.pop(key).items())]
