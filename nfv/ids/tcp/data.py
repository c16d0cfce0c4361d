"""Segments of established and closing TCP connections (RFC 9293, section 3.10.7.4)."""

from __future__ import annotations

from nfv.ids.decode.packet import Packet
from nfv.ids.tcp.session import (
    ACK,
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN,
    FIN_WAIT1,
    FIN_WAIT2,
    LAST_ACK,
    PSH,
    TIME_WAIT,
    Options,
    Session,
)
from nfv.ids.tcp.stream import Stream


def add(own: Stream, packet: Packet, at: int, options: Options) -> None:
    """Add a segment's bytes at a position of its sender's stream."""
    data = packet.data[packet.pay : packet.end]
    end = at + len(data)
    if end > own.next_pos:
        own.next_pos = end
    if options.buffered > options.memcap:
        options.refused += 1
        return
    before = own.stored
    added = own.add(at, data, options.depth)
    options.buffered += own.stored - before
    if added:
        packet.stream_add = True
        if packet.flags & (PSH | FIN):
            own.raw_flush = True


def established(session: Session, packet: Packet, own: Stream, other: Stream, options: Options) -> bool:
    """A packet of an established or closing connection."""
    packet.stream_est = True
    flags = packet.flags
    if not own.started:
        own.begin(packet.seq - 1 & 0xFFFFFFFF)
    at = own.position(packet.seq)
    size = packet.end - packet.pay
    if flags & ACK and other.started:
        acked = other.position(packet.ack)
        if acked > other.acked:
            limit = max(other.next_win, other.next_pos + 1)
            if acked > limit and not session.one_sided and not session.midstream:
                session.events.append("stream.est_invalid_ack")
                return False
            # RFC 9293, section 3.10.7.4: ignore an acknowledgement of bytes that were not sent yet; otherwise
            # bytes that are sent later would count as lost
            if acked <= other.next_pos or session.one_sided or session.midstream:
                other.acked = acked
        win = acked + (packet.win << own.wscale)
        if win > other.next_win:
            other.next_win = win
    if size:
        end = at + size
        beyond = own.next_win and end > own.next_win and not session.one_sided and not session.tfo
        # midstream, windows are unknown
        if beyond and (not session.midstream or at > own.right + (1 << 20)):
            session.events.append("stream.est_packet_out_of_window")
            return False
        if 0 <= own.fin < end:
            session.events.append("stream.fin_data_after")
            return False
        if at < 0 and end <= 0:
            return size == 1  # keep-alive
        if at < 0:
            session.events.append("stream.pkt_before_start")
        add(own, packet, at, options)
        if session.one_sided:
            own.acked = own.right
    if flags & FIN and session.state < CLOSED:
        _fin(session, packet, own, at + size)
    if session.state > ESTABLISHED:
        _closing(session)
    return True


def _fin(session: Session, packet: Packet, own: Stream, position: int) -> None:
    if own.fin < 0:
        own.fin = position
        if position + 1 > own.next_pos:
            own.next_pos = position + 1
    if session.state == ESTABLISHED and not session.one_sided:  # which never sees what answers it
        session.state = FIN_WAIT1 if packet.toserver else CLOSE_WAIT


def _closing(session: Session) -> None:
    """The states after the first FIN: they depend on the FINs that were sent and acknowledged."""
    client, server = session.client, session.server
    client_sent, server_sent = client.fin >= 0, server.fin >= 0
    client_done = client_sent and client.acked > client.fin
    server_done = server_sent and server.acked > server.fin
    if client_done and server_done:
        session.state = CLOSED if session.state in (LAST_ACK, CLOSE_WAIT) else TIME_WAIT
        if session.state == TIME_WAIT:
            session.state = CLOSED
        session.over = True
    elif client_sent and server_sent:
        session.state = LAST_ACK if client_done or server_done else CLOSING
    elif client_done:
        session.state = FIN_WAIT2
    elif server_sent:
        session.state = CLOSE_WAIT
