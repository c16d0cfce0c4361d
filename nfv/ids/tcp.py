"""TCP connections: states from what both sides send (RFC 9293, section 3.3.2), seen from the middle.

The options are Suricata's (user guide "Stream-engine"): ``midstream`` takes up connections whose start was
not seen, ``async_oneside`` those of which one side is seen, ``inline`` hands bytes on at once instead of when
they are acknowledged.  TCP Fast Open (RFC 7413) and split handshakes (four packets) are understood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from nfv.ids.packet import Packet
from nfv.ids.stream import Stream

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

(
    NONE,
    SYN_SENT,
    SYN_RECV,
    ESTABLISHED,
    FIN_WAIT1,
    FIN_WAIT2,
    TIME_WAIT,
    LAST_ACK,
    CLOSE_WAIT,
    CLOSING,
    CLOSED,
) = range(11)
STATES = (
    "none",
    "syn_sent",
    "syn_recv",
    "established",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "last_ack",
    "close_wait",
    "closing",
    "closed",
)
"""States in EVE's words."""


@dataclass(slots=True)
class Options:
    """What Suricata calls ``stream.*``."""

    midstream: bool = False
    async_oneside: bool = False
    inline: bool = False
    checksums: bool = True
    depth: int = 1 << 20
    chunk: int = 2560
    memcap: int = 256 << 20
    buffered: int = 0
    """Bytes that all streams keep now; beyond ``memcap`` no segment is taken in."""
    refused: int = 0


MOST_HELLOS = 5
"""SYNs, and SYN/ACKs, of one connection that are kept until it is known which of them count (Suricata's
``stream.max-synack-queued``)."""


class Hello(NamedTuple):
    """What a SYN or SYN/ACK says."""

    isn: int
    ack: int
    wscale: int
    win: int


class Session:
    """One connection; ``client`` is who sent the first SYN.

    Anybody may send further SYNs and SYN/ACKs with other numbers: which ones count is known from what
    acknowledges them, so all are kept in ``syns`` and ``synacks`` until the connection is established.
    """

    __slots__ = (
        "client",
        "events",
        "flags_tc",
        "flags_ts",
        "four_way",
        "midstream",
        "one_sided",
        "over",
        "reset",
        "server",
        "state",
        "synacks",
        "syns",
        "tfo",
    )

    def __init__(self) -> None:
        self.client, self.server = Stream(), Stream()
        self.state = NONE
        self.flags_ts = self.flags_tc = 0
        self.midstream = self.one_sided = self.four_way = self.tfo = False
        self.over = self.reset = False
        self.events: list[str] = []
        self.syns: list[Hello] = []
        self.synacks: list[Hello] = []

    def swap(self) -> None:
        """Turn round who is the client."""
        self.client, self.server = self.server, self.client
        self.flags_ts, self.flags_tc = self.flags_tc, self.flags_ts


def handle(session: Session, packet: Packet, options: Options) -> bool:
    """Bring the connection up to date; False when the packet doesn't fit in (it then is inspected by itself).

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
        return _data(session, packet, own, other, options)
    if flags & RST:
        return _reset(session, packet, own, other)
    if state == NONE:
        return _first(session, packet, own, other, options)
    if state == SYN_SENT:
        return _syn_sent(session, packet, own, other, options)
    if state == SYN_RECV:
        return _syn_recv(session, packet, own, other, options)
    if flags & SYN:  # within an established connection: a retransmission, or an attack
        packet.stream_est = True
        if flags & ACK and not packet.toserver and own.isn == packet.seq:
            return True
        session.events.append("stream.est_syn_resend" if not flags & ACK else "stream.est_synack_resend")
        return False
    return False


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
    """The SYN that is acknowledged is the one that counts."""
    if session.tfo or ack == client.isn + 1 & 0xFFFFFFFF:
        return
    for hello in session.syns:
        if ack == hello.isn + 1 & 0xFFFFFFFF:
            client.begin(hello.isn)
            client.wscale = max(hello.wscale, 0)
            return


def _take_synack(session: Session, client: Stream, server: Stream, packet: Packet) -> None:
    """The SYN/ACK that the client acknowledges is the one that counts."""
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
    """Begin the server's side as a SYN/ACK says: windows are scaled when both ask for it (RFC 7323)."""
    server.begin(hello.isn)
    server.wscale = max(hello.wscale, 0)
    if hello.wscale < 0:
        client.wscale = 0
    acked = client.position(hello.ack)
    client.acked = max(client.acked, acked)
    client.next_win = acked + hello.win


def _window(own: Stream, other: Stream, packet: Packet) -> None:
    """What ``packet``'s sender allows the other side to send."""
    limit = other.position(packet.ack) + (packet.win << own.wscale)
    if limit > other.next_win:
        other.next_win = limit


def _first(session: Session, packet: Packet, own: Stream, other: Stream, options: Options) -> bool:
    flags = packet.flags
    if flags & SYN and not flags & ACK:
        _start(own, packet)
        _keep(session.syns, packet)
        session.state = SYN_SENT
        if packet.end > packet.pay and packet.tfo:
            session.tfo = packet.stream_est = True
            _add(own, packet, 0, options)
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
    _data(session, packet, own, other, options)
    return True


WINDOW_SLACK = 1 << 16
"""Bytes that a connection taken up midstream may send before its receiver was heard."""


def _syn_sent(session: Session, packet: Packet, own: Stream, other: Stream, options: Options) -> bool:
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
                _add(own, packet, 0, options)
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
        return _data(session, packet, own, other, options)
    if flags & FIN:
        return False
    return False


def _syn_recv(session: Session, packet: Packet, own: Stream, other: Stream, options: Options) -> bool:
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
        # the server speaks first: the last packet of the handshake was lost, or it comes later
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
    return _data(session, packet, own, other, options)


def _refusal(session: Session, packet: Packet) -> bool:
    """May a reset end what is not established yet?  (RFC 9293, sections 3.10.7.3 and 3.10.7.4)"""
    if packet.toserver:
        return any((packet.seq - hello.isn) & 0xFFFFFFFF <= 1 for hello in session.syns)
    if packet.flags & ACK and any(packet.ack == hello.isn + 1 & 0xFFFFFFFF for hello in session.syns):
        return True
    return any(packet.seq == hello.isn + 1 & 0xFFFFFFFF for hello in session.synacks)


def _reset(session: Session, packet: Packet, own: Stream, other: Stream) -> bool:
    """A reset counts when its sequence number may be right (RFC 5961 is stricter than most targets)."""
    if session.state == NONE:
        return False
    if session.state < ESTABLISHED and not session.midstream and not _refusal(session, packet):
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


def _add(own: Stream, packet: Packet, at: int, options: Options) -> None:
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


def _data(session: Session, packet: Packet, own: Stream, other: Stream, options: Options) -> bool:
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
            # RFC 9293, section 3.10.7.4: an acknowledgement of what was not sent yet is no acknowledgement,
            # or what is sent then would be taken for what was lost
            if acked <= other.next_pos or session.one_sided or session.midstream:
                other.acked = acked
        win = acked + (packet.win << own.wscale)
        if win > other.next_win:
            other.next_win = win
    if size:
        end = at + size
        beyond = own.next_win and end > own.next_win and not session.one_sided and not session.tfo
        # midstream nothing is known of windows
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
        _add(own, packet, at, options)
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
    """States after the first FIN, from which FINs were sent and acknowledged."""
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
