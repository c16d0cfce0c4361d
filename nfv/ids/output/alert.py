"""EVE JSON of alerts and drops, with packet, stream and verdict as in Suricata 8 (user guide "EVE JSON
Format", event types alert and drop; "EVE JSON Output", alert).
"""

from __future__ import annotations

import base64
from typing import Any

from nfv.ids.decode.packet import Packet, protocol_name, text
from nfv.ids.detection.verdict import Alert
from nfv.ids.output.eve import Event, event, origin, stamp
from nfv.ids.settings import AlertFields
from wire.protocol import SCTP, TCP, UDP

LINK_NAMES = {
    0: "NULL", 1: "EN10MB", 9: "PPP", 12: "RAW", 50: "PPP_SERIAL", 51: "PPP_ETHER", 104: "C_HDLC",
    108: "LOOP", 113: "LINUX_SLL", 228: "IPv4", 229: "IPv6", 276: "LINUX_SLL2",
}  # fmt: skip
"""Names of link types as EVE has them, by libpcap's DLT numbers."""


def wire(packet: Packet) -> tuple[bytes, int]:
    """(bytes, link type) of a packet: as captured; as they are within a tunnel; put together from fragments
    behind the link header of the last one.
    """
    outer = packet.outer
    if outer is not None and outer.fragment:
        return outer.data[outer.begin : outer.l3] + packet.data, _dlt(outer.linktype)
    return packet.data[packet.begin :], _dlt(packet.linktype)


def _dlt(linktype: int) -> int:
    return 12 if linktype == 101 else linktype


def printable(data: bytes) -> str:
    """Text in which each byte that is no printable ASCII, line end or tab is a dot."""
    return "".join(chr(byte) if 32 <= byte < 127 or byte in (9, 10, 13) else "." for byte in data)


def encoded(data: bytes) -> str:
    """In base64."""
    return base64.b64encode(data).decode()


def tunnel(packet: Packet) -> Event | None:
    """The outermost packet around a packet; None if there is none."""
    root, depth = packet, 0
    while root.outer is not None:
        depth += not root.outer.fragment
        root = root.outer
    if not depth or not root.version:
        return None
    out: Event = {"src_ip": text(root.src)}
    ports = root.proto in (TCP, UDP, SCTP)
    if ports:
        out["src_port"] = root.sp
    out["dest_ip"] = text(root.dst)
    if ports:
        out["dest_port"] = root.dp
    out["proto"] = protocol_name(root.proto)
    out["depth"] = depth
    if root.num:
        out["pcap_cnt"] = root.num
    out["pkt_src"] = origin(root)
    return out


def verdict(packet: Packet) -> Event:
    """The verdict for the packet after all of its alerts."""
    out: Event = {"action": "drop" if packet.dropped else "pass" if packet.passed else "alert"}
    if packet.reject:
        told: Alert | None = packet.blocked_by
        action = told.rule.action if told is not None else "reject"
        out["reject-target"] = {"rejectdst": "to_server", "rejectboth": "both"}.get(action, "to_client")
        out["reject"] = ["tcp-reset" if packet.proto == TCP else "icmp-prohib"]
    return out


def alert(
    packet: Packet, told: Alert, fields: AlertFields, stream: bytes = b"", interface: str = ""
) -> Event:
    """An alert with its transaction and flow; ``stream``: the bytes of the sender's stream."""
    out = event(packet, "alert", interface)
    flow = packet.flow
    if told.tx is not None:
        out["tx_id"] = told.tx.number
    elif told.stream and flow is not None and flow.app is not None and flow.app.txs:
        out["tx_id"] = flow.app.txs[-1].number
    inside = tunnel(packet) if packet.outer is not None else None
    if inside is not None:
        out["tunnel"] = inside
    out["alert"] = _rule(packet, told, fields)
    if flow is not None:
        _of_flow(out, packet, told, fields)
    in_stream = told.stream and packet.proto == TCP and (told.tx is not None or bool(told.rule.payload))
    if fields.of_payload:
        _payload(out, stream if in_stream and stream else packet.payload, fields)
        out["stream"] = int(in_stream)
    elif told.stream and not packet.pseudo and flow is not None:
        out["stream"] = 1
    if fields.packet and not packet.pseudo:
        data, linktype = wire(packet)
        out["packet"] = encoded(data)
        named = LINK_NAMES.get(linktype)
        out["packet_info"] = {"linktype": linktype, **({"linktype_name": named} if named else {})}
    if fields.verdict:
        out["verdict"] = verdict(packet)
    return out


def _payload(out: Event, data: bytes, fields: AlertFields) -> None:
    data = data[: fields.payload_size]
    if not data:
        return
    if fields.payload_length:
        out["payload_length"] = len(data)
    if fields.payload:
        out["payload"] = encoded(data)
    if fields.payload_printable:
        out["payload_printable"] = printable(data)


def _rule(packet: Packet, told: Alert, fields: AlertFields) -> Event:
    rule = told.rule
    body: Event = {
        "action": told.action,
        "gid": rule.gid,
        "signature_id": rule.sid,
        "rev": rule.rev,
        "signature": rule.msg,
        "category": rule.category,
        "severity": rule.priority,
    }
    if rule.target:
        ends = {"src_ip": (packet.src, packet.sp), "dest_ip": (packet.dst, packet.dp)}
        other = "dest_ip" if rule.target == "src_ip" else "src_ip"
        for word, side in (("source", other), ("target", rule.target)):
            address, port = ends[side]
            body[word] = {"ip": text(address), "port": port}
    if rule.metadata and fields.rule_metadata:
        body["metadata"] = rule.metadata
    if rule.references and fields.rule_reference:
        body["references"] = rule.references
    if fields.rule_raw:
        body["rule"] = rule.text
    return body


def _of_flow(out: Event, packet: Packet, told: Alert, fields: AlertFields) -> None:
    flow: Any = packet.flow
    tx = told.tx
    if tx is None and flow.app is not None and flow.app.txs and told.rule.app_protos:
        tx = flow.app.txs[-1]
    if tx is not None and fields.app_layer:
        out[tx.proto] = tx.eve()
    if flow.app_proto:
        out["app_proto"] = flow.app_proto
        if flow.app_orig:
            out["app_proto_orig"] = flow.app_orig
    out["direction"] = "to_server" if packet.toserver else "to_client"
    if fields.flow:
        out["flow"] = body = {
            "pkts_toserver": flow.pkts_ts,
            "pkts_toclient": flow.pkts_tc,
            "bytes_toserver": flow.bytes_ts,
            "bytes_toclient": flow.bytes_tc,
            "start": stamp(flow.start),
            "src_ip": text(flow.src),
            "dest_ip": text(flow.dst),
        }
        if flow.proto in (TCP, UDP, SCTP):
            body["src_port"], body["dest_port"] = flow.sp, flow.dp
    metadata: Event = {}
    if flow.bits:
        metadata["flowbits"] = sorted(flow.bits)
    if flow.ints:
        metadata["flowints"] = dict(sorted(flow.ints.items()))
    if metadata:
        out["metadata"] = metadata


def drop(packet: Packet, fields: AlertFields, interface: str = "") -> Event:
    """A dropped packet, with the rule."""
    out = event(packet, "drop", interface)
    body: Event = {"len": packet.end - packet.l3, "tos": packet.tos, "ttl": packet.ttl}
    if packet.version == 4:
        body["ipid"] = int.from_bytes(packet.data[packet.l3 + 4 : packet.l3 + 6], "big")
    if packet.proto == TCP:
        body.update(
            tcpseq=packet.seq,
            tcpack=packet.ack,
            tcpwin=packet.win,
            syn=bool(packet.flags & 2),
            ack=bool(packet.flags & 16),
            psh=bool(packet.flags & 8),
            rst=bool(packet.flags & 4),
            urg=bool(packet.flags & 32),
            fin=bool(packet.flags & 1),
        )
    elif packet.proto == UDP:
        body["udplen"] = packet.end - packet.l4
    body["reason"] = packet.drop_reason or "rules"
    if packet.flow is not None:
        out["direction"] = "to_server" if packet.toserver else "to_client"
        if packet.flow.app_proto:
            out["app_proto"] = packet.flow.app_proto
    out["drop"] = body
    if packet.blocked_by is not None:
        out["alert"] = _rule(packet, packet.blocked_by, fields)
    if fields.drop_verdict:
        out["verdict"] = verdict(packet)
    return out
