"""What a node's shell gets to read: it comes to an end whatever was typed, and means what was typed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from mininet.node import Node

from dataplane.mininet_view.iperf import rate
from dataplane.mininet_view.node_shell import LONGEST, NoShell, SafeShell, TooLong, any_shell, evaluated


def bash(text: str) -> tuple[int, str]:
    done = subprocess.run(["bash", "--norc", "-s"], input=text, capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "echo one  two", "echo 'a  b' \"c  d\"", "echo it\\'s", "echo back\\\\slash", "echo a; echo b",
        "printf 'x\\ty\\n'",
        "echo $((1 + 2)) $HOME `echo sub`", "for i in 1 2; do echo $i; done", "echo '#' # no", "x=5; echo $x",
        "cat <<E\nhere\nE", "echo a |\ntr a b", "false", "echo '!' \"$(echo \"in\")\"", "echo é",
    ],
)  # fmt: skip
def test_a_command_means_what_it_says(command: str) -> None:
    assert bash(evaluated(command) + "\n") == bash(command + "\n")


@pytest.mark.parametrize(
    "command", ["echo 'open", 'echo "open', "echo $(open", "if true", "(", "echo `a", "cat <<X"]
)
def test_what_is_not_closed_takes_nothing_of_what_follows(command: str) -> None:
    _code, said = bash(evaluated(command) + "\necho after\n")
    assert said.endswith("after\n")


def test_a_command_that_nobody_types_to_reads_nothing() -> None:
    assert bash(evaluated("cat; echo $?", quiet_input=True) + "\necho after\n")[1] == "0\nafter\n"


def test_a_background_command_says_its_process() -> None:
    said = bash(evaluated("sleep 0 &") + "\n")[1]
    assert said[0] == "\1" and said[1:].strip().isdigit()


def test_what_the_terminal_would_cut_is_refused() -> None:
    assert len(evaluated("echo " + "a" * (LONGEST - 20))) <= LONGEST
    with pytest.raises(TooLong, match="write it into a file"):
        evaluated("echo " + "é" * LONGEST)


@pytest.mark.parametrize("shell", [["bash"], ["busybox", "sh"]])
def test_a_host_without_bash_has_a_shell_that_says_when_it_is_done(shell: list[str], tmp_path: Path) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    words = [*shell, *any_shell("v1")[1:]]
    lines = "x=5; cd /\necho $x; pwd\n" + evaluated("echo it\\'s 'a  b'") + "\nset +m\nexit 3\necho no\n"
    empty = {"PATH": str(tmp_path)}  # there is no bash
    program = shutil.which(shell[0])
    done = subprocess.run(
        words, executable=program, input=lines, capture_output=True, text=True, timeout=20, env=empty
    )
    assert done.stdout == "\x7f\x7f5\n/\n\x7fit's a  b\n\x7f\x7f" and done.returncode == 3


class Shell(SafeShell, Node):  # type: ignore[misc]
    """A node of the machine itself."""


def test_a_node_without_a_shell_says_so_instead_of_waiting_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ["sh", "-c", "echo no such program; exit 127"]
    monkeypatch.setattr("dataplane.mininet_view.node_shell.with_terminal", lambda command: ends)
    with pytest.raises(NoShell, match="no shell runs in v1; run a command there by: sdnlab exec v1"):
        Shell("v1", inNamespace=False)


@pytest.mark.parametrize(
    ("bits", "text"),
    [(5, "5 bits/sec"), (9.41e9, "9.41 Gbits/sec"), (5e6, "5 Mbits/sec"), (1e12, "1e+03 Gbits/sec")],
)
def test_rates_are_written_as_iperf_does(bits: float, text: str) -> None:
    assert rate(bits) == text
