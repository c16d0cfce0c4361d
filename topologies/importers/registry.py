"""The formats of other tools that a topology file may have, each with the module that reads it.

A new format is a module with a function ``read``, and one entry in ``IMPORTERS``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from topologies.syntax.document import Node
    from topologies.syntax.problem import Report

YAML = (".yaml", ".yml")
"""The file names of sdnlab's own format end like this. A file that no importer recognises is read as YAML."""


class Importer(NamedTuple):
    """A file format. A file has it when its name ends with one of ``suffixes``, or its content begins, after
    white space, with one of ``signatures``.

    ``module`` has ``read(raw: bytes, report: Report) -> Node``: the tree of a YAML file that describes
    the same network. Problems go to the report, with their lines; it raises ``document.Fatal`` where it
    cannot go on. The module is imported when it is needed.
    """

    name: str
    suffixes: tuple[str, ...]
    signatures: tuple[bytes, ...]
    module: str

    def read(self, raw: bytes, report: Report) -> Node:
        """The tree of a file; problems go to ``report``."""
        tree: Node = import_module(self.module).read(raw, report)
        return tree


IMPORTERS: list[Importer] = [
    Importer("GraphML", (".graphml", ".xml"), (b"<?xml", b"<graphml"), "topologies.importers.graphml"),
]


def importer_of(file: str, raw: bytes) -> Importer | None:
    """The importer for a file with this name and content; None for YAML."""
    name, content = file.lower(), raw.lstrip()
    for importer in IMPORTERS:
        if name.endswith(importer.suffixes) or content.startswith(importer.signatures):
            return importer
    return None


def suffixes() -> tuple[str, ...]:
    """The suffixes of all topology files."""
    return YAML + tuple(suffix for importer in IMPORTERS for suffix in importer.suffixes)


def formats() -> str:
    """All formats of topology files, in words: "YAML or GraphML"."""
    names = ["YAML", *(importer.name for importer in IMPORTERS)]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def allowed() -> str:
    """What a topology file may be, in words: "a YAML or GraphML file"."""
    return f"a {formats()} file"
