"""Turns the stages' results into events, if their type is enabled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nfv.ids.app.base import Parser
from nfv.ids.counters import Counters
from nfv.ids.decode.packet import Packet
from nfv.ids.detection.verdict import Alert
from nfv.ids.flow import Flow
from nfv.ids.output import alert, eve
from nfv.ids.settings import Settings
from nfv.ids.tcp.session import Session


class Teller:
    """Makes events and counts them."""

    def __init__(
        self, settings: Settings, counters: Counters, emit: Callable[[dict[str, Any]], None]
    ) -> None:
        self.settings = settings
        self.counters = counters
        self.emit = emit
        self.types = settings.types

    def alerts(self, packet: Packet, alerts: list[Alert], stream: bytes = b"") -> None:
        """Alerts in their order; ``stream``: the bytes of the sender's stream, if they are written."""
        if "alert" in self.types:
            fields, interface = self.settings.alert, self.settings.interface
            for told in alerts:
                self.emit(alert.alert(packet, told, fields, stream, interface))

    def flow(self, flow: Flow, reason: str) -> None:
        """A flow that has ended."""
        name = {6: "tcp", 17: "udp", 1: "icmpv4", 58: "icmpv6"}.get(flow.proto)
        if name:
            self.counters[f"flow.{name}"] += 1
        self.counters["flow.total"] += 1
        if "flow" in self.types:
            self.emit(eve.flow(flow, reason, self.settings.interface))

    def stats(self, at: float, since: float) -> None:
        """The counters; ``since`` is the time of the first packet."""
        if "stats" not in self.types:
            return
        pkts = self.counters["decoder.pkts"]
        self.counters["decoder.avg_pkt_size"] = self.counters["decoder.bytes"] // pkts if pkts else 0
        body = self.counters.nested()
        body["uptime"] = int(at - since) if since else 0
        self.emit({"timestamp": eve.stamp(at), "event_type": "stats", "stats": body})

    def decode_events(self, packet: Packet) -> None:
        """Anomalies of a packet."""
        for name in packet.events or ():
            self.counters[name.replace("decoder.", "decoder.event.", 1)] += 1
            if self.settings.anomaly_decode and "anomaly" in self.types:
                self.emit(eve.anomaly(packet, "decode", name))

    def stream_events(self, session: Session, packet: Packet) -> None:
        """Anomalies of a connection."""
        for name in session.events:
            self.counters[name] += 1
            if self.settings.anomaly_stream and "anomaly" in self.types:
                self.emit(eve.anomaly(packet, "stream", name))
        session.events.clear()

    def dropped(self, packet: Packet, reason: str) -> None:
        """A dropped packet."""
        packet.dropped = True
        if reason:
            packet.drop_reason = reason
        self.counters[f"ips.drop_reason.{(packet.drop_reason or 'rules').replace(' ', '_')}"] += 1
        if "drop" in self.types and not packet.pseudo:
            self.emit(alert.drop(packet, self.settings.alert, self.settings.interface))

    def transactions(self, packet: Packet, flow: Flow, app: Parser, ended: bool = False) -> None:
        """Write complete transactions, or all at the flow's end; remove the finished ones."""
        if app.events:
            self._app_events(packet, app)
        if not app.txs:
            return
        kept = []
        for tx in app.txs:
            complete = tx.done_ts and tx.done_tc
            if tx.proto == "tls" and not complete and tx.over_tc and tx.states:
                complete = True
            if tx.proto == "http":
                self._files(packet, tx, ended)
            if (complete or ended) and not tx.logged:
                tx.logged = True
                self.record(packet, tx)
            if tx.logged and not tx.touched_ts and not tx.touched_tc and tx.done_ts and tx.done_tc:
                tx.forget()
            else:
                kept.append(tx)
        if len(kept) != len(app.txs):
            app.txs[:] = kept

    def record(self, packet: Packet, tx: Any) -> None:
        """The record of a transaction."""
        if tx.proto not in self.types:
            return
        interface = self.settings.interface
        if tx.proto == "dns":
            records = [tx.eve()] if self.settings.dns_version >= 3 else tx.eve_v2()
            for record in records:
                out = eve.event(packet, "dns", interface, by_flow=True)
                out["dns"] = record
                self.emit(out)
            return
        if tx.proto == "tls" and not tx.states:
            return
        if tx.proto == "ssh" and not (tx.client or tx.server):
            return
        self.emit(eve.transaction(packet, tx, interface))

    def _files(self, packet: Packet, tx: Any, ended: bool) -> None:
        if tx.files_logged == 3:
            return
        for bit, toserver, done in ((1, True, tx.done_ts), (2, False, tx.done_tc)):
            if tx.files_logged & bit or not (done or ended):
                continue
            tx.files_logged |= bit
            if "fileinfo" in self.types:
                for file in tx.files(toserver):
                    self.emit(eve.fileinfo(packet, tx, toserver, file, self.settings.interface))

    def _app_events(self, packet: Packet, app: Parser) -> None:
        for name, tx in app.events:
            self.counters[f"app_layer.event.{app.proto}.{name.lower()}"] += 1
            if self.settings.anomaly_applayer and "anomaly" in self.types:
                self.emit(eve.anomaly(packet, "applayer", name, "proto_parser", app.proto, tx))
        app.events.clear()
