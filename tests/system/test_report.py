"""``sdnlab report``: a running lab on one page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import running

TOPOLOGY = """
name: told
switches: [s1, s2]
hosts: {h1: s1, h2: s2}
links: [s1 -- s2]
checks:
  - reachable: {from: h1, to: h2}
    name: they talk
    within: 500ms
    hint: is a link cut?
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    file = tmp_path_factory.mktemp("told") / "told.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    with running(file) as line:
        yield line


def words(page: Path) -> str:
    text = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page.read_text(encoding="utf-8"), flags=re.S)
    return " ".join(html.unescape(text).split())


def test_a_good_lab_and_what_was_captured_meanwhile(lab: CommandLine, tmp_path: Path) -> None:
    page = tmp_path / "good.html"
    lab("report", "-o", str(page), "--capture", "s1-s2", "--capture", "h2")
    told = words(page)
    assert "1 of 1 checks passed" in told and "4 of 4 pairs reached" in told
    assert re.search(r"s1-s2 [1-9]\d* packets .* ICMP 10.0.0.[12] 10.0.0.[12]", told)
    assert "Captured packets" in told and "no packets" not in told


def test_what_is_wrong_is_told_and_the_exit_code_says_so(lab: CommandLine, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    lab("link", "down", "s1", "s2")
    lab("report", "-o", str(page), code=1)
    told = words(page)
    assert "0 of 1 checks passed" in told and "0 of 4 pairs reached" in told
    assert "they talk" in told and "Hint: is a link cut?" in told
    assert "Traces of what failed" in told and "h1 to h2, IPv4" in told
    lab("link", "up", "s1", "s2")


def test_a_place_that_is_not_there_is_refused_before_all_else(lab: CommandLine, tmp_path: Path) -> None:
    failed = lab("report", "-o", str(tmp_path / "none.html"), "--capture", "s9", code=1)
    assert "can't capture at s9" in failed.stderr and "testing" not in failed.stderr
    assert not (tmp_path / "none.html").exists()
