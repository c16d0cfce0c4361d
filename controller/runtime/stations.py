"""Learned stations, with indexes by key, port and address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from topologies.model.topology import Port
from wire.mac import mac_text

Key = tuple[str, int]
"""A station: its network and MAC address."""
Owned = tuple[str, int, int]
"""An address: its network, IP version and value."""


@dataclass(frozen=True, slots=True)
class Station:
    """An end system that the file does not have, learned from its own packets."""

    network: str
    port: Port
    mac: int
    ipv4: tuple[int, ...] = ()
    ipv6: tuple[int, ...] = ()


class Stations:
    """All learned stations. ``changed``: a station was added, changed or removed.

    ``seen``: when a station was last heard (seconds); ``at``: port -> its stations; ``owners``: address ->
    MAC.
    """

    def __init__(self) -> None:
        self.changed = False
        self.by_key: dict[Key, Station] = {}
        self.seen: dict[Key, float] = {}
        self.at: dict[Port, set[Key]] = {}
        self.owners: dict[Owned, int] = {}
        self._look_at = 0.0

    def put(self, key: Key, station: Station | None) -> None:
        """Set, replace or remove a station, in all indexes."""
        old = self.by_key.pop(key, None)
        if old is not None:
            self.at[old.port].discard(key)
            for owned in _owned(old):
                del self.owners[owned]
        if station is not None:
            self.by_key[key] = station
            self.at.setdefault(station.port, set()).add(key)
            for owned in _owned(station):
                self.owners[owned] = station.mac
        self.changed = True

    def forget(self, key: Key) -> None:
        """Remove a station, also from ``seen``."""
        self.put(key, None)
        del self.seen[key]

    def hear(self, key: Key, now: float, idle: float) -> None:
        """A station was heard: it is not ``due`` for the next ``idle`` seconds."""
        if not self.seen:
            self._look_at = now + idle
        self.seen[key] = now

    def restored(self, now: float, idle: float) -> None:
        """The present stations are an earlier controller's, and count as heard at the time ``now``."""
        self._look_at = now + idle
        self.changed = False

    def due(self, now: float, idle: float) -> list[Station]:
        """The stations that were silent for ``idle`` seconds."""
        if now < self._look_at or not self.seen:
            return []
        self._look_at = min(self.seen.values()) + idle
        return [self.by_key[key] for key, seen in self.seen.items() if now - seen >= idle]

    def next_due(self) -> float | None:
        """When to call `due` again (sometimes too early, never too late); None without stations."""
        return self._look_at if self.seen else None


class Facts(NamedTuple):
    """A station in words: where it is, and its addresses."""

    network: str
    switch: str
    port: int
    mac: str
    addresses: tuple[str, ...]


def facts(station: Station) -> Facts:
    """A station in words."""
    addresses = (*(address_text(4, a) for a in station.ipv4), *(address_text(6, a) for a in station.ipv6))
    port = station.port
    return Facts(station.network, port.switch, port.number, mac_text(station.mac), addresses)


def without(station: Station, family: int, address: int) -> Station:
    """The station when another has one of its addresses; ``family``: the IP version."""
    if family == 4:
        return replace(station, ipv4=tuple(a for a in station.ipv4 if a != address))
    return replace(station, ipv6=tuple(a for a in station.ipv6 if a != address))


def _owned(station: Station) -> list[Owned]:
    return [(station.network, 4, a) for a in station.ipv4] + [(station.network, 6, a) for a in station.ipv6]


def address_text(family: int, address: int) -> str:
    """An address of this IP version as people write it."""
    return str(IPv4Address(address) if family == 4 else IPv6Address(address))
