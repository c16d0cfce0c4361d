"""Flow tables as plain values: the compiler makes them, ``controller.openflow`` writes them as messages.

Terms are OpenFlow's (1.5.1, sections 5 and 7.2).  Match fields and set-field values are
integers; field names are Open vSwitch's (``ovs-fields(7)``: ``eth_dst``, ``arp_tpa``,
``nd_target``, ...), so that a flow prints as ``ovs-ofctl`` would take it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from controller.origin import Origin


class Table(IntEnum):
    """The pipeline, in order; code never says a table's number.

    A frame goes on to tables of higher numbers only (OpenFlow 1.5.1, 5.1). The numbers between these are for
    tables that ``add_table`` adds.
    """

    CLASSIFY = 0
    SECURITY = 10
    FIREWALL = 20
    MIRROR = 30
    CHAIN = 40
    STEER = 50
    RESOLVE = 60
    ROUTE = 70
    FORWARD = 80
    ADMIT = 90
    EGRESS = 100
    FRAGMENT = 110

    @classmethod
    def _missing_(cls, value: object) -> Table | None:
        return ADDED.get(value)


ADDED: dict[object, Table] = {}
"""Number -> the table of a stage that was added."""


def add_table(name: str, after: Table, before: Table) -> Table:
    """A new table for a stage that is added, with a number between those of two others.

    The same calls in the same order give the same numbers. Raises ValueError when the name is taken, or no
    number is left.
    """
    if name in {table.name for table in (*Table, *ADDED.values())}:
        raise ValueError(f"a table is called {name} already")
    number = (after + before) // 2
    if not after < number < before:
        raise ValueError(f"no number is left between the tables {after.name} and {before.name}")
    added = int.__new__(Table, number)
    added._name_, added._value_ = name, number
    ADDED[number] = added
    return added


def table_of(number: int) -> Table | None:
    """The table of this number, if there is one."""
    try:
        return Table(number)
    except ValueError:
        return None


class Output(NamedTuple):
    """Send out of a port. ``port`` may be one of the reserved ports below."""

    port: int


IN_PORT = 0xFFFFFFF8
NO_PORT = 0xFFFF
"""OpenFlow's OFPP_NONE in 16 bits. Flows set in_port to it in frames that may have to go back by their
ingress port, since OpenFlow sends no frame out of its in_port (1.5.1, 4.5)."""
CONTROLLER = 0xFFFFFFFD
LOCAL = 0xFFFFFFFE


class ToGroup(NamedTuple):
    group: int


class SetField(NamedTuple):
    field: str
    value: int
    mask: int | None = None


class Move(NamedTuple):
    """Copy ``bits`` bits from one field's start bit to another's (OF 1.5 copy_field / NXM move)."""

    src: str
    dst: str
    bits: int
    src_bit: int = 0
    dst_bit: int = 0


class DecTtl(NamedTuple):
    """Take one from the IPv4 TTL or IPv6 hop limit; a packet whose TTL runs out is dropped."""


class PushVlan(NamedTuple):
    """Put an 802.1Q tag with this identifier on the frame."""

    vid: int


class PopVlan(NamedTuple):
    """Take the outer VLAN tag off."""


class Resubmit(NamedTuple):
    """Look the frame up in another table, and do what its flow says (Open vSwitch's resubmit)."""

    table: Table


class Clone(NamedTuple):
    """Apply these actions to a copy: the frame itself does not change (Open vSwitch's clone)."""

    actions: tuple[Action, ...]


class Spread(NamedTuple):
    """Write a hash of the connection, equal in both directions, into ``field``: 0 .. ``ways`` - 1 (Open
    vSwitch's multipath with symmetric_l3l4+udp and modulo_n).  ``ports`` False: a hash of the addresses alone
    (symmetric_l3), equal in all fragments of a datagram."""

    field: str
    ways: int
    ports: bool = True


class EncapNsh(NamedTuple):
    """Put an NSH header (RFC 8300, MD type 2, no metadata) and an outer Ethernet header on the frame."""

    spi: int
    si: int
    eth_src: int
    eth_dst: int


class DecapNsh(NamedTuple):
    """Take outer Ethernet and NSH headers off."""


class Ct(NamedTuple):
    """Open vSwitch's connection tracking (ovs-actions(7), ct).

    The frame comes back in ``table`` with ct_state set (None: it does not come back). ``nat``: None for no
    translation; ``""`` to translate packets of connections that are translated already; ``src`` or ``dst`` to
    translate new connections to ``address`` (and to a ``port`` of this range); ``src`` without an address to
    give a new connection another source port where its answers would look like another connection's. ``mark``
    is set on the connection. ``mark``, ``src`` and ``dst`` need ``commit``.
    """

    zone: int
    table: Table | None = None
    commit: bool = False
    nat: str | None = None
    address: int | None = None
    version: int = 4
    port: tuple[int, int] | None = None
    mark: int | None = None
    force: bool = False


class CtClear(NamedTuple):
    """Clear ct_state and all other fields that tracking has written."""


class ToMeter(NamedTuple):
    """Drop the frame when it is above the rate of this meter."""

    meter: int


Action = (
    Output
    | ToGroup
    | SetField
    | Move
    | DecTtl
    | PushVlan
    | PopVlan
    | Resubmit
    | Clone
    | Spread
    | EncapNsh
    | DecapNsh
    | Ct
    | CtClear
    | ToMeter
)


class Field(NamedTuple):
    """One match field: ``mask`` None means an exact match."""

    name: str
    value: int
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow entry.

    ``match`` is sorted by the order OXM prerequisites need; ``actions`` are applied at once,
    then the packet goes on to table ``goto`` (None: it ends here).  ``cookie`` is the 64-bit
    hash of the fields before it, so equal cookies mean equal flows: reconciliation compares cookies alone.
    ``origin`` says what the flow is for, and is not part of the hash.
    """

    table: Table
    priority: int
    match: tuple[Field, ...]
    actions: tuple[Action, ...] = ()
    goto: Table | None = None
    idle_timeout: int = 0
    cookie: int = 0
    origin: Origin = field(default=Origin(), compare=False)

    @property
    def why(self) -> str:
        """The origin in words."""
        return self.origin.text


class Bucket(NamedTuple):
    """A bucket of a group. ``id``: its identifier where the group's ``fields`` choose the bucket, else
    None."""

    actions: tuple[Action, ...]
    watch_port: int | None = None
    weight: int = 1
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A group: ``kind`` is ``all``, ``select``, ``indirect`` or ``ff`` (fast failover).

    ``fields``: their hash chooses the bucket of a select group, in Open vSwitch's order (see
    ``controller.openflow.selection``); then every bucket has an ``id``. Empty: the switch chooses by itself.
    """

    id: int
    kind: str
    buckets: tuple[Bucket, ...]
    origin: Origin = field(default=Origin(), compare=False)
    fields: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """The origin in words."""
        return self.origin.text


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter: ``rate`` packets a second pass, with bursts of ``burst`` packets; the rest is dropped."""

    id: int
    rate: int
    burst: int
    origin: Origin = field(default=Origin(), compare=False)


@dataclass(frozen=True, slots=True)
class SwitchTables:
    """All that one switch should hold."""

    switch: str
    dpid: int
    flows: tuple[Flow, ...]
    groups: tuple[Group, ...]
    meters: tuple[Meter, ...] = ()
