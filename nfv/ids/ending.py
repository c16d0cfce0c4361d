"""The end of a flow: what nothing followed on is inspected, what is unfinished is told, then the flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nfv.ids import fastpath
from nfv.ids.app.base import Parser
from nfv.ids.decode.packet import Packet
from nfv.ids.flow import Flow
from nfv.ids.tcp.session import ESTABLISHED, NONE, Session

if TYPE_CHECKING:
    from nfv.ids.engine import Engine


def end(engine: Engine, flow: Flow, reason: str) -> None:
    """A flow is over; ``reason``: why, as EVE's flow record says it."""
    session: Session | None = flow.session
    if session is not None and engine.known:
        fastpath.forget(engine.known, flow)
    if session is not None and session.state != NONE and not flow.drop and _unfinished(flow, session):
        _last_words(engine, flow, session)
    if session is not None:
        engine.stream_options.buffered -= session.client.stored + session.server.stored
    app: Parser | None = flow.app
    if app is not None and (app.txs or app.events):
        engine.tell.transactions(last_packet(flow, True), flow, app, ended=True)
    if app is not None:
        app.close()
    engine.tell.flow(flow, reason)


def _unfinished(flow: Flow, session: Session) -> bool:
    """Is there anything that was not inspected, or not told?"""
    app: Parser | None = flow.app
    if app is not None and (
        any(tx.touched_ts or tx.touched_tc or not tx.logged for tx in app.txs) or app.incomplete()
    ):
        return True
    sides = session.client, session.server
    return any(stream.raw or stream.parts or stream.waiting or stream.held for stream in sides)


def _last_words(engine: Engine, flow: Flow, session: Session) -> None:
    """Both directions end: what has come of them is all that comes."""
    for toserver in (True, False):
        stream = session.client if toserver else session.server
        if not stream.started:
            continue
        # what waits behind a hole is not waited for any more
        ends = (at + len(data) for at, data in stream.held.items())
        stream.acked = max(stream.acked, stream.right, *ends)
        engine.hand_on(flow, session, stream, toserver, flow.last, True)
    for toserver in (True, False):
        if flow.app is not None:
            flow.app.end(toserver, flow.last)
        engine.inspect(last_packet(flow, toserver), flow)


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
