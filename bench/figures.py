"""What a measurement gives: samples side by side, their medians, and ratios against a target. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """One contestant's samples of one quantity, in ``unit`` (``s``, ``ms``, ``MB`` or a plain count)."""

    name: str
    samples: tuple[float, ...]
    unit: str = "s"
    note: str = ""

    @property
    def median(self) -> float:
        return median(self.samples)


@dataclass(frozen=True)
class Ratio:
    """A quotient that was aimed at: ``at_least`` or ``at_most`` ``target``."""

    name: str
    value: float
    target: float
    at_least: bool = True

    @property
    def reached(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True)
class Growth:
    """How ``what`` (in ``unit``) grows with ``size``: points of size and value, by size."""

    what: str
    size: str
    points: tuple[tuple[int, float], ...]
    unit: str = "s"

    def as_mermaid(self) -> str:
        """A line chart that Markdown viewers with Mermaid draw."""
        sizes = ", ".join(str(size) for size, _ in self.points)
        values = ", ".join(f"{value:.3g}" for _, value in self.points)
        return "\n".join(
            [
                "```mermaid",
                "xychart-beta",
                f'  title "{self.what}"',
                f'  x-axis "{self.size}" [{sizes}]',
                f'  y-axis "{self.unit}"',
                f"  line [{values}]",
                "```",
            ]
        )


@dataclass
class Figure:
    """One measurement's result. ``notes`` say what a reader must know to judge it."""

    title: str
    rows: list[Row] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)

    def row(self, name: str, samples: Sequence[float], unit: str = "s", note: str = "") -> Row:
        """Add a row and give it back."""
        row = Row(name, tuple(samples), unit, note)
        self.rows.append(row)
        return row

    def faster(self, name: str, peer: Row, ours: Row, at_least: float) -> None:
        """Ours should be at least so many times faster than the peer."""
        self.ratios.append(Ratio(name, peer.median / ours.median, at_least, True))

    def within(self, name: str, ours: Row, limit: Row, at_most: float) -> None:
        """Ours should be at most so many times the limit."""
        self.ratios.append(Ratio(name, ours.median / limit.median, at_most, False))

    def as_json(self) -> dict[str, Any]:
        """The figure as plain values, for a JSON file."""
        return {
            "title": self.title,
            "rows": [
                {"name": r.name, "unit": r.unit, "median": r.median, "samples": r.samples, "note": r.note}
                for r in self.rows
            ],
            "ratios": [
                {
                    "name": r.name,
                    "value": r.value,
                    "target": r.target,
                    "kind": "at least" if r.at_least else "at most",
                    "reached": r.reached,
                }
                for r in self.ratios
            ],
            "notes": self.notes,
            "growths": [
                {"what": g.what, "size": g.size, "unit": g.unit, "points": g.points} for g in self.growths
            ],
        }


def number(value: float) -> str:
    """Three significant digits, without exponents."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def text(figure: Figure) -> str:
    """The figure for people: a Markdown section, so that it can be pasted into README.md."""
    lines = [
        f"### {figure.title}",
        "",
        "| what | median | least … most | runs |",
        "| --- | ---: | ---: | ---: |",
    ]
    for r in figure.rows:
        name = f"{r.name} ({r.note})" if r.note else r.name
        span = f"{number(min(r.samples))} … {number(max(r.samples))}"
        lines.append(f"| {name} | {number(r.median)} {r.unit} | {span} | {len(r.samples)} |")
    if figure.ratios:
        lines += ["", "| ratio | | aimed at | |", "| --- | ---: | ---: | --- |"]
    for ratio in figure.ratios:
        kind = "at least" if ratio.at_least else "at most"
        verdict = "reached" if ratio.reached else "**not reached**"
        lines.append(f"| {ratio.name} | {number(ratio.value)} | {kind} {number(ratio.target)} | {verdict} |")
    for growth in figure.growths:
        lines += ["", growth.as_mermaid()]
    lines += [""] + [f"- {note}" for note in figure.notes] + ([""] if figure.notes else [])
    return "\n".join(lines)
