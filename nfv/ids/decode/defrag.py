"""Reassembly of IP fragments (RFC 791, section 3.2; RFC 8200, section 4.5; overlaps as in RFC 5722's
targets).

Policy for overlaps: as Windows (Suricata's default host policy).  The fragment that came first stays, unless
the later one begins before it and ends after it.  Limits: ``max_trackers`` packets wait at the same time (the
oldest is deleted first), ``memory`` bytes in all with overhead, ``timeout`` seconds each; a packet has at
most 65,535 bytes.
"""

from __future__ import annotations

from nfv.ids.decode.packet import Packet
from wire.checksum import checksum

MAX_OVERLAPS = 128
"""Limit of a packet's overlapping fragments. More are refused, since each is compared with all."""
EACH = 160
"""Overhead in bytes of a fragment, and of a waiting packet."""


class _Waiting:
    __slots__ = ("covered", "first", "fragments", "header", "last", "overlaps", "size", "ts")

    def __init__(self, ts: float) -> None:
        self.ts = ts
        self.fragments: list[tuple[int, bytes]] = []  # in order of arrival
        self.last = -1  # where the packet ends, once its last fragment came
        self.header = b""
        self.first = False
        self.size = 1024 + EACH
        self.covered = 0  # a bit for each 8 bytes that are there
        self.overlaps = 0

    def add(self, offset: int, body: bytes, more: bool) -> bool:
        """Add a fragment; False if it overlaps others and too many do."""
        end = offset + len(body)
        if not more and self.last < 0:
            self.last = end
        units = (end + 7 if end == self.last else end) // 8 - offset // 8
        mask = (1 << units) - 1 << offset // 8
        if self.covered & mask:
            self.overlaps += 1
            if self.overlaps > MAX_OVERLAPS:
                return False
        self.covered |= mask
        self.fragments.append((offset, body))
        self.size += EACH + len(body)
        return True

    @property
    def whole(self) -> bool:
        """Whether all bytes are present."""
        if self.last < 0 or not self.first:
            return False
        full = (1 << (self.last + 7) // 8) - 1
        return self.covered & full == full


class Defragmenter:
    """Fragments that wait for the others of their packet."""

    def __init__(self, max_trackers: int = 4096, memory: int = 16 << 20, timeout: float = 60.0) -> None:
        self._waiting: dict[tuple[object, ...], _Waiting] = {}
        self._max = max_trackers
        self._limit = memory
        self._timeout = timeout
        self.memory = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def ipv4(self, packet: Packet, ident: int) -> bytes | None:
        """The whole packet if this fragment completes it; otherwise None."""
        offset, more = (packet.frag & 0x1FFF) * 8, bool(packet.frag & 0x2000)
        header = packet.data[packet.l3 : packet.l4]
        body = packet.data[packet.l4 : packet.end]
        if offset + len(body) > 65535 - len(header):
            packet.event("decoder.ipv4.frag_too_large")
            return None
        key = (4, packet.src, packet.dst, ident, packet.proto, packet.vlan)
        done = self._add(packet, key, offset, more, body, header)
        if done is None:
            return None
        header, body = done
        size = len(header) + len(body)
        header = (
            header[:2]
            + size.to_bytes(2, "big")
            + header[4:6]
            + b"\0\0"
            + header[8:10]
            + b"\0\0"
            + header[12:]
        )
        return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + body

    def ipv6(self, packet: Packet, at: int, following: int) -> bytes | None:
        """As ``ipv4``; ``at`` is where the fragment header is, ``following`` the protocol behind it."""
        field = packet.data[at + 2] << 8 | packet.data[at + 3]
        offset, more = field & 0xFFF8, bool(field & 1)
        body = packet.data[at + 8 : packet.end]
        if more and len(body) % 8:
            packet.event("decoder.ipv6.frag_invalid_length")
            return None
        if offset + len(body) > 65535:
            packet.event("decoder.ipv6.frag_pkt_too_large")
            return None
        header = packet.data[packet.l3 : at]
        # the header before the fragment header has 44 as next header: correct it
        where = _next_header(header)
        header = header[:where] + bytes((following,)) + header[where + 1 :]
        key = (6, packet.src, packet.dst, packet.data[at + 4 : at + 8], packet.vlan)
        done = self._add(packet, key, offset, more, body, header)
        if done is None:
            return None
        header, body = done
        size = len(header) - 40 + len(body)
        if size > 65535:
            packet.event("decoder.ipv6.frag_pkt_too_large")
            return None
        return header[:4] + size.to_bytes(2, "big") + header[6:] + body

    def _add(
        self, packet: Packet, key: tuple[object, ...], offset: int, more: bool, body: bytes, header: bytes
    ) -> tuple[bytes, bytes] | None:
        waiting = self._waiting.get(key)
        if waiting is not None and packet.ts - waiting.ts > self._timeout:
            self._drop(key)
            waiting = None
        if waiting is None:
            while self._waiting and (len(self._waiting) >= self._max or self.memory > self._limit):
                self._drop(next(iter(self._waiting)))
            waiting = self._waiting[key] = _Waiting(packet.ts)
            self.memory += waiting.size
        if not body:
            return None
        before = waiting.size
        if not waiting.add(offset, body, more):
            return None
        if offset == 0 and not waiting.first:
            waiting.header, waiting.first = header, True
        self.memory += waiting.size - before
        if not waiting.whole:
            return None
        whole = _merge(waiting.fragments, waiting.last, packet)
        if whole is None:
            return None
        self._drop(key)
        return waiting.header, whole

    def _drop(self, key: tuple[object, ...]) -> None:
        self.memory -= self._waiting.pop(key).size


def _next_header(header: bytes) -> int:
    """Index of the last "next header" byte in an IPv6 header with extension headers."""
    where, proto, at = 6, header[6], 40
    while at + 2 <= len(header) and proto != 44:
        where, proto = at, header[at]
        at += (header[where + 1] + 1) * 8
    return where


def _merge(fragments: list[tuple[int, bytes]], size: int, packet: Packet) -> bytes | None:
    """The bytes 0 … size, or None if some are missing."""
    whole = bytearray(size)
    owner: list[tuple[int, int]] = []  # (begin, end) of what is there, in order of arrival
    filled = bytearray(size)
    for offset, body in fragments:
        end = min(offset + len(body), size)
        if offset >= size:
            continue
        body = body[: end - offset]
        overlaps = []
        if filled.find(b"\1", offset, end) >= 0:
            overlaps = [span for span in owner if span[0] < end and offset < span[1]]
        if overlaps:
            name = "decoder.ipv4.frag_overlap" if packet.version == 4 else "decoder.ipv6.frag_overlap"
            if packet.events is None or name not in packet.events:
                packet.event(name)
        if not overlaps:
            whole[offset:end] = body
            filled[offset:end] = b"\1" * (end - offset)
        else:
            at = offset
            while at < end:  # runs of bytes that are there and that are not
                have = filled[at]
                stop = filled.find(b"\0" if have else b"\1", at, end)
                stop = end if stop < 0 else stop
                if not have or any(offset < b and e < end and b <= at < e for b, e in overlaps):
                    whole[at:stop] = body[at - offset : stop - offset]
                at = stop
            filled[offset:end] = b"\1" * (end - offset)
        owner.append((offset, end))
    return bytes(whole) if filled.find(b"\0") < 0 else None
