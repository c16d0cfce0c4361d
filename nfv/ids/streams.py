"""TCP connections: makes streams of segments, and passes streams to application parsers and rules."""

from __future__ import annotations

from nfv.ids import applayer, ending, known
from nfv.ids.app.base import Parser
from nfv.ids.app.http.body import Budget
from nfv.ids.checksum import tcp_is_right
from nfv.ids.counters import Counters
from nfv.ids.decode.packet import Packet
from nfv.ids.flow import CLOSED as FLOW_CLOSED
from nfv.ids.flow import ESTABLISHED as FLOW_ESTABLISHED
from nfv.ids.flow import Flow
from nfv.ids.flow_table import FlowTable
from nfv.ids.inspection import Inspection
from nfv.ids.output.telling import Teller
from nfv.ids.settings import Settings
from nfv.ids.tcp.connection import handle
from nfv.ids.tcp.session import CLOSED, ESTABLISHED, LAST_ACK, NONE, TIME_WAIT, Session
from nfv.ids.tcp.shown import Shown
from nfv.ids.tcp.stream import SMALL, Stream, extend

PIECE = 65536
"""Bytes that a parser gets in one call: it may copy the rest of them after each message."""


class Streams:
    """The common state of all connections. Sessions and streams belong to their flows."""

    def __init__(
        self, settings: Settings, counters: Counters, tell: Teller, inspection: Inspection, flows: FlowTable
    ) -> None:
        self.options = settings.stream
        self.counters = counters
        self.tell = tell
        self.inspection = inspection
        self.flows = flows
        self.known: dict[bytes, known.Entry] = {}
        """Established connections whose segments may use the fast path."""
        self.budget = Budget(settings.http_memcap, settings.http_layers, settings.hashes)
        self._inline = settings.inline
        self._shown = settings.alert.payload_size if settings.alert.of_payload else 0

    def packet(self, packet: Packet, flow: Flow) -> None:
        """Handle a packet of a TCP flow."""
        options = self.options
        if options.checksums and not tcp_is_right(packet):
            self.counters["tcp.invalid_checksum"] += 1
            return
        session: Session | None = flow.session
        flags = packet.flags
        if session is None:
            session = self._session(packet, flow)
            if session is None:
                return
        if flags & 6:
            self._count(flags)
        state = session.state
        handle(session, packet, options)
        if session.state != state:
            self._state(flow, session, packet)
        if session.events:
            self.tell.stream_events(session, packet)
        if packet.toserver:
            own, other = session.client, session.server
        else:
            own, other = session.server, session.client
        if other.acked > other.taken and not self._inline:
            self.hand_on(flow, session, other, not packet.toserver, packet.ts, False)
        if self._inline or session.one_sided:
            if own.right > own.taken or own.acked > own.right:
                self.hand_on(flow, session, own, packet.toserver, packet.ts, True)
            if other.acked > other.right:
                self.hand_on(flow, session, other, not packet.toserver, packet.ts, True)
        if session.reset and session.state != state:
            self._reset(flow, session, packet)
        if flow.app is not None and session.state > ESTABLISHED:
            self._sides_end(flow, session, packet.ts)
        if packet.toserver != (flow.sp == packet.sp and flow.src == packet.src):
            packet.toserver = flow.sp == packet.sp and flow.src == packet.src

    def _session(self, packet: Packet, flow: Flow) -> Session | None:
        options, flags = self.options, packet.flags
        if flags & 4 or not (flags & 2 and not flags & 16):
            if flags & 4 or not (options.midstream or options.async_oneside):
                return None
            if flags & 2 and packet.toserver:  # SYN/ACK first: its sender is the server
                self.flows.swap(flow)
                packet.toserver = False
            self.counters["tcp.midstream_pickups"] += 1
        flow.session = session = Session()
        self.counters["tcp.sessions"] += 1
        return session

    def _count(self, flags: int) -> None:
        if flags & 2:
            self.counters["tcp.synack" if flags & 16 else "tcp.syn"] += 1
        if flags & 4:
            self.counters["tcp.rst"] += 1

    def _state(self, flow: Flow, session: Session, packet: Packet) -> None:
        if session.state in (LAST_ACK, TIME_WAIT, CLOSED):
            flow.state = FLOW_CLOSED
        elif session.state >= ESTABLISHED:
            flow.state = FLOW_ESTABLISHED
            if session.midstream or session.one_sided:
                packet.established = True
            if session.state == ESTABLISHED and not self._inline:
                known.remember(self.known, flow)

    def hand_on(
        self, flow: Flow, session: Session, stream: Stream, toserver: bool, ts: float, everything: bool
    ) -> None:
        """Pass on all bytes that may be passed on, and report lost ones."""
        data = stream.take(everything)
        while True:
            self.options.buffered -= len(data)
            if data:
                toserver = self._feed(flow, session, stream, toserver, data, ts)
            if stream.acked <= stream.right:
                return
            before = stream.stored
            missing = stream.lost()
            self.options.buffered += stream.stored - before
            if not missing:
                return
            self.counters["tcp.reassembly_gap"] += 1
            if flow.app is not None:
                flow.app.gap(toserver, missing)
            elif toserver:
                flow.probe_ts = None
            else:
                flow.probe_tc = None
            self._end_text(stream, missing)
            data = stream.take(everything)

    def _end_text(self, stream: Stream, missing: int) -> None:
        """The bytes before and after a hole are two separate texts."""
        if stream.raw:
            stream.parts.append((stream.raw_tail, b"".join(stream.raw)))
            stream.raw.clear()
            stream.raw_done = 0
        stream.raw_tail = b""
        if self._shown:
            self._show(stream, b"[%d bytes missing]" % missing)

    def _show(self, stream: Stream, data: bytes) -> None:
        if stream.shown is None:
            stream.shown = Shown(self._shown)
        stream.shown.add(data)

    def _feed(
        self, flow: Flow, session: Session, stream: Stream, toserver: bool, data: bytes, ts: float
    ) -> bool:
        if self.inspection.of_payload:
            size = len(data)
            if size < SMALL:
                extend(stream.raw, data)
            else:
                stream.raw.append(data)
            stream.raw_done += size
        if self._shown:
            self._show(stream, data)
        app = flow.app
        if app is None:
            if flow.app_proto:
                return toserver
            unknown = not (flow.probe_ts or flow.app_tc)
            if session.midstream and toserver and unknown and applayer.from_server(data):
                # taken up in the middle with the server's side first
                known.forget(self.known, flow)
                self.flows.swap(flow)
                session.swap()
                known.remember(self.known, flow)
                toserver = False
        if len(data) <= PIECE:
            self._parse(flow, session, toserver, data, ts)
        else:
            for at in range(0, len(data), PIECE):
                self._parse(flow, session, toserver, data[at : at + PIECE], ts)
        return toserver

    def _parse(self, flow: Flow, session: Session, toserver: bool, data: bytes, ts: float) -> None:
        if applayer.feed(flow, data, toserver, ts, self._inline, self.counters, self.budget):
            session.client.raw_flush = session.server.raw_flush = True
        app = flow.app
        while app is not None and app.backlog:
            # more new transactions than may be kept: inspect them before any is deleted
            before, app.backlog = app.backlog, b""
            self.inspection.detector.work.left += len(data) - len(before)
            data = before
            self.inspection.inspect(ending.last_packet(flow, toserver), flow)
            app.overflow()
            applayer.feed(flow, data, toserver, ts, self._inline, self.counters, self.budget)

    def other_protocol(self, flow: Flow, session: Session, app: Parser) -> None:
        """Another protocol follows (after CONNECT, or 101): end the transactions, and detect the protocol of
        the next bytes as in a new connection.
        """
        for toserver in (True, False):
            self.inspection.inspect(ending.last_packet(flow, toserver), flow)
        self.tell.transactions(ending.last_packet(flow, True), flow, app, ended=True)
        app.close()
        applayer.forget(flow)
        for toserver in (True, False):
            if app.rest[toserver]:
                stream = session.client if toserver else session.server
                self._feed(flow, session, stream, toserver, app.rest[toserver], flow.last)

    def _reset(self, flow: Flow, session: Session, packet: Packet) -> None:
        """A reset: possibly no more bytes come, so the present ones are inspected now.

        The hosts may have ignored the reset, so nothing is closed.
        """
        for toserver, stream in ((True, session.client), (False, session.server)):
            if stream.started:
                self.hand_on(flow, session, stream, toserver, packet.ts, True)
        if flow.app is not None:
            flow.app.hurry()
            self.inspection.inspect(ending.last_packet(flow, not packet.toserver), flow)

    @staticmethod
    def _sides_end(flow: Flow, session: Session, ts: float) -> None:
        app: Parser = flow.app
        client, server = session.client, session.server
        if client.fin >= 0 and client.acked > client.fin and client.taken >= client.fin:
            app.end(True, ts)
        if server.fin >= 0 and server.acked > server.fin and server.taken >= server.fin:
            app.end(False, ts)

    def deliver(self, flow: Flow, session: Session, stream: Stream, toserver: bool, ts: float) -> None:
        """Pass on the acknowledged bytes; there is no hole."""
        if flow.app is None and flow.app_proto:
            data = stream.take(False)
            self.options.buffered -= len(data)
            if self.inspection.of_payload:
                extend(stream.raw, data)
                stream.raw_done += len(data)
            if self._shown:
                self._show(stream, data)
            return
        if flow.app is not None:
            self.inspection.detector.work.begin()
        self.hand_on(flow, session, stream, toserver, ts, False)

    def end(self, flow: Flow, session: Session) -> None:
        """A connection has ended: no more bytes come."""
        if self.known:
            known.forget(self.known, flow)
        if session.state != NONE and not flow.drop and ending.unfinished(flow, session):
            self._last_words(flow, session)
        self.options.buffered -= session.client.stored + session.server.stored

    def _last_words(self, flow: Flow, session: Session) -> None:
        for toserver in (True, False):
            stream = session.client if toserver else session.server
            if not stream.started:
                continue
            # don't wait for a hole any more
            ends = (at + len(data) for at, data in stream.held.items())
            stream.acked = max(stream.acked, stream.right, *ends)
            self.hand_on(flow, session, stream, toserver, flow.last, True)
        for toserver in (True, False):
            if flow.app is not None:
                flow.app.end(toserver, flow.last)
            self.inspection.inspect(ending.last_packet(flow, toserver), flow)
