"""One packet after the other through all stages: decode, flow, stream, application, rules, events.

The engine reads no clock and opens nothing: packets bring their times, and events go to a function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nfv.ids import applayer, ending, fastpath
from nfv.ids.app.base import Parser
from nfv.ids.app.http.body import Budget
from nfv.ids.checksum import tcp_is_right
from nfv.ids.counters import fresh
from nfv.ids.decode.defrag import Defragmenter
from nfv.ids.decode.frames import Decoder, plain_segment
from nfv.ids.decode.packet import Packet
from nfv.ids.detection.detect import OVERLAP, Detector, Match
from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.detection.thresholds import Thresholds
from nfv.ids.detection.verdict import decide
from nfv.ids.flow import CLOSED as FLOW_CLOSED
from nfv.ids.flow import ESTABLISHED as FLOW_ESTABLISHED
from nfv.ids.flow import Flow, FlowTable
from nfv.ids.output.telling import Teller
from nfv.ids.settings import Settings
from nfv.ids.tcp.connection import handle
from nfv.ids.tcp.session import CLOSED, ESTABLISHED, LAST_ACK, TIME_WAIT, Session
from nfv.ids.tcp.shown import Shown
from nfv.ids.tcp.stream import SMALL, Stream, extend
from wire.protocol import TCP, UDP

PIECE = 65536
"""Bytes that a parser gets at once: it may copy what is left of them after each message."""


class Engine:
    """All state of one detection process."""

    def __init__(self, settings: Settings, rules: RuleSet, emit: Callable[[dict[str, Any]], None]) -> None:
        self.settings = settings
        self.emit = emit
        self.counters = fresh(settings.ips)
        defrag = Defragmenter(settings.defrag_trackers, settings.defrag_memory)
        self.decoder = Decoder(self.counters, defrag, settings.vxlan_port)
        self.flows = FlowTable(self._flow_ended, settings.flow_limit)
        self.thresholds = Thresholds()
        self.generation = 0
        self.last = 0.0
        self._first = 0.0
        self._swept = 0.0
        self._inline = settings.inline
        self._shown = settings.alert.payload_size if settings.alert.of_payload else 0
        self.known: dict[bytes, fastpath.Entry] = {}
        self.short_way = True
        self.fast_packets = self.fast_bytes = 0
        self.budget = Budget(settings.http_memcap, settings.http_layers, settings.hashes)
        self.stream_options = settings.stream
        self.checksums = settings.stream.checksums
        self.depth = settings.stream.depth
        self.chunk = settings.stream.chunk
        self.tell = Teller(settings, self.counters, emit)
        self.detector = Detector(rules)
        self.use(rules)

    def use(self, rules: RuleSet) -> None:
        """Go on with other rules; flows, streams and thresholds stay as they are."""
        bits = self.detector.bits
        exceeded = self.detector.work.exceeded
        self.detector = Detector(rules)
        self.detector.bits = bits
        self.detector.work.exceeded = exceeded
        self.generation += 1
        self._raw = bool(rules.stream_db.size) or any(rule.payload for rule in rules.rules)
        self._recent = any(rule.stateful and rule.payload for rule in rules.rules)
        self._overlap = max(4096 if self._recent else OVERLAP, rules.longest)

    # ------------------------------------------------------------ packets

    def frame(self, data: bytes, ts: float, num: int = 0, linktype: int = 1) -> Packet | None:
        """A captured frame; what is to become of it stands in the packet (``dropped``, ``reject``)."""
        if ts > self.last:
            self.last = ts
            if ts - self._swept >= 5:
                self._swept = ts
                self.flows.sweep(ts)
                self._first = self._first or ts
        plain = (
            self.known and self.short_way and linktype == 1 and len(data) >= 54 and data[12:14] == b"\x08\x00"
        )
        if plain and fastpath.segment(self, data, ts, num):
            return None
        packet = self.decoder.frame(data, ts, num, linktype)
        if packet.inner:
            for inner in packet.inner:
                self._packet(inner)
                if inner.dropped:
                    packet.dropped, packet.drop_reason = True, "tunnel packet drop"
        self._packet(packet)
        if self.settings.ips:
            self.counters["ips.blocked" if packet.dropped else "ips.accepted"] += 1
            if packet.reject:
                self.counters["ips.rejected"] += 1
        return packet

    def _packet(self, packet: Packet) -> None:
        self.detector.work.begin()
        if packet.events:
            self.tell.decode_events(packet)
        if packet.version == 0:
            if packet.events and self.detector.rules.by_event:
                self.inspect(packet, None)
            return
        flow = self.flows.find(packet)
        if flow is not None:
            if flow.generation != self.generation:
                self._other_rules(flow)
            proto = packet.proto
            if proto == TCP:
                self._tcp(packet, flow)
            elif proto == UDP and packet.end > packet.pay:
                if packet.sp == 53 and packet.toserver and applayer.is_answer(flow, packet.payload):
                    self.flows.swap(flow)  # the question was not seen
                    packet.toserver = False
                applayer.datagram(flow, packet.payload, packet.toserver, packet.ts, self.counters)
        self.inspect(packet, flow)

    def _other_rules(self, flow: Flow) -> None:
        """Rules were exchanged: what was decided about open transactions is decided anew."""
        flow.generation = self.generation
        if flow.app is not None:
            for tx in flow.app.txs:
                tx.state_ts = tx.state_tc = None

    # ------------------------------------------------------------ TCP

    def _tcp(self, packet: Packet, flow: Flow) -> None:
        options = self.settings.stream
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
        options, flags = self.settings.stream, packet.flags
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
                fastpath.remember(self.known, flow)

    def hand_on(
        self, flow: Flow, session: Session, stream: Stream, toserver: bool, ts: float, everything: bool
    ) -> None:
        """Hand on what may be handed on, and tell of what was lost."""
        data = stream.take(everything)
        while True:
            self.stream_options.buffered -= len(data)
            if data:
                toserver = self._feed(flow, session, stream, toserver, data, ts)
            if stream.acked <= stream.right:
                return
            before = stream.stored
            missing = stream.lost()
            self.stream_options.buffered += stream.stored - before
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
        """What is on both sides of a hole is not one text."""
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
        if self._raw:
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
                fastpath.forget(self.known, flow)
                self.flows.swap(flow)
                session.swap()
                fastpath.remember(self.known, flow)
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
            # more transactions at once than are kept: none goes before it was inspected
            before, app.backlog = app.backlog, b""
            self.detector.work.left += len(data) - len(before)
            data = before
            self.inspect(ending.last_packet(flow, toserver), flow)
            app.overflow()
            applayer.feed(flow, data, toserver, ts, self._inline, self.counters, self.budget)

    def _other_protocol(self, flow: Flow, session: Session, app: Parser) -> None:
        """What follows is another protocol's (after CONNECT, or 101): end this one's transactions, and look
        at the next bytes as at those of a new connection.
        """
        for toserver in (True, False):
            self.inspect(ending.last_packet(flow, toserver), flow)
        self.tell.transactions(ending.last_packet(flow, True), flow, app, ended=True)
        app.close()
        applayer.forget(flow)
        for toserver in (True, False):
            if app.rest[toserver]:
                stream = session.client if toserver else session.server
                self._feed(flow, session, stream, toserver, app.rest[toserver], flow.last)

    def _reset(self, flow: Flow, session: Session, packet: Packet) -> None:
        """A reset: what has come may be all that comes, so it is inspected now.  The ends may not have taken
        it, so nothing is closed.
        """
        for toserver, stream in ((True, session.client), (False, session.server)):
            if stream.started:
                self.hand_on(flow, session, stream, toserver, packet.ts, True)
        if flow.app is not None:
            flow.app.hurry()
            self.inspect(ending.last_packet(flow, not packet.toserver), flow)

    @staticmethod
    def _sides_end(flow: Flow, session: Session, ts: float) -> None:
        app: Parser = flow.app
        client, server = session.client, session.server
        if client.fin >= 0 and client.acked > client.fin and client.taken >= client.fin:
            app.end(True, ts)
        if server.fin >= 0 and server.acked > server.fin and server.taken >= server.fin:
            app.end(False, ts)

    # ------------------------------------------------------------ for the fast path

    def deliver(self, flow: Flow, session: Session, stream: Stream, toserver: bool, ts: float) -> None:
        """Hand on what was acknowledged, there being no hole."""
        if flow.app is None and flow.app_proto:
            data = stream.take(False)
            self.stream_options.buffered -= len(data)
            if self._raw:
                extend(stream.raw, data)
                stream.raw_done += len(data)
            if self._shown:
                self._show(stream, data)
            return
        if flow.app is not None:
            self.detector.work.begin()
        self.hand_on(flow, session, stream, toserver, ts, False)

    def inspect_segment(
        self, data: bytes, ts: float, num: int, flow: Flow, toserver: bool, added: bool
    ) -> None:
        """Ask the rules about a segment that went the short way."""
        self.detector.work.begin()
        packet = plain_segment(data, ts, num)
        packet.flow, packet.toserver = flow, toserver
        if flow.src != (packet.src if toserver else packet.dst) or flow.sp != (
            packet.sp if toserver else packet.dp
        ):
            packet.toserver = not toserver
        packet.established = packet.stream_est = True
        packet.stream_add = added
        self.inspect(packet, flow)

    def inspect_raw(
        self, data: bytes, ts: float, num: int, flow: Flow, toserver: bool, added: bool, stream: Stream
    ) -> None:
        """Search a chunk of a stream for candidates; only when there are some the rules are asked."""
        app = flow.app
        if (
            stream.raw_done < self.chunk
            and (app is not None or not flow.app_proto)
            and not self.settings.prompt
        ):
            return
        chunk = stream.raw[0] if len(stream.raw) == 1 else b"".join(stream.raw)
        tail = stream.raw_tail
        if stream.parts or self.detector.rules.stream_db.scan(tail + chunk if tail else chunk):
            self.inspect_segment(data, ts, num, flow, toserver, added)
            return
        stream.raw.clear()
        stream.raw_done = 0
        stream.raw_flush = False
        size = self._overlap
        stream.raw_tail = chunk[-size:] if len(chunk) >= size else (tail + chunk)[-size:]

    # ------------------------------------------------------------ rules

    def _chunk(self, stream: Stream, packet: Packet, app: Parser | None, closed: bool) -> bytes:
        """The bytes of the packet's side of the stream that are to be inspected now."""
        if not stream.raw:
            return b""
        ready = stream.raw_done >= self.chunk or closed or packet.stream_eof or self._inline
        if not ready:
            if app is not None:
                ready = app.trigger_ts if packet.toserver else app.trigger_tc
            elif stream.raw_flush:
                ready = packet.flow is not None and bool(packet.flow.app_proto)
            if not (ready or stream.depth_reached or (self.settings.prompt and stream.raw_flush)):
                return b""
        chunk = stream.raw[0] if len(stream.raw) == 1 else b"".join(stream.raw)
        stream.raw.clear()
        stream.raw_done = 0
        stream.raw_flush = False
        return chunk

    def inspect(self, packet: Packet, flow: Flow | None) -> None:
        """Rules, then what is told."""
        chunk = tail = b""
        app: Parser | None = None
        stream: Stream | None = None
        if flow is not None:
            app = flow.app
            if flow.drop and self.settings.ips:
                self.tell.dropped(packet, "flow drop")
                return
            session: Session | None = flow.session
            if session is not None and packet.proto == TCP:
                stream = session.client if packet.toserver else session.server
                if stream.raw:
                    if not flow.passed:
                        chunk = self._chunk(stream, packet, app, session.state >= LAST_ACK)
                        tail = stream.raw_tail
                    else:
                        stream.raw.clear()
                        stream.raw_done = 0
                        stream.parts.clear()
            if flow.passed:
                if app is not None:
                    self.tell.transactions(packet, flow, app)
                return
        rule_matches: list[Match] = []
        if stream is not None and stream.parts:
            for before, text in stream.parts:
                self.detector.text(packet, text, before, rule_matches)
            stream.parts.clear()
        self.detector.packet(packet, chunk, tail, rule_matches)
        if app is not None and app.txs and (packet.proto != TCP or packet.stream_est):
            self._transactions(packet, app, stream, chunk, tail, rule_matches)
        if chunk and stream is not None:
            size = self._overlap
            stream.raw_tail = chunk[-size:] if len(chunk) >= size else (tail + chunk)[-size:]
        if rule_matches:
            settings = self.settings
            alerts = decide(
                rule_matches, packet, self.thresholds, self.counters, settings.ips, settings.max_alerts
            )
            shown = stream.shown if stream is not None else None
            self.tell.alerts(packet, alerts, shown.text() if shown is not None else b"")
            if packet.dropped:
                self.tell.dropped(packet, "")
        if stream is not None and stream.shown is not None and (chunk or rule_matches):
            stream.shown.inspected()
        if app is not None and flow is not None:
            self.tell.transactions(packet, flow, app)
            if app.changed:
                app.changed = False
                self._other_protocol(flow, flow.session, app)

    def _transactions(
        self,
        packet: Packet,
        app: Parser,
        stream: Stream | None,
        chunk: bytes,
        tail: bytes,
        rule_matches: list[Match],
    ) -> None:
        recent: bytes | None = None
        toserver = packet.toserver
        for tx in app.txs:
            if not (tx.touched_ts if toserver else tx.touched_tc):
                continue
            if recent is None:
                if stream is None:
                    recent = packet.payload
                elif self._recent:
                    recent = tail + chunk + b"".join(stream.raw)
                else:
                    recent = b""
            self.detector.transaction(tx, packet, recent, rule_matches)
            if tx.proto == "http":
                tx.inspected(toserver)
                if tx.done_ts if toserver else tx.done_tc:
                    tx.release(toserver)
            if toserver:
                tx.touched_ts = False
            else:
                tx.touched_tc = False
        if toserver:
            app.trigger_ts = app.fed_ts = False
        else:
            app.trigger_tc = app.fed_tc = False

    # ------------------------------------------------------------ flows that are over

    def _flow_ended(self, flow: Flow, reason: str) -> None:
        """It has steps of its own: other packets than the one that comes now would have had them."""
        left = self.detector.work.left
        self.detector.work.begin()
        ending.end(self, flow, reason)
        self.detector.work.left = left

    def finish(self, reason: str = "shutdown") -> None:
        """End all flows and tell the counters."""
        self.flows.end_all(reason)
        self.stats()

    def stats(self, at: float | None = None) -> None:
        """Tell the counters."""
        for name in ("pkts", "ethernet", "ipv4", "tcp"):
            self.counters[f"decoder.{name}"] += self.fast_packets
        self.counters["decoder.bytes"] += self.fast_bytes
        self.fast_packets = self.fast_bytes = 0
        self.counters["tcp.segment_memcap_drop"] = self.stream_options.refused
        self.counters["tcp.reassembly_memuse"] = self.stream_options.buffered
        self.counters["http.memuse"] = self.budget.used
        self.counters["http.memcap"] = self.budget.refused
        self.counters["detect.work_exceeded"] = self.detector.work.exceeded
        self.counters["flow.active"] = len(self.flows)
        self.tell.stats(at if at is not None else self.last, self._first)
