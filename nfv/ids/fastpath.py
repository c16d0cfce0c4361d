"""The commonest packet, without an object for it: the next segment of an established TCP connection over
plain IPv4.

Everything that is in any way special (options in the IP header, out of order, a flag, a hole, a rule that may
match) is left to the stages, which give the same result, only slower; tests compare the two.  Nothing is
changed before it is certain that the segment is one of these.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

from nfv.ids.checksum import segment_is_right
from nfv.ids.tcp.session import ESTABLISHED
from nfv.ids.tcp.stream import SMALL, extend

if TYPE_CHECKING:
    from nfv.ids.engine import Engine
    from nfv.ids.flow import Flow

_FIELDS = Struct("!BxHxxHxBxx12sIIBBH").unpack_from
"""From byte 14 of an Ethernet frame: version and header length, length, fragment, protocol, both addresses
and ports, sequence number, acknowledgement, offset, flags, window.
"""

Entry = tuple[Any, ...]
"""(flow, does it go to the server, session, sender's stream, receiver's stream)"""


def remember(known: dict[bytes, Entry], flow: Flow) -> None:
    """Let the segments of an established flow take the short way."""
    session = flow.session
    if flow.vlan or len(flow.src) != 4 or session.one_sided:
        return
    ports = flow.sp.to_bytes(2, "big") + flow.dp.to_bytes(2, "big")
    known[flow.src + flow.dst + ports] = (flow, True, session, session.client, session.server)
    known[flow.dst + flow.src + ports[2:] + ports[:2]] = (
        flow,
        False,
        session,
        session.server,
        session.client,
    )


def forget(known: dict[bytes, Entry], flow: Flow) -> None:
    """The flow is over or was turned round."""
    ports = flow.sp.to_bytes(2, "big") + flow.dp.to_bytes(2, "big")
    known.pop(flow.src + flow.dst + ports, None)
    known.pop(flow.dst + flow.src + ports[2:] + ports[:2], None)


def segment(engine: Engine, data: bytes, ts: float, num: int) -> bool:
    """Handle a frame; False when it needs the stages."""
    first, length, frag, proto, ends, seq, ack, offset, flags, win = _FIELDS(data, 14)
    if first != 0x45 or proto != 6 or frag & 0x3FFF or flags & 0xF7 != 16:
        return False
    entry = engine.known.get(ends)
    if entry is None:
        return False
    flow, toserver, session, own, other = entry
    if session.state != ESTABLISHED or own.held or own.fin >= 0 or other.fin >= 0 or flow.passed or flow.drop:
        return False
    pay = 34 + (offset >> 4) * 4
    end = 14 + length
    size = end - pay
    if size < 0 or end > len(data) or offset < 0x50 or flow.generation != engine.generation:
        return False
    right = own.right
    if (own.base_seq + right - seq) & 0xFFFFFFFF or ts - flow.last > 30:
        return False
    fresh = (ack - other.base_seq - other.acked) & 0xFFFFFFFF
    acked = other.acked + fresh
    if fresh and (fresh > 0x7FFFFFFF or acked > other.right):
        return False
    if size and (right + size > own.next_win or (engine.depth and right + size > engine.depth)):
        return False
    options = engine.stream_options
    if options.buffered > options.memcap:
        return False
    if engine.checksums and not segment_is_right(data, end):
        return False
    # from here on it is one of these
    engine.fast_packets += 1
    engine.fast_bytes += len(data)
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
    detector = engine.detector
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
            engine.deliver(flow, session, other, not toserver, ts)
    app = flow.app
    if (
        look
        or rules.tcp_always
        or (app is not None and (app.fed_ts if toserver else app.fed_tc))
        or (rules.once and app_known(engine, flow, toserver))
    ):
        engine.inspect_segment(data, ts, num, flow, toserver, size > 0)
    elif own.raw and (own.raw_done >= engine.chunk or own.raw_flush):
        engine.inspect_raw(data, ts, num, flow, toserver, size > 0, own)
    return True


def app_known(engine: Engine, flow: Flow, toserver: bool) -> bool:
    """Are there rules that are asked once for each direction, and have not been?"""
    rules = engine.detector.rules
    if rules.ip_only and not flow.ip_only & (1 if toserver else 2):
        return True
    return bool(rules.proto_only and flow.app_proto and not flow.ip_only & (4 if toserver else 8))
