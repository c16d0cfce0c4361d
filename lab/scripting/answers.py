"""Answers of a lab as objects: they print as text, show as tables in notebooks, and are true or false."""

from __future__ import annotations

from dataclasses import dataclass

from lab.messages.lab import Pair, PingResult
from lab.messages.services import Applied
from lab.scripting.tables import table


@dataclass(frozen=True)
class Ping:
    """The result of a test of pairs. It is true when every pair is reached that should be, and no other.

    ``raw``: the answer as in ``lab.messages.lab.PingResult``.
    """

    raw: PingResult

    def __bool__(self) -> bool:
        return self.raw["good"]

    @property
    def total(self) -> int:
        """How many pairs were tested; each direction and each address family counts."""
        return self.raw["total"]

    @property
    def reached(self) -> int:
        """How many of them were reached."""
        return self.raw["reached"]

    @property
    def failed(self) -> list[Pair]:
        """The pairs that were not reached but should be, and those that were reached but should not be."""
        return [pair for pair in self.raw["pairs"] if pair["reached"] == bool(pair["policy"])]

    def __str__(self) -> str:
        counts = ", ".join(f"IPv{c['family']} {c['reached']}/{c['total']}" for c in self.raw["counts"])
        text = f"{self.reached} of {self.total} reached ({counts})"
        if self.raw["links_down"]:
            text += f"; links that are down: {', '.join(self.raw['links_down'])}"
        return "\n".join([text, *(f"  {_words(pair)}" for pair in self.failed[:_SHOWN])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            (
                pair["src"],
                pair["dst"],
                f"IPv{pair['family']}",
                "reached" if pair["reached"] else "not reached",
                "" if pair["rtt"] is None else f"{pair['rtt'] * 1000:.2f}",
                pair["policy"] or pair["reason"],
            )
            for pair in self.raw["pairs"]
        ]
        return f"<p>{self.reached} of {self.total} reached</p>" + table(
            ("from", "to", "family", "result", "ms", "why"), rows
        )


_SHOWN = 12


def _words(pair: Pair) -> str:
    why = f"reached, in spite of {pair['policy']}" if pair["reached"] else pair["reason"]
    return f"{pair['src']} -> {pair['dst']} IPv{pair['family']}: {why}"


@dataclass(frozen=True)
class Change:
    """The result of ``apply``, ``scale``. It is true when the lab has changed.

    ``raw``: the answer as in ``lab.messages.services.Applied``.
    """

    raw: Applied

    def __bool__(self) -> bool:
        return self.raw["applied"]

    @property
    def notes(self) -> list[str]:
        """Errors after the change was complete."""
        return self.raw["notes"]

    def __str__(self) -> str:
        words = [str(change) for change in self.raw["changes"]]
        return "\n".join([f"{len(words)} changes" if words else "nothing changes", *words, *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        columns = tuple(dict.fromkeys(key for change in self.raw["changes"] for key in change))
        rows = [[dict(change).get(column) for column in columns] for change in self.raw["changes"]]
        return table(columns, rows)
