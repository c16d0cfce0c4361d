"""Who adds to sdnlab does so from outside: a lab with one toy of each sort, which ``tests/toys.py`` adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.system.command_line import of_an_owner_of_its_own
from tests.waiting import until

TOYS = Path(__file__).parents[1] / "toys.py"


def test_a_lab_with_a_toy_of_each_sort(tmp_path: Path) -> None:
    line = of_an_owner_of_its_own()
    line.environment["SDNLAB_EXTENSIONS"] = str(TOYS)
    file = tmp_path / "row.toy"
    file.write_text("toy: 2\n")

    # the importer
    up = line("up", str(file), "-d")
    try:
        assert [host["name"] for host in line.json("status")["hosts"]] == ["h1", "h2"], up.stdout

        # the stage: frames of hosts have passed its table
        flows = [flow for flow in line.json("flows", "s1") if flow["table"] == "toy"]
        assert {flow["why"]: bool(flow["packets"]) for flow in flows} == {
            "toy: an experiment is dropped": False,
            "toy: all else goes on": True,
        }

        # the kind of host: its driver says what a command finds inside
        assert line("exec", "h2", "--", "printenv", "TOY").stdout == "1\n"
        assert line("exec", "h1", "--", "printenv", "TOY", code=None).stdout == ""

        extensions = line.environment.pop("SDNLAB_EXTENSIONS")
        refused = line("exec", "h2", "--", "true", code=1)
        assert "hosts of kind 'toy' are not known here, only namespace" in refused.stderr
        assert "SDNLAB_EXTENSIONS=FILE sdnlab exec" in refused.stderr
        line.environment["SDNLAB_EXTENSIONS"] = extensions

        # the kind of function: it works, and what h1 sends to h2 passes it
        def function() -> dict[str, Any]:
            [only] = line.json("functions")
            return dict(only)

        assert (function()["name"], function()["kind"]) == ("wire", "toy")
        assert function()["instances"][0]["message"] == "hello", "the value of its own key"
        until(lambda: function()["instances"][0]["health"] == "live", "probes pass the toy function")
        packets = function()["packets"]
        assert line("exec", "h1", "--", "curl", "-s", "-m", "20", "http://h2/").stdout == "h2\n"
        until(lambda: function()["packets"] > packets, "the toy function has counted frames")
        until(lambda: function()["instances"][0]["counters"].get("bytes"), "it says so itself")

        # the event, which the controller says and the lab understands
        def heard() -> list[str]:
            return [event["text"] for event in line.json("events") if event["event"] == "toy"]

        before = heard()
        assert before and set(before) == {"the toy has seen intent 1"}

        # a controller that is started later has the same
        line("controller", "restart")
        until(lambda: len(heard()) > len(before), "the next controller has programmed all switches")
        assert line.json("flows", "s1")
    finally:
        line("down", "--all", code=None)
