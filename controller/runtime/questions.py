"""The questions to switches, and how their answers are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from controller.flow.tables import Group, Meter, SwitchTables
from controller.openflow import messages, meters, replies
from controller.origin import Host
from controller.runtime.commands import Held
from controller.runtime.exchange import Exchange, Parts, cookies

if TYPE_CHECKING:
    from controller.runtime.osken.framework import Datapath
    from controller.runtime.stations import Station

Failed = Callable[[str], None]


class Questions:
    """Questions to connected switches. Later, exactly one of a question's two functions is called."""

    def __init__(self) -> None:
        self._exchange = Exchange()
        self.answer = self._exchange.answer
        self.hang_up = self._exchange.hang_up

    def held(self, datapath: Datapath, done: Callable[[Held], None], failed: Failed) -> None:
        """Ask for all flows' cookies, all groups and all meters."""
        installed: list[frozenset[int]] = []
        metered: list[tuple[Meter, ...]] = []

        def flows(parts: Parts) -> None:
            try:
                installed.append(frozenset(cookie for part in parts for cookie in cookies(part)))
            except ValueError as problem:
                failed(f"unreadable list of flows: {problem}")

        def limits(parts: Parts) -> None:
            try:
                metered.append(tuple(m for part in parts for m in meters.parse_meter_desc(part)))
            except ValueError as problem:
                failed(f"unreadable list of meters: {problem}")

        def groups(parts: Parts) -> None:
            try:
                groups_held = tuple(g for part in parts for g in replies.parse_group_desc(part))
                held = Held(installed[0], groups_held, metered[0])
            except (ValueError, IndexError, KeyError) as problem:
                failed(f"unreadable list of groups: {problem!r}")
            else:
                done(held)

        first, second, third = (datapath.own_xid() for _ in range(3))
        self._exchange.ask(datapath.number, first, flows, failed)
        # a datapath without meters may refuse to list them: it has none
        self._exchange.ask(datapath.number, second, limits, lambda why: metered.append(()))
        self._exchange.ask(datapath.number, third, groups, failed)
        datapath.send(
            messages.flow_stats_request(first)
            + meters.meter_desc_request(second)
            + messages.group_desc_request(third)
        )

    def listed(
        self, datapath: Datapath, done: Callable[[Parts, tuple[Group, ...]], None], failed: Failed
    ) -> None:
        """Ask for all flows, as bodies of OFPMP_FLOW_DESC replies, and all groups."""
        bodies: list[Parts] = []
        failures: list[str] = []

        def groups(parts: Parts) -> None:
            try:
                held = tuple(g for part in parts for g in replies.parse_group_desc(part))
            except (ValueError, IndexError, KeyError) as problem:
                failed(f"unreadable list of groups: {problem!r}")
                return
            if failures:
                failed(failures[0])
            else:
                done(bodies[0], held)

        first, second = datapath.own_xid(), datapath.own_xid()
        self._exchange.ask(datapath.number, first, bodies.append, failures.append)
        self._exchange.ask(datapath.number, second, groups, failed)
        datapath.send(messages.flow_stats_request(first) + messages.group_desc_request(second))

    def counters(
        self,
        datapath: Datapath,
        done: Callable[[Parts], None],
        failed: Failed,
        table: int = messages.ALL_TABLES,
        cookie: int | None = None,
    ) -> None:
        """Ask for flows with their counters: of one table, or with one cookie, or all."""
        xid = datapath.own_xid()
        self._exchange.ask(datapath.number, xid, done, failed)
        mask = messages.EXACT_COOKIE if cookie is not None else 0
        datapath.send(messages.flow_stats_request(xid, table, cookie or 0, mask))


def cookie_of_station(station: Station, wanted: SwitchTables | None) -> int | None:
    """The cookie of the flow that counts a station's packets; None: it has none."""
    return next(
        (
            flow.cookie
            for flow in (wanted.flows if wanted else ())
            if isinstance(flow.origin, Host)
            and (flow.origin.port, flow.origin.mac) == (station.port.number, station.mac)
        ),
        None,
    )


def packets_of(parts: Iterable[bytes]) -> int:
    """The packets of all entries of an answer, added up."""
    return sum(entry.packets for part in parts for entry in replies.parse_flow_desc(part))
