"""A phase of the resolution takes a draft and gives back another; it changes nothing in the first."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

import topologies
from topologies.resolve import draft
from topologies.resolve.phases import PHASES
from topologies.syntax import check, document
from topologies.syntax.problem import Problems, Report

CASES = Path(__file__).parents[2] / "golden" / "topologies"
FILES = [
    *(f"good/{name}.yaml" for name in ("everything", "overlay", "service", "several-ports")),
    *(f"bad/{name}.yaml" for name in ("chains", "functions", "overlay", "ports", "references", "rules")),
]


def drafted(path: Path, running: topologies.Topology | None = None) -> draft.Draft:
    """What ``path`` says, unresolved."""
    report = Report(path.name)
    spec = check.check(document.read(document.decode(path.read_bytes(), report), report), report)
    return draft.begin(spec, report.known(), {}, running)


def assert_phases_are_functions(before: draft.Draft) -> None:
    for phase in PHASES:
        copy = deepcopy(before)
        after = phase(before)
        assert before == copy, f"{phase.__name__} changes the draft that it takes"
        assert phase(before) == after, f"{phase.__name__} gives another draft the second time"
        before = after


@pytest.mark.parametrize("file", FILES)
def test_a_phase_leaves_the_draft_that_it_takes(file: str) -> None:
    assert_phases_are_functions(drafted(CASES / file))


@pytest.mark.parametrize("name", ["several-ports", "service", "overlay"])
def test_so_it_does_with_numbers_of_a_running_lab(name: str) -> None:
    path = CASES / "good" / f"{name}.yaml"
    assert_phases_are_functions(drafted(path, topologies.load(path)))


def test_a_report_changes_no_problems() -> None:
    problems = Problems("x.yaml", broken=frozenset({("links", 1)}))
    report = problems.report()
    report.add(("hosts", "h1"), "first")
    known = problems.and_those_of(report)
    report.add(("hosts", "h2"), "second")
    report.broke(("hosts", "h3"))
    report.lacks_names("switches")
    assert problems == Problems("x.yaml", broken=frozenset({("links", 1)}))
    assert [problem.message for problem in known.listed] == ["first"]
    assert known.broken == {("links", 1)}
    assert known.incomplete == frozenset()


def test_what_is_found_twice_is_told_once() -> None:
    problems = Problems("x.yaml")
    for _ in range(2):
        report = problems.report()
        report.add(("hosts", "h1"), "is wrong")
        problems = problems.and_those_of(report)
    with pytest.raises(topologies.Invalid) as caught:
        problems.check()
    assert len(caught.value.problems) == 1
