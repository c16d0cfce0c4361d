"""``sdnlab copy``: files to and from hosts, and from host to host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.command_line import CommandLine
from tests.system.tenants_lab import running

TOPOLOGY = "name: copies\nswitches: [s1]\nhosts: {h1: s1, h2: s1}\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    file = tmp_path_factory.mktemp("copies") / "copies.yaml"
    file.write_text(TOPOLOGY, encoding="utf-8")
    with running(file) as line:
        yield line


def test_there_and_back_without_a_network(lab: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "big").write_bytes(os.urandom(3_000_000))
    (tmp_path / "d" / "sub" / "run").write_text("#!/bin/sh\necho ran\n")
    (tmp_path / "d" / "sub" / "run").chmod(0o750)
    lab("link", "down", "h1-s1")
    assert lab("copy", str(tmp_path / "d"), "h1:/tmp").stdout == "2 files copied, 3.0 MB\n"
    assert lab("exec", "h1", "--", "/tmp/d/sub/run").stdout == "ran\n"
    lab("copy", "h1:/tmp/d", "h2:moved")
    lab("copy", "h2:/root/moved/big", "h2:moved/sub/run", str(tmp_path))
    assert (tmp_path / "big").read_bytes() == (tmp_path / "d" / "big").read_bytes()
    assert (tmp_path / "run").stat().st_mode & 0o7777 == 0o750
    lab("link", "up", "h1-s1")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["h1:/no/file", "."], 1, "sdnlab: h1:/no/file: No such file or directory"),
        (["/no/file", "h1:"], 1, "sdnlab: /no/file: No such file or directory"),
        (
            ["/etc/passwd", "h1:/no/such/file"],
            1,
            "sdnlab: h1:/no/such/file: the directory above it does not exist",
        ),
        (["/etc/passwd", "h1:/tmp/file/"], 1, "sdnlab: h1:/tmp/file/ is no directory"),
        (["/etc/passwd", "/etc/group", "h1:x"], 1, "sdnlab: h1:x is no directory"),
        (["/etc/passwd", "h1:/etc/new"], 1, "sdnlab: h1:/etc/new: "),
        (["/etc/passwd", "h3:/tmp"], 1, "sdnlab: no host named 'h3' in this lab"),
        (["/etc/passwd", "/tmp"], 2, "sdnlab: none of these paths is in a host"),
        (["/etc/passwd"], 2, "sdnlab: name what to copy, and where to"),
    ],
)
def test_what_is_wrong_is_said(lab: CommandLine, words: list[str], code: int, message: str) -> None:
    done = lab("copy", *words, code=code)
    assert done.stderr.startswith(message), done.stderr
