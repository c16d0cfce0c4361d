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
"""How names of files in sdnlab's own format end. What no importer recognises is read as such."""


class Importer(NamedTuple):
    """A format. A file has it when its name ends with one of ``suffixes``, or its content begins with one of
    ``signatures``, after white space.

    ``module`` has ``read(raw: bytes, report: Report) -> Node``: the tree that a YAML file of the same network
    would give. What is wrong goes to the report, with its line. It raises ``document.Fatal`` where
    nothing more can be said. It is imported when it is needed.
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
    """The importer for a file with this name and content; None: it is YAML."""
    name, content = file.lower(), raw.lstrip()
    for importer in IMPORTERS:
        if name.endswith(importer.suffixes) or content.startswith(importer.signatures):
            return importer
    return None


def suffixes() -> tuple[str, ...]:
    """How the names of all topology files end."""
    return YAML + tuple(suffix for importer in IMPORTERS for suffix in importer.suffixes)


def formats() -> str:
    """All formats of topology files, in words: "YAML or GraphML"."""
    names = ["YAML", *(importer.name for importer in IMPORTERS)]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def allowed() -> str:
    """What may stand where a topology file is named: "a YAML or GraphML file"."""
    return f"a {formats()} file"
