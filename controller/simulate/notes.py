"""What the evaluator notes about a frame's way through a switch, beside the flows that match."""

from __future__ import annotations

from typing import NamedTuple

from controller.flow.tables import Flow, Group, Table


class Missed(NamedTuple):
    """No flow of this table matched: the frame ends here (OpenFlow 1.5.1, 5.4)."""

    table: Table


class Chosen(NamedTuple):
    """A group sent the frame to its bucket number ``bucket``, from 0 in its order. ``ways``: of how many
    that the switch may choose this is one. ``taken``: it is known to be the one that the switch chose."""

    group: Group
    bucket: int
    ways: int = 1
    taken: bool = False


class NotSent(NamedTuple):
    """Nothing left by ``port`` (None: by a group), and why."""

    port: int | None
    why: str


class Shared(NamedTuple):
    """A connection got a share of ``ways`` by the switch's hash. ``known``: the hash was computed;
    else the share stands for others."""

    share: int
    ways: int
    known: bool


class Tracked(NamedTuple):
    """Connection tracking told the frame's state, as the bits of ct_state (ovs-fields(7)); 0: it keeps the
    fragment until its datagram is whole."""

    zone: int
    state: int


Note = Flow | Missed | Chosen | NotSent | Shared | Tracked
"""What a switch did with a frame, in order: a flow that matched in its table, or one of the others."""
