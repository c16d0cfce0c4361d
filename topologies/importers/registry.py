"""The formats of other tools that a topology file may have, each with the module that reads it.

A new format is a module with a function ``read``, and one entry in ``IMPORTERS``.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from topologies.importers.beside import Beside, Nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from topologies.syntax.document import Node
    from topologies.syntax.problem import Report

YAML = (".yaml", ".yml")
"""The file names of sdnlab's own format end like this. A file that no importer recognises is read as YAML."""
IN_FOLDERS = ("lab.conf", "topology.yml", ".clab.yml", ".clab.yaml", ".mn")
"""A folder with one file whose name ends like this is that lab: other tools start it by its folder."""
_HEAD = 64 * 1024
"""Bytes of a file in which its format shows."""
_KEY = re.compile(rb"^([A-Za-z_][A-Za-z0-9_]*)[A-Za-z0-9_.]*[ \t]*:(?:[ \t\r]|$)", re.MULTILINE)
_DEVICE = re.compile(
    rb"""^[A-Za-z0-9_.-]+\[[0-9]{1,4}\]\s*=\s*["']?[A-Za-z0-9_./:-]+["']?\s*$""", re.MULTILINE
)
"""A line that only Kathará's files have: ``pc1[0]="A"``."""
_SECTION = re.compile(rb"""["'](?:application|controllers|switches|hosts|links)["']\s*:\s*[\[{]""")
_OPTION = re.compile(rb"""["'](?:opts|nodeNum|number)["']\s*:""")
"""Texts that MiniEdit's files have."""
_OURS = frozenset((b"switches", b"hosts", b"domains", b"networks"))


class Importer(NamedTuple):
    """A file format. A file has it when its name ends with one of ``suffixes``, or its content begins, after
    white space, with one of ``signatures``, or ``recognises`` says so of its name and its first bytes.

    ``module`` has ``read(raw: bytes, report: Report) -> Node``: the tree of a YAML file that describes
    the same network; with ``beside`` it gets the folder of the file as a third argument. Problems go to the
    report, with their lines; it raises ``document.Fatal`` where it cannot go on. What the lab has otherwise
    than the file says becomes notes. The module is imported when it is needed.
    """

    name: str
    suffixes: tuple[str, ...]
    signatures: tuple[bytes, ...]
    module: str
    beside: bool = False
    recognises: Callable[[str, bytes], bool] | None = None

    def read(self, raw: bytes, report: Report, beside: Beside | None = None) -> Node:
        """The tree of a file; problems go to ``report``. ``beside``: its folder."""
        read = import_module(self.module).read
        tree: Node = read(raw, report, beside or Nothing()) if self.beside else read(raw, report)
        return tree


def _keys(content: bytes) -> set[bytes]:
    """The keys of a YAML file itself, as far as they stand at the beginnings of lines."""
    return set(_KEY.findall(content))


def _is_containerlab(name: str, content: bytes) -> bool:
    keys = _keys(content)
    if content.startswith(b"{"):
        return re.search(rb'"topology"\s*:\s*\{', content) is not None and b'"nodes"' in content
    return b"topology" in keys and not keys & _OURS


def _is_netlab(name: str, content: bytes) -> bool:
    keys = _keys(content)
    nodes = b"nodes" in keys or (b"groups" in keys and b"_auto_create" in content)
    return nodes and not keys & _OURS


def _is_kathara(name: str, content: bytes) -> bool:
    return name.rpartition("/")[2] == "lab.conf" or (
        not name.endswith(YAML) and _DEVICE.search(content) is not None
    )


def _is_miniedit(name: str, content: bytes) -> bool:
    return (
        content.startswith(b"{")
        and _SECTION.search(content) is not None
        and _OPTION.search(content) is not None
    )


_PACKAGE = "topologies.importers"
IMPORTERS: list[Importer] = [
    Importer("GraphML", (".graphml", ".xml"), (b"<?xml", b"<graphml"), f"{_PACKAGE}.graphml"),
    Importer("MiniEdit", (".mn",), (), f"{_PACKAGE}.miniedit", True, _is_miniedit),
    Importer(
        "containerlab", (".clab.yml", ".clab.yaml"), (), f"{_PACKAGE}.containerlab", True, _is_containerlab
    ),
    Importer("Kathará", ("lab.conf",), (), f"{_PACKAGE}.kathara", True, _is_kathara),
    Importer("netlab", (), (), f"{_PACKAGE}.netlab", True, _is_netlab),
    Importer("Python (Mininet)", (), (b'{"mininet-topology"',), f"{_PACKAGE}.python_topology"),
]


def importer_of(file: str, raw: bytes) -> Importer | None:
    """The importer for a file with this name and content; None for YAML."""
    name, content = file.lower(), raw.removeprefix(b"\xef\xbb\xbf").lstrip()[:_HEAD]
    for importer in IMPORTERS:
        if name.endswith(importer.suffixes) or content.startswith(importer.signatures):
            return importer
    for importer in IMPORTERS:
        if importer.recognises is not None and importer.recognises(name, content):
            return importer
    return None


def suffixes() -> tuple[str, ...]:
    """The suffixes of all topology files."""
    return YAML + tuple(suffix for importer in IMPORTERS for suffix in importer.suffixes)


def formats() -> str:
    """All formats of topology files, in words: "YAML or GraphML"."""
    files = [importer for importer in IMPORTERS if importer.suffixes or importer.recognises]
    names = ["YAML", *(importer.name for importer in files)]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def allowed() -> str:
    """What a topology file may be, in words: "a YAML or GraphML file"."""
    return f"a {formats()} file"
