"""The end of a flow: whether something still has to be inspected, and the packet that stands for the end."""

from __future__ import annotations

from nfv.ids.app.base import Parser
from nfv.ids.decode.packet import Packet
from nfv.ids.flow import Flow
from nfv.ids.tcp.session import ESTABLISHED, Session


def unfinished(flow: Flow, session: Session) -> bool:
    """Whether something was not inspected, or not written, yet."""
    app: Parser | None = flow.app
    if app is not None and (
        any(tx.touched_ts or tx.touched_tc or not tx.logged for tx in app.txs) or app.incomplete()
    ):
        return True
    sides = session.client, session.server
    return any(stream.raw or stream.parts or stream.waiting or stream.held for stream in sides)


def last_packet(flow: Flow, toserver: bool) -> Packet:
    """A packet that stands for the end of a flow's direction."""
    packet = Packet(b"", flow.last, 0)
    packet.flow, packet.toserver = flow, toserver
    packet.proto = flow.proto
    packet.version = 4 if len(flow.src) == 4 else 6
    packet.src, packet.dst = (flow.src, flow.dst) if toserver else (flow.dst, flow.src)
    packet.sp, packet.dp = (flow.sp, flow.dp) if toserver else (flow.dp, flow.sp)
    packet.vlan = flow.vlan
    packet.pseudo = packet.stream_eof = packet.stream_add = True
    session: Session | None = flow.session
    packet.stream_est = packet.established = session is not None and session.state >= ESTABLISHED
    return packet
