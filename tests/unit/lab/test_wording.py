"""The command line as people type it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplane.hosts.packages import how_to_install
from lab.cli import files
from lab.cli.app import commands
from lab.cli.wording import action_first, advice, corrected
from lab.failure import Failure
from topologies import shipped
from topologies.syntax.problem import nearest


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("link s1 s2 down", "link down s1 s2"),
        ("link s1-s2 up", "link up s1-s2"),
        ("link down s1 s2", "link down s1 s2"),
        ("link --lab up s1 s2 down --json", "link down --lab up s1 s2 --json"),
        ("link s1 s2 -l down up", "link up s1 s2 -l down"),
        ("link s1 s2", "link s1 s2"),
        ("link", "link"),
        ("switch s1 stop", "switch down s1"),
        ("switch start s1", "switch up s1"),
        ("function fw.1 restart", "function restart fw.1"),
        ("function stop fw", "function stop fw"),
        ("controller restart", "controller restart"),
        ("stop", "down"),
        ("stop quickstart", "down quickstart"),
        ("start quickstart -d", "up quickstart -d"),
        ("ls --json", "list --json"),
        ("help", "--help"),
        ("help link", "link --help"),
        ("help stop", "down --help"),
        ("exec h1 link s1 s2 down", "exec h1 link s1 s2 down"),
        ("status", "status"),
        ("", ""),
    ],
)
def test_what_is_typed_is_what_is_meant(typed: str, words: str) -> None:
    assert corrected(typed.split()) == words.split()
    assert corrected(corrected(typed.split())) == corrected(typed.split())


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [
        ("up", "like: sdnlab up quickstart"),
        ("up -d", "like: sdnlab up quickstart"),
        ("validate --json", "like: sdnlab validate quickstart"),
        ("--lab q status", "sdnlab status --lab q"),
        ("-d up quickstart", "sdnlab up -d quickstart"),
        ("pingall", "here it is sdnlab ping"),
        ("net", "here it is sdnlab status"),
        ("h1 ping h2", "sdnlab exec h1 -- ping h2"),
        ("restart", "sdnlab controller restart"),
    ],
)
def test_a_wrong_command_line_is_told_the_right_one(typed: str, remedy: str) -> None:
    assert advice(typed.split(), commands()).endswith(remedy)


@pytest.mark.parametrize(
    "typed", ["", "statsu", "link toggle s1 s2", "ping h1 h2 h3", "-x", "--", "upp quickstart"]
)
def test_no_advice_is_made_up(typed: str) -> None:
    assert advice(typed.split(), commands()) == ""


def test_what_begins_as_typed_is_nearer() -> None:
    assert nearest("h1", ["h1-s1", "h2-s1", "h3-s2"]) == "h1-s1"
    assert nearest("bandwith", ["bandwidth", "delay"]) == "bandwidth"
    assert nearest("", ["a"]) == ""


@pytest.mark.parametrize(
    ("typed", "words"),
    [("s1 s2 down", "down s1 s2"), ("up s1", "up s1"), ("s1 stop", "down s1"), ("", ""), ("s1", "s1")],
)
def test_mininets_order_of_words(typed: str, words: str) -> None:
    assert action_first("switch", typed.split()) == words.split()


def test_a_shipped_topology_is_found_by_its_name_or_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = shipped.path("quickstart")
    assert files.find("quickstart") == own and not capsys.readouterr().err
    for text in ("quickstart.yaml", "topologies/quickstart.yaml"):
        assert files.find(text) == own
        assert f"there is no {text} here; this is the one that comes with sdnlab" in capsys.readouterr().err
    with pytest.raises(Failure):
        files.find("quickstart.yaml", strict=True)  # what a running lab shall become is never guessed
    (tmp_path / "quickstart.yaml").touch()
    assert files.find("quickstart.yaml") == Path("quickstart.yaml")


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("quickstrat", "quickstart"),
        ("quikstart.yaml", "quickstart"),
        ("my-labb.yaml", "my-lab.yaml"),
        ("zzz", ""),
    ],
)
def test_what_is_not_there_is_told_with_what_is_near(
    text: str, near: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-lab.yaml").touch()
    with pytest.raises(Failure, match="there is no such file") as failure:
        files.find(text)
    assert ("did you mean " in failure.value.remedy) == bool(near) and near in failure.value.remedy


def test_the_package_of_a_missing_program_is_named() -> None:
    assert how_to_install("iperf3") == how_to_install("/usr/bin/iperf3") == "sudo apt-get install iperf3"
    assert not how_to_install("my-own")
