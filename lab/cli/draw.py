"""``sdnlab draw``: a picture of a topology file or of a running lab."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.common import Lab, client, usage
from lab.cli.files import complete_file, load
from lab.cli.output_file import put

if TYPE_CHECKING:
    from lab.drawing.description import Picture

FORMATS = ("svg", "png", "dot")

DrawnFile = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]",
        help="A topology file, or the name of a shipped one; left out: the running lab as it is now.",
        autocompletion=complete_file,
    ),
]


def draw(
    file: DrawnFile = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="FILE.svg, FILE.png or FILE.dot (Graphviz's language); '-': SVG to standard output. "
            "Default: NAME.svg.",
        ),
    ] = None,
    lab: Lab = None,
) -> None:
    """Draw a topology: switches, hosts, functions, domains as boxes, chains as coloured ways.

    Hosts have the colour of their network. In a running lab, links that are cut and hosts, switches and
    functions that are down are red. Graphviz draws the pictures (package graphviz).

    Example: sdnlab draw service-chain -o chain.svg
    """
    if file is not None and lab is not None:
        raise usage("a file and a lab are two things to draw", "leave one of them out")
    form = PurePath(output or "").suffix.removeprefix(".").lower() if output not in (None, "-") else "svg"
    if form not in FORMATS:
        allowed = ", ".join(f".{name}" for name in FORMATS)
        raise usage(f"{output} does not say which form the picture has", f"its name ends in one of {allowed}")
    name, picture = _of_file(file) if file is not None else of_lab(client(lab))
    target = output if output is not None else f"{name}.svg"
    if form == "dot":
        put(picture.text.encode(), target)
        return
    from lab.drawing.graphviz import render

    put(render(picture, form), target)


def _of_file(file: str) -> tuple[str, Picture]:
    from lab.drawing.description import describe

    topology = load(file)
    return topology.name, describe(topology)


def of_lab(lab: Any) -> tuple[str, Picture]:
    """The name of a running lab, and its picture. ``lab``: its ``Client``."""
    from lab.drawing.description import describe
    from topologies.model.topology import Topology

    topology = Topology.model_validate(lab.get("/topology"))
    status = lab.get("/status")
    cut = {link for link, up in lab.get("/links").items() if not up}
    bad = {part["name"] for part in (*status["switches"], *status["hosts"]) if not part["up"]}
    for function in status["functions"]:
        for instance in function["instances"]:
            if instance["state"] in ("failed", "dead", "stopped") or instance["health"] == "failed":
                bad.add(instance["name"])
    return status["name"], describe(topology, cut, bad)


COMMANDS = {"draw": draw}
