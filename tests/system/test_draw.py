"""``sdnlab draw``: a file, and a running lab with what is cut and what has failed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import running

pytestmark = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


TOPOLOGY = """
name: drawn
switches: [s1, s2]
hosts: {h1: s1, h2: s2}
links: [s1 -- s2]
functions:
  fw: {kind: firewall, switch: s1, instances: 2, default: accept}
chains:
  all: {source: h1, destination: h2, functions: [fw]}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    file = tmp_path_factory.mktemp("drawn") / "drawn.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    with running(file) as line:
        yield line


def red(picture: Path) -> set[str]:
    """The nodes and edges of a picture in Graphviz's language that are red."""
    lines = picture.read_text().splitlines()
    return {line.split(" [")[0].strip().replace('"', "") for line in lines if '"red"' in line}


def test_a_running_lab_is_drawn_as_it_is_now(lab: CommandLine, tmp_path: Path) -> None:
    before, after = tmp_path / "before.dot", tmp_path / "after.dot"
    lab("draw", "-o", str(before))
    assert red(before) == set()
    lab("link", "down", "s1", "s2")
    lab("function", "stop", "fw.2")
    lab("draw", "-o", str(after))
    assert red(after) == {"s1 -- s2", "fw.2"}
    lab("link", "up", "s1", "s2")
    lab("function", "start", "fw.2")


def test_the_form_is_that_of_the_files_name(lab: CommandLine, tmp_path: Path) -> None:
    lab("draw", "quickstart", "-o", str(tmp_path / "one.PNG"))
    assert (tmp_path / "one.PNG").read_bytes().startswith(b"\x89PNG")
    assert lab("draw", "quickstart", "-o", "-").stdout.startswith("<?xml")
    assert "one of .svg, .png, .dot" in lab("draw", "quickstart", "-o", "one.gif", code=2).stderr
    assert "can't write" in lab("draw", "quickstart", "-o", str(tmp_path / "none" / "one.svg"), code=1).stderr
    assert "no such file" in lab("draw", "quickstrat", code=1).stderr
