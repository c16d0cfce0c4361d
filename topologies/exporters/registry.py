"""The formats of other tools that a topology can be written in, each with the module that writes it. Pure.

A new format is a module with a function ``write``, and one entry in ``EXPORTERS``.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from topologies.exporters.losses import Written
from topologies.model.topology import Topology


class Exporter(NamedTuple):
    """A file format: its name for ``--to``, and how the names of its files end.

    ``module`` has ``write(topology: Topology) -> Written``. It is imported when it is needed.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str

    def write(self, topology: Topology) -> Written:
        """The file, and what it can't say."""
        written: Written = import_module(self.module).write(topology)
        return written


_PACKAGE = "topologies.exporters"
EXPORTERS: list[Exporter] = [
    Exporter("containerlab", (".clab.yml", ".clab.yaml"), f"{_PACKAGE}.containerlab"),
    Exporter("mermaid", (".mmd", ".mermaid"), f"{_PACKAGE}.mermaid"),
    Exporter("graphml", (".graphml",), f"{_PACKAGE}.graphml"),
    Exporter("mininet", (".py",), f"{_PACKAGE}.mininet"),
]


def exporter_of(file: str) -> Exporter | None:
    """The exporter for a file with this name."""
    name = file.lower()
    return next((exporter for exporter in EXPORTERS if name.endswith(exporter.suffixes)), None)
