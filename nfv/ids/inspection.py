"""Evaluates rules on a packet, a stream and its transactions, and reports the results."""

from __future__ import annotations

from collections.abc import Callable

from nfv.ids.app.base import Parser
from nfv.ids.counters import Counters
from nfv.ids.decode.frames import plain_segment
from nfv.ids.decode.packet import Packet
from nfv.ids.detection.detect import OVERLAP, Detector, Match
from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.detection.thresholds import Thresholds
from nfv.ids.detection.verdict import decide
from nfv.ids.flow import Flow
from nfv.ids.output.telling import Teller
from nfv.ids.settings import Settings
from nfv.ids.tcp.session import LAST_ACK, Session
from nfv.ids.tcp.stream import Stream
from wire.protocol import TCP


class Inspection:
    """The rules in use and their state: bits, thresholds, work.

    ``protocol_changed`` is called when another protocol begins in a connection.
    """

    def __init__(self, settings: Settings, rules: RuleSet, counters: Counters, tell: Teller) -> None:
        self.settings = settings
        self.counters = counters
        self.tell = tell
        self.thresholds = Thresholds()
        self.chunk = settings.stream.chunk
        self.generation = 0
        """How often the rules were replaced."""
        self.of_payload = False
        """Whether rules inspect streams."""
        self.protocol_changed: Callable[[Flow, Session, Parser], None] = lambda flow, session, app: None
        self._inline = settings.inline
        self.detector = Detector(rules)
        self.use(rules)

    def use(self, rules: RuleSet) -> None:
        """Use other rules from now on; flows, streams and thresholds stay."""
        bits = self.detector.bits
        exceeded = self.detector.work.exceeded
        self.detector = Detector(rules)
        self.detector.bits = bits
        self.detector.work.exceeded = exceeded
        self.generation += 1
        self.of_payload = bool(rules.stream_db.size) or any(rule.payload for rule in rules.rules)
        self._recent = any(rule.stateful and rule.payload for rule in rules.rules)
        self._overlap = max(4096 if self._recent else OVERLAP, rules.longest)

    def inspect(self, packet: Packet, flow: Flow | None) -> None:
        """Evaluate the rules, then write the events."""
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
                self.protocol_changed(flow, flow.session, app)

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

    # for the fast path

    def segment(self, data: bytes, ts: float, num: int, flow: Flow, toserver: bool, added: bool) -> None:
        """Evaluate the rules on a segment of the fast path."""
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

    def raw(
        self, data: bytes, ts: float, num: int, flow: Flow, toserver: bool, added: bool, stream: Stream
    ) -> None:
        """Search a chunk of a stream for candidates, and evaluate the rules only if there are some."""
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
            self.segment(data, ts, num, flow, toserver, added)
            return
        stream.raw.clear()
        stream.raw_done = 0
        stream.raw_flush = False
        size = self._overlap
        stream.raw_tail = chunk[-size:] if len(chunk) >= size else (tail + chunk)[-size:]
