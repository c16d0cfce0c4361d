"""A format of another tool is one entry and one module: this one reads ``two switches`` and the like."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from lab.cli import files
from topologies.importers import registry
from topologies.syntax.document import Fatal, Node
from topologies.syntax.problem import Report

TOY = registry.Importer("Toy", (".toy",), (b"toy:",), __name__)


def read(raw: bytes, report: Report) -> Node:
    """As many switches as the last word says, each with a host."""
    number = raw.split()[-1]
    if not number.isdigit():
        report.add((), "has no number of switches", "toy: NUMBER", "write one", line=1)
        raise Fatal
    names = [f"s{count}" for count in range(1, int(number) + 1)]
    switches = Node(1, {name: Node(1, {}) for name in names})
    hosts = Node(1, {f"h{name}": Node(1, name) for name in names})
    return Node(1, {"switches": switches, "hosts": hosts})


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "IMPORTERS", [*registry.IMPORTERS, TOY])


@pytest.mark.parametrize("file", ["lab.toy", "LAB.TOY", "lab"])
def test_a_registered_format_is_loaded_by_its_name_or_its_content(file: str) -> None:
    assert [host.name for host in topologies.loads(b" toy: 3", file).hosts] == ["hs1", "hs2", "hs3"]


def test_its_problems_are_told_as_all_are() -> None:
    with pytest.raises(topologies.Invalid) as caught:
        topologies.loads(b"toy: x", "lab.toy")
    assert (
        str(caught.value.problems[0])
        == "lab.toy:1: has no number of switches; allowed: toy: NUMBER; write one"
    )


def test_the_command_line_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lab.toy").write_text("toy: 1")
    assert "lab.toy" in files.complete_file("")
    assert registry.allowed() == "a YAML, GraphML, MiniEdit, containerlab, Kathará, netlab or Toy file"


@pytest.mark.parametrize(
    ("file", "raw", "name"),
    [
        ("a.yaml", b"switches: [s1]", None),
        ("a", b"\n <?xml version='1.0'?>", "GraphML"),
        ("a.yaml", b"<graphml/>", "GraphML"),
        ("A.GraphML", b"", "GraphML"),
        ("a.xml", b"", "GraphML"),
    ],
)
def test_which_importer_a_file_has(file: str, raw: bytes, name: str | None) -> None:
    importer = registry.importer_of(file, raw)
    assert (importer.name if importer else None) == name
