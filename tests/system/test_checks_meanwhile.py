"""What happens to a lab while its checks run: a right verdict or a clear refusal, and nothing hangs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import running
from tests.waiting import until

FILE = """\
name: meanwhile
switches: [s1, s2]
links: [s1 -- s2]
hosts: {h1: s1, h2: s2}
checks:
  - name: long
    command: {host: h1, run: "touch /tmp/began; until test -e /tmp/go; do sleep 0.05; done"}
    within: 60s
  - {name: after it, survives: {cut: h2-s2, check: {reachable: {from: h1, to: h2}, within: 3s}}}
"""
PATIENCE = 100


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[CommandLine, Path]]:
    file = tmp_path / "meanwhile.yaml"
    file.write_text(FILE, encoding="utf-8")
    with running(file) as line:
        yield line, file


def begun(line: CommandLine, *words: str) -> subprocess.Popen[str]:
    """``check`` whose long check has begun; it goes on when ``/tmp/go`` is there."""
    process = line.start("check", *words)
    until(
        lambda: line("exec", "h1", "--", "test", "-e", "/tmp/began", code=None).returncode == 0, "it begins"
    )
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err
    return process.returncode, out, err


def release(line: CommandLine) -> None:
    line("exec", "h1", "--", "touch", "/tmp/go")


def test_a_lab_that_is_changed_has_no_verdicts_about_what_it_was(lab: tuple[CommandLine, Path]) -> None:
    line, file = lab
    process = begun(line)
    file.write_text(FILE.replace("h2: s2}", "h2: s2, h3: s1}"), encoding="utf-8")
    line("apply", str(file))
    release(line)
    code, _, err = ended(process)
    assert (
        code == 1 and "the lab was changed while it was checked" in err and "check again: sdnlab check" in err
    )
    # only its checks change: that changes nothing of the lab
    file.write_text(
        FILE.replace("h2: s2}", "h2: s2, h3: s1}").partition("  - {name: after")[0], encoding="utf-8"
    )
    line("exec", "h1", "--", "rm", "/tmp/began", "/tmp/go")
    process = begun(line)
    line("apply", str(file))
    release(line)
    assert "1 of 1 check passed" in line("check").stdout
    code, out, _ = ended(process)
    assert code == 1 and "passed" in out  # h2 is not reachable while its wire is cut


def test_two_runs_wait_for_each_other_and_a_cut_link_is_the_verdict(lab: tuple[CommandLine, Path]) -> None:
    line, _ = lab
    first = begun(line, "--json", "--only", "long")
    second = line.start("check", "--json", "--only", "long", "--only", "after it")
    line("link", "down", "s1-s2")
    release(line)
    code, out, _ = ended(first)
    assert code == 0 and json.loads(out)["passed"] == 1
    code, out, _ = ended(second)
    results = {result["name"]: result for result in json.loads(out)["results"]}
    assert code == 1 and results["long"]["verdict"] == "passed"
    assert results["after it"]["verdict"] == "failed"
    assert "(cut: " in results["after it"]["findings"][0]["stopped_by"]
    states = {link["name"]: link["up"] for link in line.json("status")["links"]}
    assert states == {"s1-s2": False}  # what the user has cut stays cut


@pytest.mark.parametrize("end", [lambda line: line("down"), lambda line: line("down", "--all")])
def test_a_lab_that_goes_down_ends_the_run(
    lab: tuple[CommandLine, Path], end: Callable[[CommandLine], object]
) -> None:
    line, _ = lab
    process = begun(line)
    end(line)
    code, _, err = ended(process)
    assert code == 4 and "sdnlab: " in err
