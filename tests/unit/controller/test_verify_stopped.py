"""A verification that somebody stops says how far it got; programs can read what it found."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import topologies
from controller.verify.verify import verify
from lab.cli import app as app_module
from lab.cli.verifying import progress_text
from topologies import shipped

STOPPED_AT = 3


def test_what_was_verified_before_ctrl_c_is_told() -> None:
    def impatient(what: str, done: int, of: int) -> None:
        if what == "cuts" and done == STOPPED_AT:
            raise KeyboardInterrupt

    report = verify(topologies.load(shipped.path("leaf-spine")), cuts=2, progress=impatient)
    assert report.stopped and report.proven
    assert report.cuts_done == STOPPED_AT and report.conditions == 1 + 2 * STOPPED_AT
    assert report.cuts > STOPPED_AT


def test_ctrl_c_before_anything_is_known_ends_it() -> None:
    def impatient(what: str, done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(topologies.load(shipped.path("leaf-spine")), progress=impatient)


def test_how_long_it_may_take() -> None:
    assert progress_text("cuts", 0, 10, 0.0) == "cuts: 0 of 10"
    assert progress_text("cuts", 5, 10, 30.0).startswith("cuts: 5 of 10, about 30 s left")
    assert "about 15 min left" in progress_text("cuts", 10, 100, 100.0)
    assert "about 3 h left" in progress_text("cuts", 1, 109, 100.0)


def test_the_report_for_programs() -> None:
    answer = CliRunner().invoke(app_module.build("verify"), ["verify", "leaf-spine", "-k", "1", "--json"])
    assert answer.exit_code == 0, answer.output
    said = json.loads(answer.stdout)
    assert said["proven"] and not said["stopped"] and said["cuts"] == 1
    assert (
        said["sets_of_cuts"]["done"]
        == said["sets_of_cuts"]["of"]
        == len(topologies.load(shipped.path("leaf-spine")).links)
    )
    assert all(entry["proven"] for entry in said["properties"])
    assert said["findings"] == []
