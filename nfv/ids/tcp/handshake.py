"""The beginning of TCP connections: handshakes of three and four packets, Fast Open (RFC 7413), connections
picked up midstream; and the choice among several SYNs and SYN/ACKs."""

from __future__ import annotations

from nfv.ids.decode.packet import Packet
from nfv.ids.tcp.data import add, established
from nfv.ids.tcp.session import (
    ACK,
    ESTABLISHED,
    FIN,
    MOST_HELLOS,
    SYN,
    SYN_RECV,
    SYN_SENT,
    Hello,
    Options,
    Session,
)
from nfv.ids.tcp.stream import Stream


def _start(stream: Stream, packet: Packet) -> None:
    stream.begin(packet.seq)
    stream.wscale = max(packet.wscale, 0)


def _keep(hellos: list[Hello], packet: Packet) -> None:
    hello = Hello(packet.seq, packet.ack, packet.wscale, packet.win)
    if hello not in hellos:
        if len(hellos) >= MOST_HELLOS:  # the first and the newest are the likeliest
            del hellos[1]
        hellos.append(hello)


def _take_syn(session: Session, client: Stream, ack: int) -> None:
    """Choose the SYN that is acknowledged."""
    if session.tfo or ack == client.isn + 1 & 0xFFFFFFFF:
        return
    for hello in session.syns:
        if ack == hello.isn + 1 & 0xFFFFFFFF:
            client.begin(hello.isn)
            client.wscale = max(hello.wscale, 0)
            return


def _take_synack(session: Session, client: Stream, server: Stream, packet: Packet) -> None:
    """Choose the SYN/ACK that the client acknowledges."""
    if packet.ack == server.isn + 1 & 0xFFFFFFFF and packet.seq == client.isn + 1 & 0xFFFFFFFF:
        return
    fitting = [
        hello
        for hello in session.synacks
        if packet.ack == hello.isn + 1 & 0xFFFFFFFF and packet.seq == hello.ack
    ]
    if fitting and not session.tfo and not session.midstream:
        _take_syn(session, client, fitting[0].ack)
        _answer(client, server, fitting[0])


def _answer(client: Stream, server: Stream, hello: Hello) -> None:
    """Start the server's side from a SYN/ACK. Windows are scaled if both sides have the option (RFC 7323)."""
    server.begin(hello.isn)
    server.wscale = max(hello.wscale, 0)
    if hello.wscale < 0:
        client.wscale = 0
    acked = client.position(hello.ack)
    client.acked = max(client.acked, acked)
    client.next_win = acked + hello.win


def _window(own: Stream, other: Stream, packet: Packet) -> None:
    """The receive window of the packet's sender."""
    limit = other.position(packet.ack) + (packet.win << own.wscale)
    if limit > other.next_win:
        other.next_win = limit


def first(session: Session, packet: Packet, own: Stream, other: Stream, options: Options) -> bool:
    """Handle the first packet; False if it does not belong into a stream (see ``tcp.handle``)."""
    flags = packet.flags
    if flags & SYN and not flags & ACK:
        _start(own, packet)
        _keep(session.syns, packet)
        session.state = SYN_SENT
        if packet.end > packet.pay and packet.tfo:
            session.tfo = packet.stream_est = True
            add(own, packet, 0, options)
        return True
    if not (options.midstream or options.async_oneside):
        return False
    if flags & SYN:  # SYN/ACK: the start of the connection was missed; the engine has turned the flow round
        _start(own, packet)
        other.begin(packet.ack - 1 & 0xFFFFFFFF)
        other.wscale = 14
        session.midstream = True
        session.state = SYN_RECV
        own.next_win = packet.win << 14
        _window(own, other, packet)
        return True
    if not flags & ACK:
        return False
    own.begin(packet.seq - 1 & 0xFFFFFFFF)
    other.begin(packet.ack - 1 & 0xFFFFFFFF)
    own.wscale = other.wscale = 14
    own.next_win = own.position(packet.seq) + (packet.win << 14) + WINDOW_SLACK
    session.midstream = True
    session.one_sided = options.async_oneside
    session.state = ESTABLISHED
    packet.stream_est = True
    established(session, packet, own, other, options)
    return True


WINDOW_SLACK = 1 << 16
"""Bytes that a connection picked up midstream may send before a packet of its receiver is seen."""


def syn_sent(session: Session, packet: Packet, own: Stream, other: Stream, options: Options) -> bool:
    """Handle a packet after a SYN; False if it does not belong into a stream (see ``tcp.handle``)."""
    flags = packet.flags
    if flags & SYN and flags & ACK:
        if not packet.toserver:
            if not other.started:
                return False
            _take_syn(session, other, packet.ack)
            acked = other.position(packet.ack)
            if acked != 0 and not (session.tfo and 0 < acked <= other.right):
                session.events.append("stream.3whs_synack_with_wrong_ack")
                return False
            _keep(session.synacks, packet)
            _answer(other, own, session.synacks[-1])
            session.state = SYN_RECV
            if packet.end > packet.pay and session.tfo:
                add(own, packet, 0, options)
            return True
        if session.four_way and other.started and other.position(packet.ack) == 0:
            _start(own, packet)
            session.state = SYN_RECV
            other.next_win = packet.win
            return True
        session.events.append("stream.3whs_synack_in_wrong_direction")
        return False
    if flags & SYN:
        if packet.toserver:
            _keep(session.syns, packet)
            if packet.seq != own.isn and not own.right:
                _start(own, packet)
            return True
        session.four_way = True
        _start(own, packet)
        return True
    if flags & ACK and packet.toserver and options.async_oneside:
        session.one_sided = True
        other.begin(packet.ack - 1 & 0xFFFFFFFF)
        session.state = ESTABLISHED
        packet.stream_est = True
        own.next_win = own.right + (1 << 30)
        return established(session, packet, own, other, options)
    if flags & FIN:
        return False
    return False


def syn_recv(session: Session, packet: Packet, own: Stream, other: Stream, options: Options) -> bool:
    """Handle a packet after a SYN and a SYN/ACK; False if it does not belong into a stream (see
    ``tcp.handle``)."""
    flags = packet.flags
    if flags & SYN:
        if flags & ACK:
            if packet.seq == own.isn and (not session.synacks or packet.ack == session.synacks[0].ack):
                return True
            asked = any(packet.ack == hello.isn + 1 & 0xFFFFFFFF for hello in session.syns)
            if not packet.toserver and not session.four_way and asked:
                _keep(session.synacks, packet)
                return True
            session.events.append("stream.3whs_synack_resend_with_diff_seq")
            return False
        if packet.toserver and packet.seq != own.isn:
            _keep(session.syns, packet)
        return packet.seq == own.isn
    if not flags & ACK or not own.started or not other.started:
        return False
    if packet.toserver:
        _take_synack(session, own, other, packet)
    acked = other.position(packet.ack)
    fits = acked == 0 or (0 < acked <= other.next_pos + 1)
    if session.four_way and not packet.toserver:
        if not fits:
            return False
    elif not packet.toserver:
        # the server sends first: the last packet of the handshake was lost, or comes later
        if not (session.tfo or session.midstream or acked > 0 or options.async_oneside) and not (
            packet.end > packet.pay and own.position(packet.seq) == 0 and acked == 0
        ):
            return False
        if not session.tfo and not session.midstream and acked == 0:
            return False
    elif not fits and not session.midstream:
        session.events.append("stream.3whs_right_seq_wrong_ack_evasion")
        return False
    position = own.position(packet.seq)
    if position < 0 or position > own.next_pos + WINDOW_SLACK:
        session.events.append("stream.3whs_wrong_seq_wrong_ack")
        return False
    session.state = ESTABLISHED
    packet.stream_est = True
    return established(session, packet, own, other, options)


def refusal(session: Session, packet: Packet) -> bool:
    """Whether a reset ends a connection that is not established yet (RFC 9293, sections 3.10.7.3 and
    3.10.7.4)."""
    if packet.toserver:
        return any((packet.seq - hello.isn) & 0xFFFFFFFF <= 1 for hello in session.syns)
    if packet.flags & ACK and any(packet.ack == hello.isn + 1 & 0xFFFFFFFF for hello in session.syns):
        return True
    return any(packet.seq == hello.isn + 1 & 0xFFFFFFFF for hello in session.synacks)
