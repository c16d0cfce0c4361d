"""The fast path for the most frequent packet: the next segment of an established TCP connection over plain
IPv4. It creates no object for the packet.

All other packets (options in the IP header, out of order, a flag, a hole, a rule that may match) go through
the stages, which give the same result more slowly; tests compare the two.  The fast path changes no state
before it is certain that the segment is such a packet.
"""

from __future__ import annotations

from struct import Struct

from nfv.ids.checksum import segment_is_right
from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.flow import Flow
from nfv.ids.inspection import Inspection
from nfv.ids.streams import Streams
from nfv.ids.tcp.session import ESTABLISHED
from nfv.ids.tcp.stream import SMALL, extend

_FIELDS = Struct("!BxHxxHxBxx12sIIBBH").unpack_from
"""From byte 14 of an Ethernet frame: version and header length, length, fragment, protocol, both addresses
and ports, sequence number, acknowledgement, offset, flags, window.
"""


class FastPath:
    """Handles and counts the segments of known connections."""

    def __init__(self, streams: Streams, inspection: Inspection) -> None:
        self.packets = self.bytes = 0
        self._streams = streams
        self._inspection = inspection
        self._known = streams.known
        self._options = streams.options
        self._checksums = streams.options.checksums
        self._depth = streams.options.depth
        self._chunk = inspection.chunk

    def segment(self, data: bytes, ts: float, num: int) -> bool:
        """Handle a frame; False when it needs the stages."""
        first, length, frag, proto, ends, seq, ack, offset, flags, win = _FIELDS(data, 14)
        if first != 0x45 or proto != 6 or frag & 0x3FFF or flags & 0xF7 != 16:
            return False
        entry = self._known.get(ends)
        if entry is None:
            return False
        flow, toserver, session, own, other = entry
        if (
            session.state != ESTABLISHED
            or own.held
            or own.fin >= 0
            or other.fin >= 0
            or flow.passed
            or flow.drop
        ):
            return False
        pay = 34 + (offset >> 4) * 4
        end = 14 + length
        size = end - pay
        if size < 0 or end > len(data) or offset < 0x50 or flow.generation != self._inspection.generation:
            return False
        right = own.right
        if (own.base_seq + right - seq) & 0xFFFFFFFF or ts - flow.last > 30:
            return False
        fresh = (ack - other.base_seq - other.acked) & 0xFFFFFFFF
        acked = other.acked + fresh
        if fresh and (fresh > 0x7FFFFFFF or acked > other.right):
            return False
        if size and (right + size > own.next_win or (self._depth and right + size > self._depth)):
            return False
        options = self._options
        if options.buffered > options.memcap:
            return False
        if self._checksums and not segment_is_right(data, end):
            return False
        # from here on it is one of these
        self.packets += 1
        self.bytes += len(data)
        if ts > flow.last:
            flow.last = ts
        if toserver:
            flow.pkts_ts += 1
            flow.bytes_ts += len(data)
            session.flags_ts |= flags
        else:
            flow.pkts_tc += 1
            flow.bytes_tc += len(data)
            session.flags_tc |= flags
        limit = acked + (win << own.wscale)
        if limit > other.next_win:
            other.next_win = limit
        detector = self._inspection.detector
        rules = detector.rules
        look = False
        if size:
            if size < SMALL:
                extend(own.chunks, data[pay:end])
            else:
                own.chunks.append(data[pay:end])
            own.right = right = right + size
            options.buffered += size
            if right > own.next_pos:
                own.next_pos = right
            if flags & 8:
                own.raw_flush = True
            if rules.placed_db.size:
                look = bool(rules.placed_db.scan(data[pay : min(end, pay + rules.placed_db.reach)]))
            if not look and rules.free_db.size:
                look = bool(rules.free_db.scan(data[pay:end]))
        if fresh:
            other.acked = acked
            if acked > other.taken:
                self._streams.deliver(flow, session, other, not toserver, ts)
        app = flow.app
        if (
            look
            or rules.tcp_always
            or (app is not None and (app.fed_ts if toserver else app.fed_tc))
            or (rules.once and has_unasked(rules, flow, toserver))
        ):
            self._inspection.segment(data, ts, num, flow, toserver, size > 0)
        elif own.raw and (own.raw_done >= self._chunk or own.raw_flush):
            self._inspection.raw(data, ts, num, flow, toserver, size > 0, own)
        return True


def has_unasked(rules: RuleSet, flow: Flow, toserver: bool) -> bool:
    """Whether rules for this direction, which are evaluated once, have not been evaluated yet."""
    if rules.ip_only and not flow.ip_only & (1 if toserver else 2):
        return True
    return bool(rules.proto_only and flow.app_proto and not flow.ip_only & (4 if toserver else 8))
