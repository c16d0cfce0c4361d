"""The common part of all application parsers: transactions with buffers, and events."""

from __future__ import annotations

from typing import Any, ClassVar

Value = list[bytes] | None
"""Buffers of one name: None while they are incomplete, empty if there will be none."""

MAX_TRANSACTIONS = 512
"""Limit of a flow's open transactions; beyond it, the oldest is deleted."""


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
        """The buffers of this name in a direction."""
        raise NotImplementedError

    def forget(self) -> None:
        """Free the kept bytes."""

    def eve(self) -> dict[str, Any]:
        """EVE's fields of the transaction."""
        raise NotImplementedError


class Parser:
    """Parses the bytes of both directions into transactions."""

    proto: ClassVar[str] = ""
    tx_name: ClassVar[str] = ""
    fresh: bool

    def __init__(self) -> None:
        self.txs: list[Any] = []
        self.count = 0
        self.events: list[tuple[str, int]] = []
        self.failed_ts = self.failed_tc = False
        self.fed_ts = self.fed_tc = False
        """Bytes of a direction were parsed since rules were last evaluated."""
        self.trigger_ts = self.trigger_tc = False
        """A message is complete: the stream before it has to be inspected now."""
        self.changed = False
        """Another protocol follows; ``rest`` has its bytes so far."""
        self.rest: dict[bool, bytes] = {True: b"", False: b""}
        self.backlog = b""
        """Bytes of the last direction that are not parsed yet, because too many transactions wait for
        inspection."""

    def feed(self, toserver: bool, data: bytes, ts: float) -> None:
        """The next bytes of a direction."""
        raise NotImplementedError

    def gap(self, toserver: bool, size: int) -> None:
        """``size`` bytes of a direction were lost; by default, the parser stops parsing this direction."""
        if toserver:
            self.failed_ts = True
        else:
            self.failed_tc = True

    def end(self, toserver: bool, ts: float) -> None:
        """A direction has ended: incomplete messages count as far as they came."""

    def incomplete(self) -> bool:
        """Whether there are bytes that ``end`` would still parse."""
        return False

    def hurry(self) -> None:
        """The connection may have ended: let incomplete messages be inspected as far as they came."""

    def close(self) -> None:
        """The flow has ended: free the kept bytes."""
        self.txs.clear()

    def event(self, name: str, tx: int = -1) -> None:
        """Report an anomaly under Suricata's name."""
        if len(self.events) < 256:
            self.events.append((name, tx))

    def overflow(self) -> None:
        """Delete the oldest transactions if there are too many."""
        while len(self.txs) >= MAX_TRANSACTIONS:
            self.txs.pop(0).forget()
