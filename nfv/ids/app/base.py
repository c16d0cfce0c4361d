"""What all application parsers have in common: transactions with their buffers, and events."""

from __future__ import annotations

from typing import Any, ClassVar

Value = list[bytes] | None
"""Buffers of one name: None while they are not there yet, empty when there will be none."""

MAX_TRANSACTIONS = 512
"""Transactions of a flow that may be open; the oldest is given up beyond that."""


class Tx:
    """One transaction: a request and its response, a query and its answer, a handshake."""

    proto = ""
    __slots__ = (
        "done_tc",
        "done_ts",
        "ended",
        "logged",
        "number",
        "state_tc",
        "state_ts",
        "touched_tc",
        "touched_ts",
        "ts",
    )

    def __init__(self, number: int, ts: float) -> None:
        self.number = number
        self.ts = ts
        self.done_ts = self.done_tc = False
        self.logged = self.ended = False
        self.touched_ts = self.touched_tc = True
        self.state_ts: Any = None  # what detection knows of it, a direction each
        self.state_tc: Any = None

    def get(self, name: str, toserver: bool) -> Value:
        """The buffers of a name in a direction."""
        raise NotImplementedError

    def forget(self) -> None:
        """Give back what is kept."""

    def eve(self) -> dict[str, Any]:
        """What EVE says of it."""
        raise NotImplementedError


class Parser:
    """Takes the bytes of both directions and makes transactions."""

    proto: ClassVar[str] = ""
    tx_name: ClassVar[str] = ""
    fresh: bool

    def __init__(self) -> None:
        self.txs: list[Any] = []
        self.count = 0
        self.events: list[tuple[str, int]] = []
        self.failed_ts = self.failed_tc = False
        self.fed_ts = self.fed_tc = False
        """Bytes of a direction were parsed since rules were last asked."""
        self.trigger_ts = self.trigger_tc = False
        """A message was completed: what came before it in the stream is to be inspected now."""
        self.changed = False
        """What follows is another protocol's; ``rest`` has what has come of it."""
        self.rest: dict[bool, bytes] = {True: b"", False: b""}
        self.backlog = b""
        """Bytes of the direction that was fed last that are not parsed yet: too many transactions wait to be
        inspected.
        """

    def feed(self, toserver: bool, data: bytes, ts: float) -> None:
        """The next bytes of a direction."""
        raise NotImplementedError

    def gap(self, toserver: bool, size: int) -> None:
        """``size`` bytes of a direction were lost; by default nothing more is understood of it."""
        if toserver:
            self.failed_ts = True
        else:
            self.failed_tc = True

    def end(self, toserver: bool, ts: float) -> None:
        """A direction is over: what is incomplete counts as far as it came."""

    def incomplete(self) -> bool:
        """Are there bytes that ``end`` would make something of?"""
        return False

    def hurry(self) -> None:
        """The connection may be over: let what is incomplete be inspected as far as it has come."""

    def close(self) -> None:
        """The flow is over: give back what is kept."""
        self.txs.clear()

    def event(self, name: str, tx: int = -1) -> None:
        """Something is wrong, under Suricata's name for it."""
        if len(self.events) < 256:
            self.events.append((name, tx))

    def overflow(self) -> None:
        """Give up the oldest transactions when there are too many."""
        while len(self.txs) >= MAX_TRANSACTIONS:
            self.txs.pop(0).forget()
