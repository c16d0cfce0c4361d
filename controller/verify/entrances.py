"""All frames whatever that can come in at a host's port, by the destination where they have one. Pure.

Most of them go on to table FORWARD with an address that nobody knows yet. For the destinations that
``controller.verify.certain`` knows, and for all other addresses, they are looked at apart. So a change at a
switch concerns only the destinations that it touches. If anything is wrong, or may be, the port is looked at
as a whole (``safety.check_port``), which finds a frame that proves it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from controller.flow.tables import Flow, Table
from controller.verify.alike import Alike
from controller.verify.certain import Certain, Changed
from controller.verify.destinations import bits
from controller.verify.lab import Lab
from controller.verify.outcomes import Fabric
from controller.verify.packets import whole
from controller.verify.safety import check_outcome
from controller.verify.states import State
from topologies.model.topology import Port


class Entrance(NamedTuple):
    """A host's port. ``parts``: shapes of its frames, with the destinations that are known to be right there.
    ``states``: of all other frames, looked at one by one. ``opened``: the states that these replace.
    ``answers``: flows of which it is known that they only send answers back to the port."""

    port: Port
    start: State
    parts: tuple[tuple[int, int], ...]
    states: tuple[State, ...]
    opened: frozenset[State]
    answers: tuple[Flow, ...]

    def matched(self, fabric: Fabric) -> Iterator[int]:
        """The cookies of flows that some of these frames match; not in table RESOLVE, where answers were left
        out."""
        for branch in fabric.branches(self.start):
            for flow in branch.way.flows:
                if flow.table is not Table.RESOLVE:
                    yield flow.cookie


def entrance(lab: Lab, fabric: Fabric, certain: Certain, alike: Alike, port: Port) -> Entrance:
    """Take the frames of a port apart."""
    space = fabric.space
    start = space.from_port(port)
    answers: tuple[Flow, ...] = ()
    if start.branches is None and port not in lab.spoofers:
        reduced = alike.reduced(start)
        if reduced is not None:
            # a state of its own: others that ask for all frames of the port get all branches
            start = State(start.at, start.packets, start.table, whole=True)
            start.branches = space.branches(start, reduced.switch)
            answers = reduced.answers
    parts: dict[int, int] = {}
    states: dict[State, None] = {}
    opened: set[State] = set()
    allowed = _allowed(lab, certain, port)
    for branch in fabric.branches(start):
        single = branch.sends[0].state if len(branch.sends) == 1 and branch.way.onward else None
        if single is None or "eth_dst" in single.packets.frame:
            states.update((send.state, None) for send in branch.sends if send.state is not None)
            continue
        if single in opened:
            continue
        opened.add(single)
        left = []
        for shape, mask in certain.opened(single).items():
            left += [certain.to.macs[number] for number in bits(mask)]
            right = mask & (certain.good[shape] & allowed | certain.silent(shape))
            if right:
                parts[shape] = parts.get(shape, 0) | right
            states.update((certain.shapes.state(shape, number), None) for number in bits(mask & ~right))
        rest = single.packets.where_not("eth_dst", left, whole("eth_dst"))
        if rest is not None:
            states[space.state(single.at, rest, single.table)] = None
    return Entrance(port, start, tuple(parts.items()), tuple(states), frozenset(opened), answers)


def _allowed(lab: Lab, certain: Certain, port: Port) -> int:
    """The destinations that a port's frames may get to."""
    networks = lab.open_to[lab.at[port].network]
    mask = 0
    for number, to in enumerate(certain.to.ports):
        if lab.at[to].network in networks:
            mask |= 1 << number
    return mask


def is_right(
    lab: Lab, fabric: Fabric, here: Entrance, cut: bool, states: Container[State] | None = None
) -> bool:
    """Whether nothing is wrong with the frames of a port that are not to known destinations. ``states``: only
    these are looked at."""
    for state in here.states:
        if states is not None and state not in states:
            continue
        for outcome in fabric.outcomes(state):
            if any(True for _ in check_outcome(lab, fabric, here.port, outcome, cut)):
                return False
    if states is not None and here.start not in states:
        return True
    for branch in fabric.branches(here.start):
        if any(send.state in here.opened for send in branch.sends):
            continue
        for send in branch.sends:
            if send.state is not None:
                fabric.outcomes(send.state)
        for outcome in fabric.of_branch(here.start, branch):
            if any(True for _ in check_outcome(lab, fabric, here.port, outcome, cut)):
                return False
    return True


def is_kept(here: Entrance, changed: Changed) -> bool:
    """Whether the frames to known destinations get there after a change, or end somewhere."""
    return not any(mask & (changed.unsafe(shape) | changed.speaks(shape)) for shape, mask in here.parts)
