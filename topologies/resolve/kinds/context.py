"""What the resolution of one function may look at, beside what the file says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from topologies.model.values import Port
from topologies.resolve.address_book import Book
from topologies.resolve.service_addresses import Filled, Lab, Stations
from topologies.syntax.problem import Report


@dataclass(frozen=True)
class Context:
    """The rest of the file, and what was chosen already. ``port``: gives an instance (or a balancer) the
    switch port of a side (``in``, ``out``, ``at``). ``report`` takes problems.
    ``switch``: the known one that the function is attached to."""

    lab: Lab
    stations: Stations
    filled: Filled
    book: Book
    port: Callable[[str, str], Port]
    report: Report
    switch: str | None = None
