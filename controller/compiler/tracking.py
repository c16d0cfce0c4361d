"""What all functions share that track connections by flows: states, zones (``topologies.model.zones``), and
how a frame leaves the function."""

from __future__ import annotations

from collections.abc import Mapping

from controller.flow.builders import HOP, NETWORK, PAST, THROUGH
from controller.flow.tables import Action, CtClear, Field, Resubmit, SetField, Table
from topologies.model.service_paths import OUT, Hop
from topologies.model.zones import FUNCTION_ZONES as FUNCTION_ZONES
from topologies.model.zones import PLACE_ZONES as PLACE_ZONES
from topologies.model.zones import function_zones as function_zones
from topologies.model.zones import numbered as numbered
from topologies.model.zones import port_zones as port_zones
from topologies.model.zones import together as together

NEW, ESTABLISHED, RELATED, REPLY, INVALID, TRACKED = 1, 2, 4, 8, 16, 32
"""Bits of ct_state (ovs-fields(7))."""
_LETTERS = {"new": NEW, "est": ESTABLISHED, "rel": RELATED, "rpl": REPLY, "inv": INVALID, "trk": TRACKED}


def state(text: str) -> Field:
    """A match on ct_state: ``+trk-inv`` is the bit trk set and the bit inv not set."""
    value = mask = 0
    for part in text.replace("+", " +").replace("-", " -").split():
        bit = _LETTERS[part[1:]]
        mask |= bit
        value |= bit if part[0] == "+" else 0
    return Field("ct_state", value, mask)


UNTRACKED = state("-trk-inv")
INVALID_STATE = state("+inv")
"""Fragments of a datagram that never became whole come out beside some packet that is tracked later, and go
through the pipeline with it. Open vSwitch's userspace tracking says that they are invalid, and not
tracked."""
UNWHOLE = state("-trk+inv")
"""These alone. A packet that tracking refuses, or whose connection nobody committed, is invalid and
tracked."""
VALID = state("+trk-inv")
LATER_FRAGMENT = Field("ip_frag", 3, 3)
"""A fragment other than the first (ovs-fields(7), ip_frag)."""


def onward(hop: Hop, numbers: Mapping[str, int]) -> tuple[tuple[Action, ...], Table | None]:
    """How a frame leaves a hop whose function is made of flows: actions, and the next table."""
    leave: tuple[Action, ...] = (CtClear(), SetField(HOP, hop.next))
    if hop.leaves != hop.network:
        leave += (SetField(NETWORK, numbers[hop.leaves]),)
    if hop.balanced:
        return (*leave, SetField(PAST, THROUGH), Resubmit(Table.CHAIN)), None
    if hop.next == OUT:
        return leave, Table.RESOLVE
    return (*leave, Resubmit(Table.STEER)), None
