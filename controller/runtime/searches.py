"""Searches for addresses that nobody is known to have, and the stations that wait for the answers."""

from __future__ import annotations

from topologies.model.topology import Port

Wanted = tuple[str, int, int]
"""An address: its network, IP version and value."""
Asker = tuple[int, int]
"""Who asked: its MAC and IP address."""


class Searches:
    """At most ``most`` addresses are searched for at a time, each once in ``interval`` seconds."""

    def __init__(self, interval: float, most: int) -> None:
        self._interval, self._most = interval, most
        self._began: dict[Wanted, float] = {}
        self._askers: dict[Wanted, dict[Port, Asker]] = {}

    def __len__(self) -> int:
        return len(self._began)

    def join(self, wanted: Wanted, port: Port, asker: Asker, now: float) -> bool:
        """Whether a search for this address has begun within the interval; then ``asker`` waits for it,
        too."""
        began = self._began.get(wanted)
        if began is None or now - began >= self._interval:
            return False
        if wanted in self._askers:
            self._askers[wanted][port] = asker
        return True

    def begin(self, wanted: Wanted, port: Port, asker: Asker, now: float) -> bool:
        """Begin a search for an address, for which ``asker`` waits; False: too many searches are open."""
        for old in [key for key, began in self._began.items() if now - began >= 5 * self._interval]:
            del self._began[old]
            self._askers.pop(old, None)
        if len(self._began) >= self._most:
            return False
        self._began[wanted] = now
        self._askers[wanted] = {port: asker}
        return True

    def end(self, wanted: Wanted) -> dict[Port, Asker]:
        """The stations that wait for this address, which is known now; they are removed."""
        return self._askers.pop(wanted, {})

    def clear(self) -> None:
        """Forget all."""
        self._began.clear()
        self._askers.clear()
