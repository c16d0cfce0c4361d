"""Commands about topology files: ``topologies``, ``validate``, ``graph``, ``schema``; and how a command finds
the file that the user names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import Json, usage
from lab.cli.say import count, err, out, out_json, paint, paint_err, table
from lab.failure import Exit, Failure
from topologies import shipped, untrusted
from topologies.importers import registry
from topologies.syntax.problem import nearest, printable

if TYPE_CHECKING:
    from topologies import Topology

MOST_BYTES = 4 << 20
"""Limit of a topology file's size; the loader has the same."""


def find(text: str, strict: bool = False) -> Path:
    """The file that the user names by a path, or by the name of a topology that comes with sdnlab.

    ``strict``: don't accept ``topologies/NAME.yaml`` for a topology that comes with sdnlab.  Raises Failure,
    with similar names, when there is no such file.
    """
    path = Path(text)
    if _is_something(path):
        return _in_folder(path) or path
    name = text.removeprefix("topologies/").removesuffix(".yaml")
    known = shipped.path(name)
    if "/" not in name and known.exists() and (name == text or not strict):
        if name != text:
            err(f"note: there is no {text} here; this is the one that comes with sdnlab")
        return known
    close = nearest(name, shipped.names()) or nearest(text, _beside(path))
    raise Failure(
        f"{printable(text)}: there is no such file"
        + ("" if "/" in text else ", and no such topology comes with sdnlab"),
        (f"did you mean {close}? " if close else "") + "see: sdnlab topologies",
    )


def _in_folder(path: Path) -> Path | None:
    """The file in a folder that is the lab of another tool, if there is exactly one."""
    try:
        names = [entry.name for entry in path.iterdir()] if path.is_dir() else []
    except OSError:
        return None
    known = [name for name in names if name.lower().endswith(registry.IN_FOLDERS)]
    return path / known[0] if len(known) == 1 else None


def _is_something(path: Path) -> bool:
    """Whether the path exists, even as a dangling link: the loader then reports what is wrong with it."""
    try:
        return path.exists() or path.is_symlink()
    except OSError:
        return True


def _beside(path: Path) -> list[str]:
    """The topology files in the folder of ``path``, as a user types them."""
    try:
        return [
            str(path.parent / entry.name)
            for entry in path.parent.iterdir()
            if entry.name.lower().endswith(registry.suffixes())
        ]
    except (OSError, ValueError):
        return []


def topologies_(json: Json = False) -> None:
    """List the topologies that come with sdnlab.

    'sdnlab up NAME' starts one. The comments in its file say what to try.
    """
    import topologies

    shipped_topologies = {name: topologies.load(shipped.path(name)) for name in shipped.names()}
    if json:
        out_json(
            [
                {
                    "name": name,
                    "file": str(shipped.path(name)),
                    "description": topology.description,
                    "switches": len(topology.switches),
                    "hosts": len(topology.nodes),
                }
                for name, topology in shipped_topologies.items()
            ]
        )
        return
    rows = [
        [name, str(len(topology.switches)), str(len(topology.nodes)), topology.description]
        for name, topology in shipped_topologies.items()
    ]
    out(table(["NAME", "SWITCHES", "HOSTS", "WHAT IT SHOWS"], rows, paint(), right=(1, 2)))
    out(f"\nstart one: sdnlab up quickstart; what to try is in its file, in {shipped.FOLDER}")


def complete_file(incomplete: str) -> list[str]:
    """Topology files and folders that begin with this text, and names of shipped topologies."""
    folder = Path(incomplete).parent if "/" in incomplete else Path()
    names = [name for name in shipped.names() if name.startswith(incomplete)]
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return names
    for path in entries:
        if not str(path).startswith(incomplete.removeprefix("./")):
            continue
        if path.is_dir() and not path.name.startswith("."):
            names.append(f"{path}/")
        elif path.name.lower().endswith(registry.suffixes()):
            names.append(str(path))
    return names


File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help=f"A topology file ({registry.formats()}), the name of a shipped one, or '-': standard input.",
        autocompletion=complete_file,
    ),
]


def content(file: str, strict: bool = False) -> tuple[str, bytes]:
    """The path and the content of a topology file, for the supervisor. Raises Failure if it can't be read.

    The supervisor itself can't read every file: its /run is its own, and a pipe belongs to us.  The content
    of a pipe has no folder, so files that it names are relative to the current folder.
    """
    if (described := _in_python(file)) is not None:
        return file, described
    number = untrusted.descriptor_of(file)
    path = find(file, strict) if number is None else Path(file)
    display_name = str(path) if number is None else "pipe" if number else "stdin"
    return display_name, outside_file(path, registry.allowed(), MOST_BYTES)


def _in_python(file: str) -> bytes | None:
    """The description of a topology in Python (``topo.py:NAME``), if the text names one. Raises Failure."""
    if ".py" not in file:
        return None
    from lab.mininet import evaluating

    wanted = evaluating.named(file)
    return evaluating.description(wanted) if wanted is not None else None


def outside_file(path: Path, allowed: str, limit: int) -> bytes:
    """The content of a file or pipe that the command line names. Raises Failure if it can't be read.

    ``allowed``: a text that says what may be named; ``limit`` in bytes.
    """
    try:
        return untrusted.read(path, limit, allowed, pipes=True, waiting=lambda: _waits_for(path))
    except untrusted.Unreadable as error:
        raise unreadable(path, error) from None


def _waits_for(path: Path) -> None:
    err(f"waiting for {printable(display_name(path))}; Ctrl-C ends it")


def display_name(path: Path) -> str:
    """The name of a file for messages."""
    return "standard input" if untrusted.descriptor_of(path) == 0 else str(path)


def unreadable(path: Path, error: untrusted.Unreadable) -> Failure:
    """The failure to read a file that the command line names."""
    return Failure(error.words(printable(display_name(path))), error.advice)


def validate(file: File, json: Json = False) -> None:
    """Check a topology file and report everything that is wrong with it, each with its line.

    Exits 0 when the file is right, 1 when it is not. No lab is started.
    """
    import topologies
    from lab.packets.declared import refuse_wrong

    try:
        topology = refuse_wrong(_loaded(file))
    except topologies.Invalid as invalid:
        if json:
            out_json(
                {"valid": False, "file": file, "problems": [_plain(problem) for problem in invalid.problems]}
            )
            raise typer.Exit(Exit.FAILED) from None
        for problem in invalid.problems:
            out(str(problem))
        err(f"{paint_err()('invalid', 'red')}: {count(len(invalid.problems), 'problem')} in {file}")
        raise typer.Exit(Exit.FAILED) from None
    kinds = (
        ("domain", "domains"),
        ("switch", "switches"),
        ("link", "links"),
        ("network", "networks"),
        ("host", "hosts"),
    )
    numbers = {plural: len(getattr(topology, plural)) for _, plural in kinds}
    numbers["hosts"] = len(topology.nodes)  # interfaces are hosts of the model
    if json:
        out_json(
            {
                "valid": True,
                "file": file,
                "name": topology.name,
                **numbers,
                "problems": [],
                "remarks": topologies.remarks(topology),
                "notes": [note._asdict() for note in topology.notes],
            }
        )
        return
    listing = ", ".join(count(numbers[plural], noun) for noun, plural in kinds)
    out(f"{paint()('valid', 'green')}: {topology.name} with {listing}")
    for remark in topologies.remarks(topology):
        out(f"note: {remark}")
    for note in topology.notes:
        err(str(note))


def _loaded(file: str) -> Topology:
    """Load a topology. Raises Invalid, also if the file can't be read; Failure if a pipe can't be read."""
    import topologies

    if (described := _in_python(file)) is not None:
        return topologies.loads(described, file)
    if untrusted.descriptor_of(file) is None and not (path := find(file)).is_fifo():
        return topologies.load(path)
    named, raw = content(file)
    return topologies.loads(raw, named)


def load(file: str) -> Topology:
    """The topology of the file that the user names; notes about the file of another tool go to standard
    error. Raises Failure if it can't be read or is invalid."""
    import topologies

    try:
        topology = _loaded(file)
    except topologies.Invalid as invalid:
        some = count(len(invalid.problems), "problem")
        raise Failure(f"{file} is invalid: {some}", f"to see them: sdnlab validate {file}") from None
    for note in topology.notes:
        err(str(note))
    return topology


def _plain(problem: object) -> dict[str, object]:
    fields = ("file", "line", "path", "message", "allowed", "remedy")
    return {name: getattr(problem, name, None) for name in fields}


def graph(
    file: File,
    json: Json = False,
    graphml: Annotated[
        bool, typer.Option("--graphml", help="Print GraphML, for programs that draw and analyse graphs.")
    ] = False,
) -> None:
    """Print the diameter of a topology, and the links and switches whose failure splits the network.

    --json and --graphml print the graph itself, with hosts and functions; --json uses the format of
    Cytoscape. No lab is started.

    Example: sdnlab graph leaf-spine
    """
    if json and graphml:
        raise usage("--json and --graphml are two formats", "choose one of them")
    topology = load(file)
    if json or graphml:
        from networkx import cytoscape_data, generate_graphml

        if json:
            out_json(cytoscape_data(topology.graph()))
        else:
            out("\n".join(generate_graphml(topology.graph())))
        return
    from topologies.model.graph import analysis

    facts = analysis(topology)
    parts = f"in {facts.parts} parts, " if facts.parts > 1 else ""
    out(f"{topology.name}: {parts}the diameter is {count(facts.diameter, 'link')}")
    for noun, plural, names in (("link", "links", facts.bridges), ("switch", "switches", facts.cut_switches)):
        if names:
            out(f"{plural} without which some switches don't reach each other: {', '.join(names)}")
        else:
            out(f"any {noun} may fail: the other switches still reach each other")


def schema() -> None:
    """Print the JSON schema of topology files, for editors.

    For VS Code with the YAML extension, run: sdnlab schema > sdnlab.schema.json

    Then begin a topology file with this line: # yaml-language-server: $schema=sdnlab.schema.json
    """
    import topologies

    out_json(topologies.schema())


COMMANDS = {
    "topologies": topologies_,
    "validate": validate,
    "graph": graph,
    "schema": schema,
}
