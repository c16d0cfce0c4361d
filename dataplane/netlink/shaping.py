"""The shaping of a wire as queueing disciplines: token bucket for bandwidth, netem for delay and loss.

Pure: from a ``Shaping`` to netlink requests for the device whose outgoing traffic is shaped; each
direction of a wire is shaped at its sender.  Formats: linux/pkt_sched.h, tc-tbf(8), tc-netem(8).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dataplane.netlink.route import RTM_DELQDISC, RTM_NEWQDISC, Request
from linux.netlink import NLM_F_CREATE, NLM_F_EXCL, attribute, string, u32

if TYPE_CHECKING:
    from topologies.model.topology import Shaping

TCA_KIND, TCA_OPTIONS = 1, 2
TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST = 1, 4, 6
TCA_NETEM_LATENCY64 = 10
TC_H_ROOT = 0xFFFFFFFF
LINKLAYER_ETHERNET = 1
TICK_NS = 64  # what the kernel counts scheduling time in (PSCHED_SHIFT 6)

BURST_SECONDS = 0.005
QUEUE_SECONDS = 0.05
FRAME = 1514
LARGEST = 65_536
"""Bytes of the largest packet that Linux sends without segmentation (GSO_LEGACY_MAX_SIZE)."""
LEAST_BURST = 16_384


def qdiscs(index: int, shaping: Shaping) -> list[Request]:
    """The requests that shape the outgoing traffic of device ``index``; none for an unshaped wire."""
    requests = []
    parent, handle = TC_H_ROOT, 0x10000
    if shaping.bandwidth is not None:
        requests.append(_new(index, parent, handle, "tbf", token_bucket(shaping.bandwidth)))
        parent, handle = 0x10001, 0x100000
    if shaping.delay or shaping.loss:
        requests.append(_new(index, parent, handle, "netem", network_emulation(shaping)))
    return requests


def burst_of(bandwidth: int) -> int:
    """The burst in bytes of a wire of ``bandwidth`` bit/s: those of 5 ms, and at least ``LEAST_BURST``."""
    return max(LEAST_BURST, int(max(1, bandwidth // 8) * BURST_SECONDS))


def largest_packet(wires: Iterable[Shaping], buckets: Iterable[int] = ()) -> int:
    """Bytes of the largest packet that may be sent without segmentation over any of these wires, and through
    token buckets of so many bytes.

    The kernel's tbf segments a packet that is larger than its bucket. A sender that paces by acknowledgements
    (BBR) then loses nine tenths of the bandwidth. So no host sends such packets.
    """
    bursts = [*(burst_of(wire.bandwidth) for wire in wires if wire.bandwidth is not None), *buckets]
    return max(FRAME, min(LARGEST, *(burst * 9 // 10 for burst in bursts), LARGEST))


def token_bucket(bandwidth: int) -> bytes:
    """TCA_OPTIONS of a tbf for ``bandwidth`` bit/s, with a queue of 50 ms (at least 30 frames)."""
    rate = max(1, bandwidth // 8)
    burst = burst_of(bandwidth)
    limit = burst + max(30 * FRAME, int(rate * QUEUE_SECONDS))
    spec = struct.pack("=BBHhHI", 0, LINKLAYER_ETHERNET, 0, -1, 0, min(rate, 0xFFFFFFFF))
    no_peak = struct.pack("=BBHhHI", 0, 0, 0, 0, 0, 0)
    parameters = spec + no_peak + struct.pack("=III", min(limit, 0xFFFFFFFF), 0, 0)
    options = attribute(TCA_TBF_PARMS, parameters) + u32(TCA_TBF_BURST, min(burst, 0xFFFFFFFF))
    if rate > 0xFFFFFFFF:
        options += attribute(TCA_TBF_RATE64, struct.pack("=Q", rate))
    return options


def network_emulation(shaping: Shaping) -> bytes:
    """TCA_OPTIONS of a netem; its queue holds the packets that are on the wire."""
    delay_ns = 1000 * (shaping.delay or 0)
    bandwidth = shaping.bandwidth or 10_000_000_000
    limit = 1000 + int(bandwidth / 8 / 64 * delay_ns / 1e9)
    loss = round((shaping.loss or 0.0) * 0xFFFFFFFF)
    ticks = min(delay_ns // TICK_NS, 0xFFFFFFFF)
    head = struct.pack("=IIIIII", ticks, min(limit, 0xFFFFFFF), loss, 0, 0, 0)
    return head + attribute(TCA_NETEM_LATENCY64, struct.pack("=q", delay_ns))


def _new(index: int, parent: int, handle: int, kind: str, options: bytes) -> Request:
    payload = struct.pack("=BxxxiIII", 0, index, handle, parent, 0)
    payload += string(TCA_KIND, kind) + attribute(TCA_OPTIONS, options)
    return Request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, payload, f"add {kind} to device {index}")


def remove(index: int) -> Request:
    """Remove a device's queueing disciplines."""
    payload = struct.pack("=BxxxiIII", 0, index, 0, TC_H_ROOT, 0)
    return Request(RTM_DELQDISC, 0, payload, f"unshape device {index}")
