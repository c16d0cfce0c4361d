"""``sdnlab draw``: a picture of a topology file or of a running lab."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import Lab, client, usage
from lab.cli.files import complete_file, load
from lab.cli.output_file import put

if TYPE_CHECKING:
    from lab.access.client import Client
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
    name, picture = _of_file(file) if file is not None else _of_lab(client(lab))
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


def _of_lab(lab: Client) -> tuple[str, Picture]:
    from lab.drawing.running import of_lab

    return of_lab(lab)


COMMANDS = {"draw": draw}
