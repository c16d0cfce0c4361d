"""How often rules alert: ``threshold``, ``detection_filter``; and bits of addresses (``xbits``).

User guide "Thresholding Keywords" and "Xbits Keyword".  Policy: at most ``LIMIT`` entries; if there are more,
expired ones are deleted, and if none is expired, the oldest.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from nfv.ids.decode.packet import Packet
from nfv.ids.language.rule import Bit, Rule, Threshold

LIMIT = 65536

TELL, SILENT, SUPPRESSED = 1, 0, 2
"""Alert; nothing; no alert, but the action."""


ROOM = LIMIT // 16
"""How many entries are deleted together, so that not each new one searches all entries."""

Value = TypeVar("Value")


def _make_room(table: dict[tuple[Any, ...], Value], over: Callable[[Value], bool]) -> None:
    """Delete expired entries, or the oldest ones until there is room."""
    for key in [key for key, value in table.items() if over(value)]:
        del table[key]
    for key in list(islice(table, max(len(table) - LIMIT + ROOM, 0))):
        del table[key]


class _Entry:
    __slots__ = ("begin", "count", "ports", "seconds")

    def __init__(self, begin: float, seconds: float) -> None:
        self.begin = begin
        self.seconds = seconds
        self.count = 0
        self.ports: set[int] | None = None


class Thresholds:
    """Counts the matches of rules."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Any, ...], _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, rule: Rule, packet: Packet) -> int:
        """Whether this match gives an alert."""
        what = rule.threshold or rule.detection_filter
        if what is None:
            return TELL
        key = (rule.gid, rule.sid, *_track(what.track, packet))
        now = packet.ts
        entry = self._entries.get(key)
        if entry is None:
            entry = self._new(key, now, what.seconds)
        elif now - entry.begin > what.seconds:
            entry.begin, entry.count, entry.ports = now, 0, None
        if what.unique_on:
            return self._unique(entry, what, packet)
        entry.count += 1
        if what.kind == "limit":
            return TELL if entry.count <= what.count else SUPPRESSED
        if what.kind == "threshold":
            if entry.count >= what.count:
                entry.count = 0
                return TELL
            return SILENT
        if what.kind == "both":
            return TELL if entry.count == what.count else SUPPRESSED if entry.count > what.count else SILENT
        return TELL if entry.count > what.count else SILENT

    @staticmethod
    def _unique(entry: _Entry, what: Threshold, packet: Packet) -> int:
        if entry.ports is None:
            entry.ports = set()
        if len(entry.ports) <= what.count:
            entry.ports.add(packet.sp if what.unique_on == "src_port" else packet.dp)
        return TELL if len(entry.ports) > what.count else SILENT

    def _new(self, key: tuple[Any, ...], now: float, seconds: float) -> _Entry:
        if len(self._entries) >= LIMIT:
            _make_room(self._entries, lambda entry: now - entry.begin > entry.seconds)
        entry = self._entries[key] = _Entry(now, seconds)
        return entry


def _track(track: str, packet: Packet) -> tuple[Any, ...]:
    if track == "by_src":
        return ("s", packet.src)
    if track == "by_dst":
        return ("d", packet.dst)
    if track == "by_both":
        return ("b", *sorted((packet.src, packet.dst)))
    if track == "by_flow":
        return ("f", packet.flow.id if packet.flow else 0)
    return ("r",)


class AddressBits:
    """Bits on addresses with their time of expiry."""

    def __init__(self) -> None:
        self._until: dict[tuple[Any, ...], float] = {}

    @staticmethod
    def _key(bit: Bit, packet: Packet) -> tuple[Any, ...]:
        if bit.track == "ip_src":
            return (bit.names[0], packet.src)
        if bit.track == "ip_dst":
            return (bit.names[0], packet.dst)
        return (bit.names[0], *sorted((packet.src, packet.dst)))

    def isset(self, bit: Bit, packet: Packet) -> bool:
        """Is it set, and not expired?"""
        return self._until.get(self._key(bit, packet), -1.0) >= packet.ts

    def apply(self, bit: Bit, packet: Packet) -> None:
        """Set, unset or toggle."""
        key = self._key(bit, packet)
        if bit.command == "unset" or (bit.command == "toggle" and self.isset(bit, packet)):
            self._until.pop(key, None)
            return
        if len(self._until) >= LIMIT:
            _make_room(self._until, lambda until: until < packet.ts)
        self._until[key] = packet.ts + bit.expire
