"""Checks names and descriptions. Pure."""

from __future__ import annotations

from topologies.model import names
from topologies.resolve import ambiguous_names
from topologies.syntax.problem import Path, Report, shown
from topologies.syntax.specification import File


def check(spec: File, report: Report) -> None:
    """Report texts that cannot be names, ambiguous names, and descriptions with control characters."""
    if spec.name is not None:
        _check_name(("name",), spec.name, report)
    if not _showable(spec.description):
        what, remedy = "has control characters", "remove them"
        report.add(("description",), what, "text, with line ends and tabs", remedy)
    for section in (
        "controllers", "domains", "networks", "switches", "hosts", "routers", "groups", "functions", "chains",
    ):  # fmt: skip
        for name in getattr(spec, section) or ():
            _check_name((section, name), name, report)
    ambiguous_names.check(spec, report)


def _showable(text: str | None) -> bool:
    """Whether a terminal can show a description: it has no control characters."""
    return all(c.isprintable() or c in "\n\t" for c in text or "")


def _check_name(path: Path, name: str, report: Report) -> None:
    if not names.is_name(name):
        plain = names.slug(name, names.MAX_LENGTH)
        what = f"{shown(name)} cannot be a name" if name else "a name is empty"
        report.add(path, what, names.ALLOWED, f"call it {plain}" if plain else "")
