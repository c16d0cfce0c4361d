"""The command line with standard streams that are closed, full, or without a reader: a message and a code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cli import say
from tests.system.command_line import zygote

SDNLAB = Path(sys.executable).parent / "sdnlab"


def sh(words: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``words`` in a shell, where ``sdnlab`` is ours."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'sdnlab() {{ "{SDNLAB}" "$@"; }}; {words}'],
        capture_output=True, text=True, timeout=60, cwd=folder, env={**os.environ, **environment},
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("sdnlab schema >/dev/full", 1, "can't write the output: No space left on device"),
        ("sdnlab --help >/dev/full", 1, "can't write the output: No space left on device"),
        ("sdnlab --version >/dev/full", 1, "can't write the output: No space left on device"),
        ("sdnlab schema >&-", 1, "can't write the output: it is closed"),
        ("sdnlab schema | true", 141, ""),
        ("sdnlab --help | true", 141, ""),
        ("sdnlab validate nix.yaml 2>&-", 1, ""),
        ("sdnlab nix 2>/dev/full", 2, ""),
        ("sdnlab validate nix.yaml >&- 2>&- <&-", 1, ""),
        ("sdnlab status --lab nix --json >/dev/full", 1, "sdnlab:"),
    ],
)
def test_streams(words: str, code: int, said: str) -> None:
    done = sh(words)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert said in done.stderr
    assert done.returncode == code or (code == 141 and done.returncode == 0), done.stderr


def test_a_closed_output_is_not_the_next_file_that_is_opened(tmp_path: Path) -> None:
    (tmp_path / "x.rules").write_text("")
    sh("sdnlab ids --rules x.rules --pcap x.rules --eve out >&- 2>&-", tmp_path)
    assert all(json.loads(line) for line in (tmp_path / "out").read_text().splitlines())
    assert (tmp_path / "x.rules").read_text() == ""


@pytest.mark.parametrize(
    ("words", "code", "failed"),
    [
        ("status --lab nix", 1, "no lab named"),
        ("list --nix", 2, "nix"),
        ("up quickstart", 2, "--json needs -d"),
        ("ids --pcap nix.pcap", 1, "nix.pcap: there is no such file"),
        ("ping h1", 2, "name two hosts"),
    ],
)
def test_a_program_gets_json_when_it_fails(words: str, code: int, failed: str) -> None:
    done = zygote().run([*words.split(), "--json"], os.environ, "", 60)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["code"]) == (code, code)
    assert failed in answer["failed"]
    assert done.stderr == ""


def test_nothing_from_outside_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    paint = say.Paint(True)
    evil = "\x1b[31mred\x1b]0;title\x07\x9b2J\r"
    say.out(paint(evil, "green") + evil)
    say.out(say.table(["NAME"], [[evil], [paint("ok", "red")]], paint))
    say.err(evil)
    said = capsys.readouterr()
    seen = r"\x1b[31mred\x1b]0;title\x07\x9b2J\r"
    assert said.out.splitlines()[0] == f"\x1b[32m{seen}\x1b[0m{seen}"
    assert said.out.splitlines()[2:] == [seen, "\x1b[31mok\x1b[0m"]
    assert said.err == seen + "\n"


class Terminal:
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("term", "expected"), [("dumb", False), ("", False), (None, False), ("xterm", True)])
def test_a_dumb_terminal_gets_plain_lines(
    term: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("TERM") if term is None else monkeypatch.setenv("TERM", term)
    stream = Terminal()
    assert say.can_overwrite(stream) is say.coloured(stream) is expected  # type: ignore[arg-type]


def test_ctrl_c_ends_what_is_only_being_imported_without_a_traceback() -> None:
    code = "import sys; sys.argv[0] = '/x/sdnlab'; import lab.cli, os; os.kill(os.getpid(), 2); input()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
