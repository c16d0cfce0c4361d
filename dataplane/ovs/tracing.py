"""What ``ofproto/trace`` says (ovs-vswitchd(8)), as values. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class Match(NamedTuple):
    """A lookup in a table: the cookie of the flow that matched; None: none did. ``text``: its match."""

    table: int
    cookie: int | None
    text: str


class Visit(NamedTuple):
    """A frame's lookups in one bridge, in order, also those after connection tracking."""

    bridge: str
    matches: tuple[Match, ...]


_BRIDGE = re.compile(r'^ *bridge\("([^"]+)"\)$')
_FORKED, _RESUMED = "forked pipeline will be resumed at table", "Resuming from table"
_FLOW = re.compile(r"^ *(\d+)\. (.*?)(?:, cookie 0x([0-9a-f]+))?$")


def visits(said: str) -> list[Visit]:
    """The bridges that a frame went through, in the order in which it came to each.

    A bridge that a frame leaves by a patch port is followed by its peer's. After connection tracking the
    trace begins anew in a later table of the same bridge.
    """
    order: list[tuple[str, list[Match]]] = []
    tracked: list[str] = []  # bridges that have sent a packet to connection tracking, in order
    latest: dict[str, list[Match]] = {}
    bridge = ""
    for line in said.splitlines():
        header = _BRIDGE.match(line)
        if header is not None:
            bridge = header[1]
            continue
        if _FORKED in line:
            tracked.append(bridge)
        if _RESUMED in line and tracked:
            bridge = tracked.pop(0)  # the header names the bridge where the packet has come in
        flow = _FLOW.match(line)
        if flow is None or not bridge:
            continue
        table, text = int(flow[1]), flow[2]
        none = text == "No match."
        match = Match(table, None if none else int(flow[3] or "0", 16), text)
        if table == 0 or bridge not in latest:
            latest[bridge] = []
            order.append((bridge, latest[bridge]))
        latest[bridge].append(match)
    return [Visit(name, tuple(matches)) for name, matches in order]


def arguments(bridge: str, in_port: int, packet: bytes, states: Iterable[int] = ()) -> tuple[str, ...]:
    """The words of the command for a packet's octets. ``states``: ct_state after each pass of connection
    tracking."""
    return (bridge, f"in_port={in_port}", packet.hex(), *_tracked(states))


def arguments_for_fields(bridge: str, flow: str, states: Iterable[int] = ()) -> tuple[str, ...]:
    """The same for a flow's text, with its in_port."""
    return (bridge, flow, *_tracked(states))


_STATES = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")


def _tracked(states: Iterable[int]) -> list[str]:
    words = []
    for state in states:
        names = [name for bit, name in enumerate(_STATES) if state >> bit & 1]
        words += ["--ct-next", ",".join(names)]
    return words
