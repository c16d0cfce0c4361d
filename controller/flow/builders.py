"""Building single flows: priorities, registers and the cookie.

Registers are Open vSwitch's 32-bit ``reg<N>`` (``ovs-fields(7)``), zero when a frame enters.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

from controller.flow.tables import Action, Field, Flow, Table
from controller.origin import Origin
from topologies.model.places import Entity

NETWORK = "reg0"
"""Number of the network that a frame from a host port belongs to; 0 for frames in transit, which were checked
where they entered."""

DETOURED = "reg1"
"""Bit 0: this frame has already left its shortest path once (see ``controller.compiler.forwarding``)."""

ANSWER = "reg2"
"""1: this frame is the switch's own answer to a solicitation; table EGRESS completes it and sends it back."""

HOP = "reg3"
"""Number of the hop that the frame is at (see ``topologies.model.service_paths``); 0: at none."""

SHARE = "reg4"
"""The share of this frame's connection, by which a function's connections are spread over its instances."""

OUT_PORT = "reg5"
"""The host port that a frame leaves by when table ADMIT accepts it."""

VERDICT = "reg6"
"""1: a firewall's rules accept this frame's connection (see ``controller.compiler.functions.firewall``). The
bits above are an address translator's (see
``controller.compiler.functions.nat``, ``controller.compiler.functions.echoes``)."""

RULES = "reg7"
"""Number of the rule set by which tables FIREWALL and ADMIT decide on this frame."""

DATAGRAM = "reg8"
"""Bit 0: this fragment leads all others of its datagram (see ``controller.compiler.fragments``). The bits
above: the number of its network, where NETWORK does not have it."""

COPIED = "reg9"
"""1: functions that join have their copy of this frame already (see ``controller.update.teaching``)."""

INSIDE = "reg10"
"""The address of the inside host that sent an ICMP query, while a translator looks its connection up (see
``controller.compiler.functions.echoes``)."""

PAST = "reg11"
"""What took this frame in table CHAIN before. Bit 0: a load balancer, which gave it back since it answers no
balanced connection. Bit 1: a chain; after that only load balancers' own chains can take it."""
GIVEN_BACK, THROUGH = 1, 2

WRITTEN = "reg12"
"""What the next action moves into a field that the kernel's datapath lets no flow set (see
``controller.compiler.arp_nd``)."""


class Priority(IntEnum):
    """Priorities within a table, named for what wins over what."""

    TRUNK = 500
    GUARD = 400
    SPECIAL = 350
    KNOWN = 300
    UNKNOWN = 200
    FLOOD = 150
    NOISE = 100
    MISS = 0


def cookie_of(
    table: Table,
    priority: int,
    match: tuple[Field, ...],
    actions: tuple[Action, ...],
    goto: Table | None,
    idle_timeout: int,
) -> int:
    """64-bit hash of what a flow does, never 0 (which is the cookie of other tools' flows)."""
    content = (
        int(table),
        int(priority),
        [tuple(field) for field in match],
        # the class name belongs to the content: Output(1) and ToGroup(1) are equal tuples
        [(type(action).__name__, *action) for action in actions],
        -1 if goto is None else int(goto),
        idle_timeout,
    )
    return int.from_bytes(blake2b(repr(content).encode(), digest_size=8).digest(), "big") or 1


def flow(
    table: Table,
    priority: int,
    match: tuple[Field, ...],
    actions: tuple[Action, ...] = (),
    goto: Table | None = None,
    idle_timeout: int = 0,
    why: str | Origin = "",
    entity: Entity | None = None,
) -> Flow:
    """A ``Flow`` with its cookie. ``why``: its origin, or the text of a plain ``Origin`` that names
    ``entity``."""
    cookie = cookie_of(table, priority, match, actions, goto, idle_timeout)
    return Flow(
        table,
        int(priority),
        match,
        actions,
        goto,
        idle_timeout,
        cookie,
        Origin(why, entity=entity) if isinstance(why, str) else why,
    )


def miss(table: Table, goto: Table | None, why: str) -> Flow:
    """The table-miss entry (OpenFlow 1.5.1, 5.4)."""
    return flow(table, Priority.MISS, (), goto=goto, why=why)
