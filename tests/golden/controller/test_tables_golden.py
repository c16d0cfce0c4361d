"""Compiled tables as text, compared with files; SDNLAB_UPDATE_GOLDEN=1 rewrites the files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.compiler.compile import compile_topology
from controller.flow.text import flow_text, group_text
from topologies import load

HERE = Path(__file__).parent


def text(path: Path) -> str:
    lines = []
    for name, tables in compile_topology(load(path)).items():
        lines += [f"## {name}, datapath id {tables.dpid}", *map(group_text, tables.groups)]
        lines += [*map(flow_text, tables.flows), ""]
    return "\n".join(lines)


@pytest.mark.parametrize("path", sorted(HERE.glob("*.yaml")), ids=lambda path: path.stem)
def test_tables_are_the_expected_ones(path: Path) -> None:
    expected = path.with_name(path.name + ".expected")
    got = text(path)
    if os.environ.get("SDNLAB_UPDATE_GOLDEN"):
        expected.write_text(got, encoding="utf-8")
    assert got == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", sorted(HERE.parents[2].glob("topologies/*.yaml")), ids=lambda path: path.stem
)
def test_every_shipped_topology_compiles(path: Path) -> None:
    topology = load(path)
    assert list(compile_topology(topology)) == [switch.name for switch in topology.switches]
