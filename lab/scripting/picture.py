"""The picture of a lab in a notebook."""

from __future__ import annotations

from lab.access.client import Client
from lab.drawing.graphviz import render
from lab.drawing.running import of_lab
from lab.failure import Failure


def svg(lab: str) -> str | None:
    """A running lab as SVG, with what is down in red; None where no Graphviz is installed."""
    try:
        return render(of_lab(Client(lab))[1], "svg").decode()
    except Failure:
        return None
