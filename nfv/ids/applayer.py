"""Passes bytes of flows to application parsers: detects the protocol, and collects the parsers' results."""

from __future__ import annotations

from nfv.ids.app import probe
from nfv.ids.app.base import Parser
from nfv.ids.app.dns.parser import DnsParser
from nfv.ids.app.http.body import Budget
from nfv.ids.app.http.parser import HttpParser
from nfv.ids.app.ssh import SshParser
from nfv.ids.app.tls import TlsParser
from nfv.ids.counters import Counters
from nfv.ids.flow import Flow
from wire.protocol import TCP

FAILED = "failed"


def parser(name: str, stream: bool, eager: bool, budget: Budget | None = None) -> Parser:
    """A parser for a protocol."""
    if name == "http":
        return HttpParser(eager, budget)
    if name == "tls":
        return TlsParser()
    if name == "ssh":
        return SshParser()
    return DnsParser(stream)


def start_parser(
    flow: Flow, name: str, toserver: bool, eager: bool, counters: Counters, budget: Budget | None = None
) -> None:
    """A flow's protocol is known now."""
    flow.app_proto = name
    if toserver:
        flow.app_ts = name
    else:
        flow.app_tc = name
    flow.app = parser(name, flow.proto == TCP, eager, budget)
    label = ("dns_tcp" if flow.proto == TCP else "dns_udp") if name == "dns" else name
    counters[f"app_layer.flow.{label}"] += 1


def forget(flow: Flow) -> None:
    """The flow continues with another protocol: detect it."""
    flow.app_orig = flow.app_proto
    flow.app, flow.app_proto, flow.app_ts, flow.app_tc = None, "", "", ""
    flow.probe_ts = flow.probe_tc = b""
    flow.done_ts = flow.done_tc = False
    flow.ip_only &= 3  # evaluate rules about protocols only again


def from_server(data: bytes) -> bool:
    """Whether these first bytes of a connection that was picked up midstream come from its server."""
    return data.startswith((b"HTTP/1.", b"HTTP/0.9")) or (data[:2] == b"\x16\x03" and data[5:6] == b"\x02")


def is_answer(flow: Flow, data: bytes) -> bool:
    """Whether this first datagram of a flow is the answer to a DNS query that was not seen."""
    return (
        flow.app is None and flow.pkts_ts == 1 and flow.dp != 53 and probe.dns(data) and data[2] & 0x80 != 0
    )


def feed(
    flow: Flow,
    data: bytes,
    toserver: bool,
    ts: float,
    eager: bool,
    counters: Counters,
    budget: Budget | None = None,
) -> bool:
    """The next bytes of a TCP flow; True if they show that the protocol is unknown."""
    app = flow.app
    if app is None:
        if flow.app_proto == FAILED:
            return False
        held = flow.probe_ts if toserver else flow.probe_tc
        if held is None:
            return False
        data = held + data if held else data
        name = probe.tcp(data, toserver, flow.dp)
        if name is None and len(data) < probe.ENOUGH:
            if toserver:
                flow.probe_ts = data
            else:
                flow.probe_tc = data
            return False
        if not name:
            return _failed(flow, toserver, counters)
        start_parser(flow, name, toserver, eager, counters, budget)
        app = flow.app
        assert app is not None
        other = flow.probe_tc if toserver else flow.probe_ts
        flow.probe_ts = flow.probe_tc = None
        if other:
            _parse(flow, app, other, not toserver, ts, counters)
    _parse(flow, app, data, toserver, ts, counters)
    return False


def _failed(flow: Flow, toserver: bool, counters: Counters) -> bool:
    """This direction has no known protocol; if the other has none either, the flow has no protocol."""
    if toserver:
        flow.probe_ts, flow.app_ts, flow.done_ts = None, FAILED, True
    else:
        flow.probe_tc, flow.app_tc, flow.done_tc = None, FAILED, True
    if flow.done_ts and (flow.done_tc or not flow.seen_tc or flow.probe_tc == b""):
        pass
    if flow.done_ts and flow.done_tc:
        flow.app_proto = FAILED
        counters["app_layer.flow.failed_tcp"] += 1
        return True
    return False


def _parse(flow: Flow, app: Parser, data: bytes, toserver: bool, ts: float, counters: Counters) -> None:
    if toserver:
        if app.failed_ts:
            return
        flow.app_ts = app.proto
    else:
        if app.failed_tc:
            return
        flow.app_tc = app.proto
    if toserver:
        app.fed_ts = True
    else:
        app.fed_tc = True
    before = app.count
    app.feed(toserver, data, ts)
    if app.count != before:
        counters[f"app_layer.tx.{app.tx_name}"] += app.count - before


def datagram(flow: Flow, data: bytes, toserver: bool, ts: float, counters: Counters) -> None:
    """A UDP payload."""
    app = flow.app
    if app is None:
        if flow.app_proto or not data:
            return
        name = probe.udp(data, flow.sp, flow.dp)
        if not name:
            if not toserver or flow.pkts_ts > 3:
                pass
            if flow.done_ts if toserver else flow.done_tc:
                return
            if toserver:
                flow.done_ts = True
            else:
                flow.done_tc = True
            if flow.done_ts and flow.done_tc:
                flow.app_proto = FAILED
                counters["app_layer.flow.failed_udp"] += 1
            return
        start_parser(flow, name, toserver, False, counters)
        app = flow.app
        assert app is not None
    _parse(flow, app, data, toserver, ts, counters)
