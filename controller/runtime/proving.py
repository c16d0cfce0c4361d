"""Proves all pairs of hosts by computation, on the tables that the switches say they hold.

The tables are computed on while switches still connect, in the thread that has compiled them. When all
switches are programmed, each is asked for all that it holds, and that is compared with these tables.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from controller.messages import Computed, Event, TablesHeld
from controller.proof.held import Comparing
from controller.proof.links import crossings
from controller.proof.pairs import prove, ring
from topologies.model.choices import SDNLAB

if TYPE_CHECKING:
    from controller.flow.tables import Group, SwitchTables
    from controller.runtime.exchange import Parts
    from topologies.model.topology import Topology

MOST_WRONG = 2000
"""An event names no more wrong pairs."""
_DEEP = 12_000
"""Python's calls within one another: a path of ``MOST_SWITCHES`` needs so many."""
Answered = Callable[[str, "Parts", "tuple[Group, ...]"], None]
Failed = Callable[[str, str], None]


class Asks(Protocol):
    """Asks a switch for all its flows and groups; later, exactly one of the functions is called."""

    def __call__(self, switch: str, answered: Answered, failed: Failed) -> None: ...


class Proving:
    """Proves the first intent. ``emit`` gets the events, from any thread; ``over`` is called when the
    switches have answered and all that is to be computed is at least begun."""

    def __init__(self, emit: Callable[[Event], None], over: Callable[[], None]) -> None:
        self._emit, self._over = emit, over
        self._lock = threading.RLock()
        self._number = 0
        self._tables: Mapping[str, SwitchTables] = {}
        self._listing: _Listing | None = None
        self._concluded = False

    def compute(self, topology: Topology, tables: Mapping[str, SwitchTables], down: frozenset[str]) -> None:
        """Compute on these tables. Any thread."""
        own = {switch.name for switch in topology.switches if switch.controller == SDNLAB}
        with self._lock:
            number = self._next({name: held for name, held in tables.items() if name in own})
            self._conclude()
        self._compute(number, topology, down)

    def _next(self, tables: Mapping[str, SwitchTables]) -> int:
        self._number += 1
        self._tables = tables
        return self._number

    def _compute(self, number: int, topology: Topology, down: frozenset[str]) -> None:
        began, tables = time.perf_counter(), self._tables
        usual = sys.getrecursionlimit()
        sys.setrecursionlimit(max(usual, _DEEP))
        try:
            event = computed(number, topology, tables, down, began)
        except Exception as problem:  # packets prove all pairs then
            why = f"{type(problem).__name__}: {problem}"
            event = Computed(number, time.perf_counter() - began, failed=why)
        finally:
            sys.setrecursionlimit(usual)
        self._emit(event)

    def programmed(
        self, topology: Topology, wanted: Mapping[str, SwitchTables], down: frozenset[str], asks: Asks
    ) -> None:
        """All switches hold ``wanted``, as far as they have confirmed: ask them, the first time."""
        if self._listing is not None:
            return
        listing = self._listing = _Listing(topology, wanted, down, set(wanted))
        comparing = Comparing()

        def answered(switch: str, bodies: Parts, groups: tuple[Group, ...]) -> None:
            try:
                lines = list(comparing.differences(wanted[switch], bodies, groups))
            except (ValueError, IndexError) as problem:
                lines = [f"its list is unreadable: {problem}"]
            heard(switch, lines)

        def failed(switch: str, why: str) -> None:
            heard(switch, [f"it did not say what it holds: {why}"])

        def heard(switch: str, lines: list[str]) -> None:
            with self._lock:
                listing.differences += [f"{switch}: {line}" for line in lines]
                listing.waiting.discard(switch)
                self._conclude()

        for name in wanted:
            asks(name, answered, failed)
        with self._lock:
            self._conclude()

    def _conclude(self) -> None:
        """Say what the switches hold, when they all have answered and the first tables are known."""
        listing = self._listing
        if listing is None or listing.waiting or not self._number or self._concluded:
            return
        self._concluded = True
        wanted = listing.wanted
        if wanted.keys() != self._tables.keys() or any(
            self._tables[name] is not held for name, held in wanted.items()
        ):  # a link went down or came up after the first tables were compiled
            task = self._next(wanted), listing.topology, listing.down
            threading.Thread(target=self._compute, args=task, daemon=True, name="proof").start()
        flows = sum(len(held.flows) for held in wanted.values())
        self._emit(TablesHeld(self._number, flows, tuple(listing.differences[:MOST_WRONG])))
        self._over()


@dataclass
class _Listing:
    """What switches say that they hold. ``waiting``: those that have not answered."""

    topology: Topology
    wanted: Mapping[str, SwitchTables]
    down: frozenset[str]
    waiting: set[str]
    differences: list[str] = field(default_factory=list)


def computed(
    number: int,
    topology: Topology,
    tables: Mapping[str, SwitchTables],
    down: frozenset[str],
    began: float,
) -> Computed:
    """The event about these tables."""
    proof, batches = prove(topology, tables, down)
    frames = crossings(topology, batches, down)
    return Computed(
        number,
        time.perf_counter() - began,
        proof.proven.get(4, 0),
        proof.proven.get(6, 0),
        proof.apart,
        tuple([tuple(pair) for pair in proof.wrong[:MOST_WRONG]]),
        tuple(proof.left),
        proof.why,
        tuple(ring(topology, batches, proof)),
        tuple([tuple(crossing) for crossing in frames.all]),
        tuple(frames.unused),
    )
