"""Exercises with Ryu apps: the app that is given fails the check that is its task, the solution passes all.

Each is one lab, in which the solution is saved over the app, as a student does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine
from tests.waiting import until

EXERCISES = Path(__file__).resolve().parents[2] / "topologies" / "exercises" / "ryu"
SOLUTIONS = Path(__file__).with_name("ryu_solutions")
FAILS = {
    "learning_switch": ["others don't see what h1 sends to h2"],
    "hub": ["all reaches all", "h3 sees what h1 sends to h2"],
    "firewall": ["h1, h3 is blocked from h2, TCP 23", "h3 does not reach h1"],
    "load_balancer": ["both servers get connections"],
    "shortest_path": ["h1 reaches h2 the long way when the short one is cut"],
    "loop_free": [
        "all reaches all",
        "a broadcast comes to each host once",
        "h1 reaches h2 when a link is cut",
    ],
    "monitor": ["h3 hears how many packets h1 sends in a second"],
}
"""Exercise -> the checks that fail before it is done."""
ALWAYS = {"learning_switch"}
"""The exercises that take seconds."""
SLOW = {"load_balancer", "loop_free", "monitor", "shortest_path"}
"""The exercises whose checks need more than a moment: several connections, or a cut."""
LONG = 120
"""Seconds: an app starts anew, and each check that fails takes seconds."""


def solved_in_a_lab(sdnlab: CommandLine, folder: Path, name: str, fails: list[str]) -> None:
    """Start an exercise, see that exactly these checks fail, do it, and see that all pass."""
    file = folder / f"{name}.yaml"
    text = (EXERCISES / file.name).read_text(encoding="utf-8")
    # here the whole check is repeated, so that one that has to fail doesn't cost much time; of a link that is
    # cut, apps hear in their own time
    seconds = 10 if name in SLOW else 2
    file.write_text(re.sub(r"within: \d+s", f"within: {seconds}s", text), encoding="utf-8")
    shutil.copy(EXERCISES / f"{name}.py", folder)

    def failed() -> list[str]:
        answer = json.loads(sdnlab("check", "--json", code=None).stdout)
        return [result["name"] for result in answer["results"] if result["verdict"] != "passed"]

    sdnlab("up", str(file), "-d", "--no-check")
    until(lambda: failed() == fails, f"{name}: {fails} fail", LONG)
    shutil.copy(SOLUTIONS / f"{name}.py", folder)
    until(lambda: failed() == [], f"{name}: all checks pass", LONG)
    sdnlab("down")


def test_each_exercise_has_its_checks_that_fail() -> None:
    assert {path.stem for path in EXERCISES.glob("*.yaml")} == FAILS.keys()


@pytest.mark.parametrize("name", FAILS)
def test_an_exercise_fails_before_it_is_done_and_passes_afterwards(
    sdnlab: CommandLine, tmp_path: Path, name: str
) -> None:
    if name not in ALWAYS and not os.environ.get("SDNLAB_ALL_EXERCISES"):
        pytest.skip("takes a minute: set SDNLAB_ALL_EXERCISES=1")
    solved_in_a_lab(sdnlab, tmp_path, name, FAILS[name])
