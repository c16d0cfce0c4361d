"""Runs each packet through all stages: decode, flow, stream, application, rules, events.

The engine reads no clock and opens nothing: packets have timestamps, and events go to a function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nfv.ids import applayer, ending
from nfv.ids.app.base import Parser
from nfv.ids.counters import fresh
from nfv.ids.decode.defrag import Defragmenter
from nfv.ids.decode.frames import Decoder
from nfv.ids.decode.packet import Packet
from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.fastpath import FastPath
from nfv.ids.flow import Flow
from nfv.ids.flow_table import FlowTable
from nfv.ids.inspection import Inspection
from nfv.ids.output.telling import Teller
from nfv.ids.settings import Settings
from nfv.ids.streams import Streams
from nfv.ids.tcp.session import Session
from wire.protocol import TCP, UDP


class Engine:
    """All state of one detection process."""

    def __init__(self, settings: Settings, rules: RuleSet, emit: Callable[[dict[str, Any]], None]) -> None:
        self.settings = settings
        self.counters = fresh(settings.ips)
        defrag = Defragmenter(settings.defrag_trackers, settings.defrag_memory)
        self.decoder = Decoder(self.counters, defrag, settings.vxlan_port)
        self.flows = FlowTable(self._flow_ended, settings.flow_limit)
        self.tell = Teller(settings, self.counters, emit)
        self.inspection = Inspection(settings, rules, self.counters, self.tell)
        self.streams = Streams(settings, self.counters, self.tell, self.inspection, self.flows)
        self.inspection.protocol_changed = self.streams.other_protocol
        self.fast = FastPath(self.streams, self.inspection)
        self.short_way = True
        self.last = 0.0
        self._known = self.streams.known
        self._first = 0.0
        self._swept = 0.0

    def use(self, rules: RuleSet) -> None:
        """Use other rules from now on; flows, streams and thresholds stay."""
        self.inspection.use(rules)

    def frame(self, data: bytes, ts: float, num: int = 0, linktype: int = 1) -> Packet | None:
        """Inspect a captured frame; the returned packet has the verdict (``dropped``, ``reject``)."""
        if ts > self.last:
            self.last = ts
            if ts - self._swept >= 5:
                self._swept = ts
                self.flows.sweep(ts)
                self._first = self._first or ts
        plain = (
            self._known
            and self.short_way
            and linktype == 1
            and len(data) >= 54
            and data[12:14] == b"\x08\x00"
        )
        if plain and self.fast.segment(data, ts, num):
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
        self.inspection.detector.work.begin()
        if packet.events:
            self.tell.decode_events(packet)
        if packet.version == 0:
            if packet.events and self.inspection.detector.rules.by_event:
                self.inspection.inspect(packet, None)
            return
        flow = self.flows.find(packet)
        if flow is not None:
            if flow.generation != self.inspection.generation:
                self._other_rules(flow)
            proto = packet.proto
            if proto == TCP:
                self.streams.packet(packet, flow)
            elif proto == UDP and packet.end > packet.pay:
                if packet.sp == 53 and packet.toserver and applayer.is_answer(flow, packet.payload):
                    self.flows.swap(flow)  # the question was not seen
                    packet.toserver = False
                applayer.datagram(flow, packet.payload, packet.toserver, packet.ts, self.counters)
        self.inspection.inspect(packet, flow)

    def _other_rules(self, flow: Flow) -> None:
        """The rules have changed: evaluate open transactions again."""
        flow.generation = self.inspection.generation
        if flow.app is not None:
            for tx in flow.app.txs:
                tx.state_ts = tx.state_tc = None

    def _flow_ended(self, flow: Flow, reason: str) -> None:
        """It has steps of its own: other packets than the one that comes now would have had them."""
        work = self.inspection.detector.work
        left = work.left
        work.begin()
        session: Session | None = flow.session
        if session is not None:
            self.streams.end(flow, session)
        app: Parser | None = flow.app
        if app is not None:
            if app.txs or app.events:
                self.tell.transactions(ending.last_packet(flow, True), flow, app, ended=True)
            app.close()
        self.tell.flow(flow, reason)
        work.left = left

    def finish(self, reason: str = "shutdown") -> None:
        """End all flows and write the counters."""
        self.flows.end_all(reason)
        self.stats()

    def stats(self, at: float | None = None) -> None:
        """Write the counters."""
        for name in ("pkts", "ethernet", "ipv4", "tcp"):
            self.counters[f"decoder.{name}"] += self.fast.packets
        self.counters["decoder.bytes"] += self.fast.bytes
        self.fast.packets = self.fast.bytes = 0
        self.counters["tcp.segment_memcap_drop"] = self.settings.stream.refused
        self.counters["tcp.reassembly_memuse"] = self.settings.stream.buffered
        self.counters["http.memuse"] = self.streams.budget.used
        self.counters["http.memcap"] = self.streams.budget.refused
        self.counters["detect.work_exceeded"] = self.inspection.detector.work.exceeded
        self.counters["flow.active"] = len(self.flows)
        self.tell.stats(at if at is not None else self.last, self._first)
