"""Flow tables as plain values: what the compiler makes and the OpenFlow edge installs.

Terms are OpenFlow's (1.5.1, sections 5 and 7.2).  Match fields and set-field values are
integers; field names are Open vSwitch's (``ovs-fields(7)``: ``eth_dst``, ``arp_tpa``,
``nd_target``, ...), so that a flow prints as ``ovs-ofctl`` would take it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple


class Table(IntEnum):
    """The pipeline, in order; code never says a table's number."""

    CLASSIFY = 0
    SECURITY = 1
    CHAIN = 2
    RESOLVE = 3
    ROUTE = 4
    FORWARD = 5
    EGRESS = 6


class Output(NamedTuple):
    """Send out of a port. ``port`` may be one of the reserved ports below."""

    port: int


IN_PORT = 0xFFFFFFF8
CONTROLLER = 0xFFFFFFFD


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
    """Take one from the IPv4 TTL or IPv6 hop limit; a packet that has none left is dropped here."""


Action = Output | ToGroup | SetField | Move | DecTtl


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
    hash of everything above it, so equal cookies mean equal flows: reconciliation compares
    cookies alone.  ``why`` is the provenance shown to people and not part of the hash.
    """

    table: Table
    priority: int
    match: tuple[Field, ...]
    actions: tuple[Action, ...] = ()
    goto: Table | None = None
    idle_timeout: int = 0
    cookie: int = 0
    why: str = field(default="", compare=False)


class Bucket(NamedTuple):
    actions: tuple[Action, ...]
    watch_port: int | None = None
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """A group: ``kind`` is ``all``, ``select``, ``indirect`` or ``ff`` (fast failover)."""

    id: int
    kind: str
    buckets: tuple[Bucket, ...]
    why: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class SwitchTables:
    """All that one switch should hold."""

    switch: str
    dpid: int
    flows: tuple[Flow, ...]
    groups: tuple[Group, ...]
