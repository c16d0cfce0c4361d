"""The shaping of a wire as queueing disciplines: netem for delay, loss and such, a token bucket for a rate.

Pure: from one direction of a ``Shaping`` to netlink requests for the device whose outgoing traffic is shaped;
each direction of a wire is shaped at its sender.  A frame waits in the token bucket after netem has delayed
it, so that the queue holds what waits for the bandwidth, and not what is on the wire.  Formats:
linux/pkt_sched.h, tc-tbf(8), tc-netem(8), tc-pfifo(8).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from dataplane.netlink.route import RTM_DELQDISC, RTM_NEWQDISC, Request
from linux.netlink import NLM_F_CREATE, NLM_F_EXCL, attribute, string, u32

if TYPE_CHECKING:
    from topologies.model.wires import Shaping

TCA_KIND, TCA_OPTIONS = 1, 2
TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST = 1, 4, 6
TCA_NETEM_REORDER, TCA_NETEM_CORRUPT, TCA_NETEM_LATENCY64, TCA_NETEM_JITTER64 = 3, 4, 10, 11
TC_H_ROOT = 0xFFFFFFFF
NETEM, TBF, FIFO = 0x10000, 0x20000, 0x30000
LINKLAYER_ETHERNET = 1
TICK_NS = 64  # what the kernel counts scheduling time in (PSCHED_SHIFT 6)

BURST_SECONDS = 0.005
QUEUE_SECONDS = 0.05
FRAME = 1514
LARGEST = 65_536
"""Bytes of the largest packet that Linux sends without segmentation (GSO_LEGACY_MAX_SIZE)."""
LEAST_BURST = 16_384
HEADERS = 64
"""Bytes of a frame beside its IP packet, at most: Ethernet, VLAN tags, and a chain's header."""


class Qdisc(NamedTuple):
    """A queueing discipline of a device: its place, its kind, and TCA_OPTIONS."""

    parent: int
    handle: int
    kind: str
    options: bytes


def stack(way: Shaping, mtu: int = 1500) -> list[Qdisc]:
    """The queueing disciplines of one direction of a wire, from the device's root down."""
    disciplines = []
    parent = TC_H_ROOT
    if way.emulated:
        disciplines.append(Qdisc(parent, NETEM, "netem", network_emulation(way)))
        parent = NETEM | 1
    if way.bandwidth is not None:
        disciplines.append(Qdisc(parent, TBF, "tbf", token_bucket(way, mtu)))
        if way.queue is not None and way.queue.unit == "packets":
            disciplines.append(Qdisc(TBF | 1, FIFO, "pfifo", struct.pack("=I", way.queue.amount)))
    return disciplines


def qdiscs(index: int, way: Shaping, mtu: int = 1500) -> list[Request]:
    """The requests that shape the outgoing traffic of device ``index``; none for an unshaped wire."""
    return [_new(index, discipline, NLM_F_CREATE | NLM_F_EXCL) for discipline in stack(way, mtu)]


def reshape(index: int, old: tuple[Shaping, int], new: tuple[Shaping, int]) -> list[Request]:
    """The requests that change the shaping and MTU of device ``index`` while packets flow.

    If disciplines of the same kinds are needed as before, they change in place, and what waits in them stays.
    Otherwise it is lost.
    """
    before, after = stack(*old), stack(*new)
    if before == after:
        return []
    if [discipline[:3] for discipline in before] == [discipline[:3] for discipline in after]:
        return [_new(index, discipline, 0) for discipline in after]
    return ([remove(index)] if before else []) + qdiscs(index, *new)


def burst_of(bandwidth: int, mtu: int = 1500) -> int:
    """The burst in bytes of a wire of ``bandwidth`` bit/s: those of 5 ms, at least ``LEAST_BURST``, and a
    frame."""
    return max(LEAST_BURST, mtu + HEADERS, int(max(1, bandwidth // 8) * BURST_SECONDS))


def waiting_bytes(way: Shaping) -> int | None:
    """How many bytes may wait for the bandwidth; None: it has none, or the queue counts packets."""
    if way.bandwidth is None:
        return None
    rate = max(1, way.bandwidth // 8)
    if way.queue is None:
        return max(30 * FRAME, int(rate * QUEUE_SECONDS))
    if way.queue.unit == "packets":
        return None
    return way.queue.amount if way.queue.unit == "bytes" else rate * way.queue.amount // 1_000_000


def largest_packet(wires: Iterable[Shaping], buckets: Iterable[int] = ()) -> int:
    """Bytes of the largest packet that may be sent without segmentation over any of these wires, and through
    token buckets of so many bytes.

    The kernel's tbf segments a packet that is larger than its bucket. A sender that paces by acknowledgements
    (BBR) then loses nine tenths of the bandwidth. So no host sends such packets.  Where a wire counts frames
    (it loses some of them, or its queue holds a number of them), a packet is a frame; where a queue is short,
    it holds several packets.
    """
    most = [LARGEST, *(burst * 9 // 10 for burst in buckets)]
    for wire in wires:
        for way in wire.ways:
            if way.bandwidth is not None:
                most.append(burst_of(way.bandwidth) * 9 // 10)
            if way.queue is not None:
                most.append((waiting_bytes(way) or 0) // 8)
            if any((way.loss, way.reorder, way.duplicate, way.corrupt)):
                most.append(FRAME)
    return max(FRAME, min(most))


def token_bucket(way: Shaping, mtu: int = 1500) -> bytes:
    """TCA_OPTIONS of a tbf, with its queue in bytes; a queue in packets is a discipline of its own."""
    bandwidth = way.bandwidth or 0
    rate = max(1, bandwidth // 8)
    burst = burst_of(bandwidth, mtu)
    limit = waiting_bytes(way) or burst
    if way.queue is None:
        limit += burst
    limit = max(limit, mtu + HEADERS)
    spec = struct.pack("=BBHhHI", 0, LINKLAYER_ETHERNET, 0, -1, 0, min(rate, 0xFFFFFFFF))
    no_peak = struct.pack("=BBHhHI", 0, 0, 0, 0, 0, 0)
    parameters = spec + no_peak + struct.pack("=III", min(limit, 0xFFFFFFFF), 0, 0)
    options = attribute(TCA_TBF_PARMS, parameters) + u32(TCA_TBF_BURST, min(burst, 0xFFFFFFFF))
    if rate > 0xFFFFFFFF:
        options += attribute(TCA_TBF_RATE64, struct.pack("=Q", rate))
    return options


def network_emulation(way: Shaping) -> bytes:
    """TCA_OPTIONS of a netem; its queue holds the packets that are on the wire."""
    delay_ns, jitter_ns = 1000 * (way.delay or 0), 1000 * (way.jitter or 0)
    bandwidth = way.bandwidth or 10_000_000_000
    limit = 1000 + int(bandwidth / 8 / 64 * (delay_ns + jitter_ns) / 1e9)
    loss, duplicate, reorder, corrupt = (
        round((share or 0.0) * 0xFFFFFFFF) for share in (way.loss, way.duplicate, way.reorder, way.corrupt)
    )
    delay, jitter = (min(ns // TICK_NS, 0xFFFFFFFF) for ns in (delay_ns, jitter_ns))
    # of reorder, only every gap-th packet is looked at; 1: each
    gap = 1 if reorder else 0
    head = struct.pack("=IIIIII", delay, min(limit, 0xFFFFFFF), loss, gap, duplicate, jitter)
    options = head + attribute(TCA_NETEM_LATENCY64, struct.pack("=q", delay_ns))
    if jitter_ns:
        options += attribute(TCA_NETEM_JITTER64, struct.pack("=q", jitter_ns))
    for kind, share in ((TCA_NETEM_REORDER, reorder), (TCA_NETEM_CORRUPT, corrupt)):
        if share:
            options += attribute(kind, struct.pack("=II", share, 0))
    return options


def _new(index: int, discipline: Qdisc, flags: int) -> Request:
    payload = struct.pack("=BxxxiIII", 0, index, discipline.handle, discipline.parent, 0)
    payload += string(TCA_KIND, discipline.kind) + attribute(TCA_OPTIONS, discipline.options)
    verb = "add" if flags else "change"
    return Request(RTM_NEWQDISC, flags, payload, f"{verb} {discipline.kind} of device {index}")


def remove(index: int) -> Request:
    """Remove a device's queueing disciplines."""
    payload = struct.pack("=BxxxiIII", 0, index, 0, TC_H_ROOT, 0)
    return Request(RTM_DELQDISC, 0, payload, f"unshape device {index}")
