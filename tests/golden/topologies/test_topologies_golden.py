"""Good and bad topology files, each with what loading it gives in a file beside it.

After a change that is meant: SDNLAB_UPDATE_GOLDEN=1 pytest tests/golden/topologies, then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import topologies

HERE = Path(__file__).parent
UPDATE = bool(os.environ.get("SDNLAB_UPDATE_GOLDEN"))


SUFFIXES = (".yaml", ".yml", ".graphml", ".mn", "lab.conf")


def inputs(kind: str) -> list[Path]:
    return sorted(p for p in (HERE / kind).rglob("*") if p.name.endswith(SUFFIXES))


def name(path: Path) -> str:
    return "-".join(path.relative_to(HERE).parts[1:])


def compare(expected: Path, got: str) -> None:
    if UPDATE:
        expected.write_text(got, encoding="utf-8")
    assert got == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", inputs("bad"), ids=name)
def test_bad_file_gives_all_its_problems(path: Path) -> None:
    with pytest.raises(topologies.Invalid) as caught:
        topologies.loads(path.read_bytes(), path.name)
    lines = [problem.line for problem in caught.value.problems]
    assert lines == sorted(lines)
    compare(path.with_name(path.name + ".expected"), f"{caught.value}\n")


@pytest.mark.parametrize("path", inputs("good"), ids=name)
def test_good_file_gives_its_topology(path: Path) -> None:
    topology = topologies.load(path)
    assert topologies.Topology.model_validate_json(topology.model_dump_json()) == topology
    # where its entries stand is for tests/unit/topologies/test_places.py
    text = topology.model_dump_json(indent=1, exclude_defaults=True, exclude={"places"})
    text = text.replace(f"{path.parent}/", "")
    compare(path.with_name(path.name + ".json"), text + "\n")
    # and the same again, whatever was loaded before
    assert topologies.load(path) == topology


def test_nothing_expected_without_its_input() -> None:
    for kind in ("good", "bad"):
        made_for = set(inputs(kind))
        outputs = [p for p in (HERE / kind).rglob("*") if p.suffix in (".expected", ".json")]
        expected = {p.with_suffix("") for p in outputs}
        assert expected == made_for
