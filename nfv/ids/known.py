"""Established connections by addresses and ports, in the form of a segment's header."""

from __future__ import annotations

from typing import Any

from nfv.ids.flow import Flow

Entry = tuple[Any, ...]
"""(flow, whether it goes to the server, session, sender's stream, receiver's stream)"""


def remember(known: dict[bytes, Entry], flow: Flow) -> None:
    """Let the segments of an established flow use the fast path."""
    session = flow.session
    if flow.vlan or len(flow.src) != 4 or session.one_sided:
        return
    ports = flow.sp.to_bytes(2, "big") + flow.dp.to_bytes(2, "big")
    known[flow.src + flow.dst + ports] = (flow, True, session, session.client, session.server)
    known[flow.dst + flow.src + ports[2:] + ports[:2]] = (
        flow,
        False,
        session,
        session.server,
        session.client,
    )


def forget(known: dict[bytes, Entry], flow: Flow) -> None:
    """The flow has ended, or its client and server were exchanged."""
    ports = flow.sp.to_bytes(2, "big") + flow.dp.to_bytes(2, "big")
    known.pop(flow.src + flow.dst + ports, None)
    known.pop(flow.dst + flow.src + ports[2:] + ports[:2], None)
