"""TCP connections: the states (RFC 9293, section 3.3.2) that follow from the packets of both sides.

The options are Suricata's (user guide "Stream-engine"): ``midstream`` picks up connections whose start was
not seen, ``async_oneside`` those of which only one side is seen, ``inline`` passes bytes on before they are
acknowledged.  TCP Fast Open (RFC 7413) and split handshakes (four packets) are supported.
"""

from __future__ import annotations

from nfv.ids.decode.packet import Packet
from nfv.ids.tcp.data import established
from nfv.ids.tcp.handshake import first, refusal, syn_recv, syn_sent
from nfv.ids.tcp.session import (
    ACK,
    CLOSED,
    ESTABLISHED,
    NONE,
    RST,
    SYN,
    SYN_RECV,
    SYN_SENT,
    Options,
    Session,
)
from nfv.ids.tcp.stream import Stream


def handle(session: Session, packet: Packet, options: Options) -> bool:
    """Update the connection; False if the packet does not belong into its stream (it is then inspected
    alone).

    Sets ``stream_est`` and ``stream_add`` of the packet.
    """
    flags = packet.flags
    if packet.toserver:
        session.flags_ts |= flags
        own, other = session.client, session.server
    else:
        session.flags_tc |= flags
        own, other = session.server, session.client
    state = session.state
    if state >= ESTABLISHED and not flags & (SYN | RST):
        return established(session, packet, own, other, options)
    if flags & RST:
        return _reset(session, packet, own, other)
    if state == NONE:
        return first(session, packet, own, other, options)
    if state == SYN_SENT:
        return syn_sent(session, packet, own, other, options)
    if state == SYN_RECV:
        return syn_recv(session, packet, own, other, options)
    if flags & SYN:  # within an established connection: a retransmission, or an attack
        packet.stream_est = True
        if flags & ACK and not packet.toserver and own.isn == packet.seq:
            return True
        session.events.append("stream.est_syn_resend" if not flags & ACK else "stream.est_synack_resend")
        return False
    return False


def _reset(session: Session, packet: Packet, own: Stream, other: Stream) -> bool:
    """Whether a reset's sequence number may be valid (RFC 5961 is stricter than most hosts)."""
    if session.state == NONE:
        return False
    if session.state < ESTABLISHED and not session.midstream and not refusal(session, packet):
        session.events.append("stream.rst_invalid_ack")
        return False
    if own.started and session.state >= ESTABLISHED and not session.one_sided:
        at = own.position(packet.seq)
        edge = max(own.acked, own.next_pos)
        if not (at == edge or at == own.next_pos or own.acked - 1 <= at <= max(own.next_win, edge)):
            session.events.append("stream.rst_invalid_ack")
            return False
    if packet.flags & ACK and other.started:
        acked = other.position(packet.ack)
        if other.acked < acked <= other.next_pos + 1:
            other.acked = acked
    packet.stream_est = session.state >= ESTABLISHED
    session.state = CLOSED
    session.over = session.reset = True
    return True
