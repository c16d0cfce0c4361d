"""EVE JSON: each kind of event in the form of Suricata 8 (user guide "EVE JSON Format")."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from nfv.ids.app.http.tx import words
from nfv.ids.decode.packet import Packet, protocol_name, text
from nfv.ids.flow import Flow
from nfv.ids.tcp.session import STATES
from wire.protocol import ICMP, ICMPV6, SCTP, TCP, UDP

Event = dict[str, Any]


def stamp(seconds: float) -> str:
    """A time in EVE's form, in UTC."""
    micro = round(seconds * 1e6)
    return f"{_second(micro // 1_000_000)}.{micro % 1_000_000:06d}+0000"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):
        moment = datetime.fromtimestamp(0, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def flow_id(flow: Flow) -> int:
    """A number that identifies a flow, also among those of other processes or runs."""
    return (int(flow.start * 1000) << 20 ^ flow.id * 2654435761) & ((1 << 53) - 1)


def event(packet: Packet, kind: str, interface: str = "", by_flow: bool = False) -> Event:
    """The first fields of every event; ``by_flow``: from client to server, whatever the packet's
    direction."""
    out: Event = {"timestamp": stamp(packet.ts)}
    flow = packet.flow
    if flow is not None:
        out["flow_id"] = flow_id(flow)
    if interface:
        out["in_iface"] = interface
    if packet.num:
        out["pcap_cnt"] = packet.num
    out["event_type"] = kind
    if packet.vlan:
        out["vlan"] = list(packet.vlan)
    if packet.version:
        ports = packet.proto in (TCP, UDP, SCTP)
        src, dst, sp, dp = packet.src, packet.dst, packet.sp, packet.dp
        if by_flow and not packet.toserver:
            src, dst, sp, dp = dst, src, dp, sp
        out["src_ip"] = text(src)
        if ports:
            out["src_port"] = sp
        out["dest_ip"] = text(dst)
        if ports:
            out["dest_port"] = dp
        out["proto"] = protocol_name(packet.proto)
        if packet.kind >= 0 and packet.proto in (ICMP, ICMPV6):
            out["icmp_type"], out["icmp_code"] = packet.kind, packet.code
        out["ip_v"] = packet.version
    out["pkt_src"] = origin(packet)
    return out


def origin(packet: Packet) -> str:
    """Where a packet came from: the wire, a tunnel, fragments, or the end of a flow."""
    if packet.pseudo:
        return "stream (flow timeout)"
    outer = packet.outer
    if outer is None:
        return "wire/pcap"
    if outer.fragment:
        return "defrag"
    if outer.proto == UDP:
        return {4789: "vxlan encapsulation", 6081: "geneve encapsulation"}.get(outer.dp, "teredo tunnel")
    if outer.proto == 47:
        return "gre tunnel"
    return "ipv6 tunnel" if outer.version == 6 else "ipv4 tunnel"


def anomaly(packet: Packet, kind: str, name: str, layer: str = "", app: str = "", tx: int = -1) -> Event:
    """An anomaly: ``decode``, ``stream`` or ``applayer``."""
    out = event(packet, "anomaly")
    if tx >= 0:
        out["tx_id"] = tx
    body: Event = {}
    if app:
        body["app_proto"] = app
    body["type"] = kind
    body["event"] = name
    if layer:
        body["layer"] = layer
    out["anomaly"] = body
    return out


def flow(ended: Flow, reason: str, interface: str = "") -> Event:
    """A flow that has ended; the client's address comes first."""
    out: Event = {"timestamp": stamp(ended.last), "flow_id": flow_id(ended)}
    if interface:
        out["in_iface"] = interface
    out["event_type"] = "flow"
    if ended.vlan:
        out["vlan"] = list(ended.vlan)
    ports = ended.proto in (TCP, UDP, SCTP)
    out["src_ip"] = text(ended.src)
    if ports:
        out["src_port"] = ended.sp
    out["dest_ip"] = text(ended.dst)
    if ports:
        out["dest_port"] = ended.dp
    out["ip_v"] = 4 if len(ended.src) == 4 else 6
    out["proto"] = protocol_name(ended.proto)
    if ended.proto in (ICMP, ICMPV6):
        out["icmp_type"], out["icmp_code"] = ended.kind, ended.code
        if ended.icmp_reply[0] >= 0:
            out["response_icmp_type"], out["response_icmp_code"] = ended.icmp_reply
    if ended.app_proto:
        out["app_proto"] = ended.app_proto
        if ended.app_orig:
            out["app_proto_orig"] = ended.app_orig
        if ended.app_ts and ended.app_tc and ended.app_ts != ended.app_tc:
            out["app_proto_ts"], out["app_proto_tc"] = ended.app_ts, ended.app_tc
    body: Event = {
        "pkts_toserver": ended.pkts_ts,
        "pkts_toclient": ended.pkts_tc,
        "bytes_toserver": ended.bytes_ts,
        "bytes_toclient": ended.bytes_tc,
        "start": stamp(ended.start),
        "end": stamp(ended.last),
        "age": int(ended.last) - int(ended.start),
        "state": ended.state,
        "reason": reason,
        "alerted": ended.alerted,
    }
    if ended.action:
        body["action"] = ended.action
    if ended.app is not None:
        body["tx_cnt"] = ended.app.count
    out["flow"] = body
    if ended.bits:
        out["metadata"] = {"flowbits": sorted(ended.bits)}
    if ended.proto == TCP:
        out["tcp"] = _tcp(ended)
    return out


_FLAGS = (("syn", 2), ("fin", 1), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ecn", 64), ("cwr", 128))


def _tcp(ended: Flow) -> Event:
    session = ended.session
    if session is None:
        return {"tcp_flags": "00", "tcp_flags_ts": "00", "tcp_flags_tc": "00"}
    both = session.flags_ts | session.flags_tc
    out: Event = {
        "tcp_flags": f"{both:02x}",
        "tcp_flags_ts": f"{session.flags_ts:02x}",
        "tcp_flags_tc": f"{session.flags_tc:02x}",
    }
    out.update({word: True for word, bit in _FLAGS if both & bit})
    out["state"] = STATES[session.state]
    if session.client.gapped:
        out["ts_gap"] = True
    if session.server.gapped:
        out["tc_gap"] = True
    out["ts_max_regions"], out["tc_max_regions"] = session.client.regions, session.server.regions
    return out


def transaction(packet: Packet, tx: Any, interface: str = "") -> Event:
    """The record of a transaction: ``http``, ``dns``, ``tls``, ``ssh``."""
    out = event(packet, tx.proto, interface, by_flow=True)
    if tx.proto == "http":
        out["tx_id"] = tx.number
    out[tx.proto] = tx.eve()
    return out


def fileinfo(packet: Packet, tx: Any, toserver: bool, file: Any, interface: str = "") -> Event:
    """A file that was transferred, in a body or a part of one."""
    out = event(packet, "fileinfo", interface, by_flow=toserver)
    if not toserver and packet.version and packet.toserver:
        out["src_ip"], out["dest_ip"] = out["dest_ip"], out["src_ip"]
        if "src_port" in out:
            out["src_port"], out["dest_port"] = out["dest_port"], out["src_port"]
    out["http"] = tx.eve()
    out["app_proto"] = "http"
    out["fileinfo"] = {
        "filename": words(file.name),
        "gaps": False,
        "state": "CLOSED" if file.done else "TRUNCATED",
        **file.body.digests(),
        "stored": False,
        "size": file.body.length,
        "tx_id": tx.number,
    }
    return out
