"""Established connections by their addresses and ports, as a segment's header holds them."""

from __future__ import annotations

from typing import Any

from nfv.ids.flow import Flow

Entry = tuple[Any, ...]
"""(flow, does it go to the server, session, sender's stream, receiver's stream)"""


def remember(known: dict[bytes, Entry], flow: Flow) -> None:
    """Let the segments of an established flow take the short way."""
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
    """The flow is over or was turned round."""
    ports = flow.sp.to_bytes(2, "big") + flow.dp.to_bytes(2, "big")
    known.pop(flow.src + flow.dst + ports, None)
    known.pop(flow.dst + flow.src + ports[2:] + ports[:2], None)
