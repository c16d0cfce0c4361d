"""What the resolution of a function may use besides its own keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from topologies.model.values import Port
from topologies.resolve.address_book import Book
from topologies.resolve.service_addresses import Filled, Lab, Stations
from topologies.syntax.problem import Report


@dataclass(frozen=True)
class Context:
    """The rest of the file, and what is chosen already.

    ``port``: from the name of an instance or load balancer, and a side (``in``, ``out``, ``at``), to its
    switch port. ``report`` collects problems. ``switch``: the switch that the function is attached to, if
    it names one that exists.
    """

    lab: Lab
    stations: Stations
    filled: Filled
    book: Book
    port: Callable[[str, str], Port]
    report: Report
    switch: str | None = None
