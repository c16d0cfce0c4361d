"""What hosts have used so far, and what they use: answers of the API, typed."""

from __future__ import annotations

from typing_extensions import TypedDict


class HostUsage(TypedDict):
    """What a host has used since it began, as far as its present processes know.

    ``cpu`` in seconds. ``memory``: bytes of its processes at present, without what they share with files.
    ``received``, ``sent``: bytes at its wire, None while it has none. ``read``, ``written``: bytes of disks.
    """

    name: str
    kind: str
    processes: int
    cpu: float
    memory: int
    received: int | None
    received_packets: int | None
    sent: int | None
    sent_packets: int | None
    read: int
    written: int


class Usage(TypedDict):
    """A sample of all hosts. ``time`` in seconds, of a clock that only goes forward."""

    time: float
    hosts: list[HostUsage]


class UsageRow(TypedDict):
    """What a host uses. ``cpu``: percent of one processor; rates in bit/s, packets/s and bytes/s; None: not
    known yet."""

    name: str
    kind: str
    processes: int
    memory: int
    cpu: float | None
    bits_in: float | None
    packets_in: float | None
    bits_out: float | None
    packets_out: float | None
    read: float | None
    written: float | None
