"""``sdnlab convert`` and the notes about files of other tools, as a user sees them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import topologies
from lab.cli import app as app_module
from lab.cli import files
from topologies import shipped

LAB = 'pc1[0]="A"\npc2[0]="A"\npc1[1]=""\npc2[image]="kathara/frr"\n'
NOTES = [
    "lab.conf:3: eth1 of pc1: it is in no collision domain: left out",
    "lab.conf:4: image of pc2: a host has this machine's files and programs: left out",
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("lab.conf").write_text(LAB)
    Path("pc1.startup").write_text("ip address add 10.0.0.7/24 dev eth0\n")
    return tmp_path


def run(*words: str) -> Any:
    return CliRunner().invoke(app_module.build(words[0]), list(words))


def test_what_is_left_out_is_told_on_standard_error_and_in_the_file() -> None:
    result = run("convert", "lab.conf", "-o", "out.yaml")
    assert result.exit_code == 0 and result.stdout == ""
    assert result.stderr.splitlines()[:2] == NOTES
    text = Path("out.yaml").read_text()
    assert text.startswith("".join(f"# {note}\n" for note in NOTES))
    again = topologies.load("out.yaml")
    assert again == topologies.load("lab.conf") and again.notes == ()


@pytest.mark.parametrize("command", ["validate", "graph"])
def test_other_commands_take_the_file_and_tell_it_too(command: str) -> None:
    result = run(command, "lab.conf")
    assert result.exit_code == 0 and result.stderr.splitlines() == NOTES


def test_programs_get_the_notes_as_values() -> None:
    notes = json.loads(run("validate", "lab.conf", "--json").stdout)["notes"]
    assert notes[0] == {
        "file": "lab.conf",
        "line": 3,
        "what": "eth1 of pc1: it is in no collision domain: left out",
    }
    answer = json.loads(run("convert", "lab.conf", "--to", "mermaid", "--json").stdout)
    assert answer["notes"] == notes and answer["format"] == "mermaid" and "flowchart" in answer["text"]


def test_a_folder_stands_for_the_lab_in_it(folder: Path) -> None:
    assert run("validate", ".").exit_code == 0
    assert files.find(str(folder)).name == "lab.conf"
    Path("topology.yml").write_text("nodes: [a]\n")
    assert files.find(str(folder)) == folder


@pytest.mark.parametrize("name", ["lab.mn", "topology.yml", "x.clab.yml", "x.clab.yaml"])
def test_a_folder_may_hold_a_lab_of_any_tool(folder: Path, name: str) -> None:
    (folder / "lab.conf").rename(folder / name)
    assert files.find(str(folder)) == folder / name


def test_names_of_files_are_completed(folder: Path) -> None:
    for name in ("a.mn", "b.clab.yml", "topology.yml", "c.conf"):
        Path(name).touch()
    offered = files.complete_file("")
    assert {"a.mn", "b.clab.yml", "topology.yml", "lab.conf"} <= set(offered) and "c.conf" not in offered


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("x.clab.yml", "# containerlab wants"),
        ("x.mmd", "---\ntitle: quickstart"),
        ("x.dot", "graph"),
        ("x.gv", "graph"),
        ("x.graphml", "<?xml"),
        ("x.py", "#!/usr/bin/env python3"),
        ("x.yml", "name: quickstart"),
    ],
)
def test_the_name_of_the_new_file_says_its_format(name: str, begin: str) -> None:
    assert run("convert", "quickstart", "-o", name).exit_code == 0
    assert Path(name).read_text().startswith(begin)


def test_no_format_is_guessed() -> None:
    result = run("convert", "quickstart", "-o", "x.txt")
    assert result.exit_code != 0 and "does not say which format" in str(result.exception)
    result = run("convert", "quickstart", "--to", "visio")
    assert "visio is no format" in str(result.exception)


@pytest.mark.parametrize("name", shipped.names())
def test_graphviz_takes_the_dot_file(name: str) -> None:
    if shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    text = run("convert", name, "--to", "dot").stdout
    subprocess.run(["dot", "-Tcanon"], input=text, text=True, check=True, capture_output=True, timeout=60)


WITH_FILES = ("ids", "python-function")
"""They name files beside them, which have absolute names in the new file."""


@pytest.mark.parametrize("name", [name for name in shipped.names() if name not in WITH_FILES])
def test_our_own_format_is_the_same_lab(name: str) -> None:
    assert run("convert", name, "-o", "x.yaml").exit_code == 0
    assert topologies.load("x.yaml") == topologies.load(shipped.path(name))


@pytest.mark.parametrize("name", WITH_FILES)
def test_files_that_a_topology_names_are_there_wherever_it_is_written(name: str) -> None:
    assert run("convert", name, "-o", "x.yaml").exit_code == 0
    assert len(topologies.load("x.yaml").functions) == len(topologies.load(shipped.path(name)).functions)
