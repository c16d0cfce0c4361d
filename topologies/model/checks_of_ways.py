"""Checks of the ways that packets take: functions, tunnels, flows, what they look like, what they survive.
Pure."""

from __future__ import annotations

from typing import ClassVar, Literal

from topologies.model.check import AnyCheck, Between, Check, Protocol, Side

ActionKind = Literal["link", "function", "controller", "switch", "domain"]
"""What an action of ``survives`` breaks: it cuts a link, kills a function's instances, the controller or the
daemon that forwards in a domain, or switches a switch off."""


class Traverses(Between):
    """Packets pass exactly these functions in this order; answers pass ``back``."""

    verb: Literal["traverses"]
    protocol: Protocol = "icmp"
    port: int | None = None
    functions: tuple[str, ...]
    back: tuple[str, ...]

    @property
    def expected(self) -> str:
        ends = f"{self.source.words} to {self.destination.words}{self.how_words(self.protocol, self.port)}"
        return f"{ends}: through {_row(self.functions)}, back through {_row(self.back)}"


class Avoids(Between):
    """Packets and their answers pass none of these functions."""

    verb: Literal["avoids"]
    protocol: Protocol = "icmp"
    port: int | None = None
    functions: tuple[str, ...]

    @property
    def expected(self) -> str:
        ends = f"{self.source.words} to {self.destination.words}{self.how_words(self.protocol, self.port)}"
        return f"{ends}: not through {', '.join(self.functions)}"


class Encapsulated(Between):
    """Packets cross the underlay in VXLAN. ``vni``: their network identifier. ``link``: the underlay link on
    which they are seen; empty: any. ``outer``: the domains whose VTEPs' addresses they have, source and
    destination; empty: those of the hosts."""

    verb: Literal["encapsulated"]
    protocol: Protocol = "icmp"
    port: int | None = None
    vni: int
    link: str = ""
    outer: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        ends = f"{self.source.words} to {self.destination.words}{self.how_words(self.protocol, self.port)}"
        between = f", from {' to '.join(self.outer)}" if self.outer else ""
        return f"{ends}: VNI {self.vni}{between}{f', on {self.link}' if self.link else ''}"


class FlowHeld(Check):
    """A switch holds a flow, or does not (``present``): one that its counters list.

    ``table``: the name of the flow table, in capitals; ``match``, ``actions``: fields and actions that the
    flow has, as ``sdnlab flows`` writes them.
    """

    verb: Literal["flow"]
    switch: str
    table: str
    match: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    present: bool = True

    @property
    def expected(self) -> str:
        what = ", ".join((*self.match, *self.actions)) or "any"
        holds = "holds" if self.present else "does not hold"
        return f"table {self.table} of {self.switch} {holds} a flow with {what}"


class Alerts(Check):
    """While a command runs in a host, a signature of an IDS fires, or does not (``fires``)."""

    verb: Literal["alerts"]
    hosts: Side
    words: tuple[str, ...]
    line: str
    signature: int
    fires: bool = True

    @property
    def expected(self) -> str:
        fires = "fires" if self.fires else "does not fire"
        return f"{self.hosts.words}: {self.line}: signature {self.signature} {fires}"


class Sent(Check):
    """A packet that is sent at a host arrives at others.

    ``send``, ``expect``: expressions as scapy's users write them; ``expect`` empty: ``send``. Fields that
    ``expect`` names are compared, others are not. ``count``: ``once`` at each of ``there``, at least once
    (``some``), or nowhere (``none``).
    """

    verb: Literal["packet"]
    at: str
    send: str
    there: Side
    expect: str = ""
    count: Literal["once", "some", "none"] = "once"

    @property
    def expected(self) -> str:
        words = {"once": "once", "some": "at least once", "none": "never"}[self.count]
        return f"{self.send} sent at {self.at} arrives {words} at {self.there.words}"

    @property
    def size(self) -> int:
        return len(self.there.names)


class Survives(Check):
    """A check holds before and after something is broken; then it is repaired.

    ``action``, ``target``: what is broken. ``lost``: how many pings between the hosts of ``check`` may be
    lost, one being sent every ``EVERY`` seconds; None: any number.
    """

    alone: ClassVar[bool] = True
    verb: Literal["survives"]
    action: ActionKind
    target: str = ""
    lost: int | None = None
    check: AnyCheck

    @property
    def expected(self) -> str:
        does = {"link": "cut of", "switch": "loss of", "domain": "crash of domain"}.get(
            self.action, "crash of"
        )
        what = f"{does} {self.target or f'the {self.action}'}"
        lost = "" if self.lost is None else f", at most {self.lost} packets lost"
        return f"{self.check.expected}, also after the {what}{lost}"


def _row(functions: tuple[str, ...]) -> str:
    return ", ".join(functions) if functions else "no function"
