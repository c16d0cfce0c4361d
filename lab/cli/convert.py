"""``sdnlab convert``: a topology file in another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.common import Json, usage
from lab.cli.files import File, find, load
from lab.cli.output_file import put
from lab.cli.say import err, out_json
from lab.failure import Failure
from topologies import untrusted

if TYPE_CHECKING:
    from topologies import Topology
    from topologies.exporters.losses import Written

YAML, DOT = "yaml", "dot"
_SUFFIXES = {
    "yaml": ".yaml, .yml",
    "containerlab": ".clab.yml",
    "mermaid": ".mmd",
    "dot": ".dot, .gv",
    "graphml": ".graphml",
    "mininet": ".py",
}
"""Format -> how the names of its files end, for people."""


def complete_format(incomplete: str) -> list[str]:
    """Names of formats."""
    return [name for name in _SUFFIXES if name.startswith(incomplete)]


def convert(
    file: File,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="Write this file; its name says the format."),
    ] = "-",
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help=f"{', '.join(_SUFFIXES)}. Default: what the name of the file says, else yaml.",
            autocompletion=complete_format,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write a topology file in another format: sdnlab's own, or that of another tool.

    Reads sdnlab's YAML, MiniEdit (.mn), containerlab (.clab.yml), Kathará (lab.conf), netlab (topology.yml)
    and GraphML. 'up', 'verify', 'draw' and others read all of these directly, too.

    Writes .yaml (sdnlab), .clab.yml (containerlab), .mmd (Mermaid), .dot (Graphviz), .graphml, and .py (a
    script for Mininet). What a lab has otherwise than the file says, and what the new file can't say, is
    listed on standard error, each with its line.

    Examples: sdnlab convert lab.conf -o lab.yaml, sdnlab convert quickstart --to mermaid
    """
    form = to if to is not None else _form(output)
    if form not in _SUFFIXES:
        raise usage(f"{form} is no format", f"allowed: {', '.join(_SUFFIXES)}")
    topology = load(file)
    written = _written(topology, form, file)
    if json:
        _report(file, form, output, topology, written)
        return
    for loss in written.losses:
        err(loss)
    put(written.text.encode(), output)


def _report(file: str, form: str, output: str, topology: Topology, written: Written) -> None:
    answer: dict[str, Any] = {
        "file": file,
        "format": form,
        "output": None if output == "-" else output,
        "notes": [note._asdict() for note in topology.notes],
        "losses": list(written.losses),
    }
    if output == "-":
        answer["text"] = written.text
    else:
        put(written.text.encode(), output)
    out_json(answer)


def _form(output: str) -> str:
    """The format that the name of the new file says."""
    from topologies.exporters.registry import exporter_of

    name = output.lower()
    exporter = exporter_of(name)
    if exporter is not None:
        return exporter.name
    if name.endswith((".dot", ".gv")):
        return DOT
    if output == "-" or name.endswith((".yaml", ".yml")):
        return YAML
    allowed = "; ".join(f"{form}: {suffixes}" for form, suffixes in _SUFFIXES.items())
    raise usage(f"the name {output} does not say which format it has", f"end it so, or use --to ({allowed})")


def _written(topology: Topology, form: str, file: str) -> Written:
    from topologies.exporters.losses import Written
    from topologies.exporters.registry import EXPORTERS

    if form == DOT:
        from lab.drawing.description import describe

        return Written(describe(topology).text)
    if form == YAML:
        return _yaml(topology, file)
    return next(exporter for exporter in EXPORTERS if exporter.name == form).write(topology)


def _yaml(topology: Topology, file: str) -> Written:
    """The topology file, with the notes of the other tool's file as comments in its head."""
    from topologies.exporters.losses import Written
    from topologies.saving import text
    from topologies.saving.unwritable import Unwritable

    try:
        whole = text(topology, _folder(file))
    except Unwritable as error:
        raise Failure(f"{topology.name} can't be written: {error.what}", error.remedy) from None
    head = "".join(f"# {note}\n" for note in topology.notes)
    return Written(head + whole)


def _folder(file: str) -> str:
    """The folder of a topology file; that of a pipe is the current one."""
    is_pipe = untrusted.descriptor_of(file) is not None or ".py" in file  # which names no file beside it
    return str(Path.cwd() if is_pipe else find(file).resolve().parent)


COMMANDS = {"convert": convert}
